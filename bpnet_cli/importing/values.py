"""Tensors of a file's graph, while `keras_graph` builds the Keras network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the file's graph: a Keras tensor, the photo, or a convolution that is not built yet.

    A convolution is not built at once, because additions and multiplications after it can become part of it.
    axes: for each axis of the file's tensor, the axis in Keras. tensor: the Keras tensor; None for the other two cases.
    make: for a convolution: (scale, offset) -> the Keras tensor. scale, offset: (C,) the photo's normalisation, or what
    is applied to the convolution's outputs. padding: of the photo: (top, left, bottom, right).
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
        """The Keras tensor; builds the convolution if needed."""
        return self.tensor if self.make is None else self.make(self._known(self.scale), self._known(self.offset))

    def affine(self, scale: Any, offset: Any) -> Value:
        """This value times `scale` plus `offset`. Only for the photo, or for a convolution that is not built yet."""
        own, moved = self._known(self.scale), self._known(self.offset)
        return replace(self, scale=own * scale, offset=moved * scale + offset)

    @staticmethod
    def _known(array: NDArray[Any] | None) -> NDArray[Any]:
        if array is None:
            raise TypeError("a value with a Keras tensor has no scale")
        return array


def once(make: Callable[[NDArray[Any], NDArray[Any]], Any]) -> Callable[[NDArray[Any], NDArray[Any]], Any]:
    """A function that calls `make` at its first call, and returns the same result at all later calls."""
    made: list[Any] = []

    def call(scale: NDArray[Any], offset: NDArray[Any]) -> Any:
        if not made:
            made.append(make(scale, offset))
        return made[0]

    return call
