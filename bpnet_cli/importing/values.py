"""Tensors of a graph on their way to Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor on its way. axes: Keras' axis of each axis of the file's tensor.

    tensor: None for the photo, and for a convolution that may still take in what is added or multiplied behind it:
    then `scale` and `offset` (C,) are the photo's normalisation, or what the convolution's outputs get.
    """

    axes: tuple[int, ...]
    tensor: Any = None
    make: Callable[[NDArray[Any], NDArray[Any]], Any] | None = None
    scale: NDArray[Any] | None = None
    offset: NDArray[Any] | None = None
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def is_photo(self) -> bool:
        """Whether this is the photo, normalised or not."""
        return self.tensor is None and self.make is None

    def solid(self) -> Any:
        """The Keras tensor."""
        return self.tensor if self.make is None else self.make(self._known(self.scale), self._known(self.offset))

    def affine(self, scale: Any, offset: Any) -> Value:
        """This value times `scale` plus `offset`, for one that isn't solid."""
        own, moved = self._known(self.scale), self._known(self.offset)
        return replace(self, scale=own * scale, offset=moved * scale + offset)

    @staticmethod
    def _known(array: NDArray[Any] | None) -> NDArray[Any]:
        if array is None:
            raise TypeError("a solid value has no scale")
        return array


def once(make: Callable[[NDArray[Any], NDArray[Any]], Any]) -> Callable[[NDArray[Any], NDArray[Any]], Any]:
    """The same function, computed at its first call only."""
    made: list[Any] = []

    def call(scale: NDArray[Any], offset: NDArray[Any]) -> Any:
        if not made:
            made.append(make(scale, offset))
        return made[0]

    return call
