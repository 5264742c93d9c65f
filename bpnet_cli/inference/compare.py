"""The differences between the maps of two networks on the same photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.backends import Backend


def map_difference(reference: Backend, other: Backend, images: NDArray[np.uint8]) -> float:
    """Largest absolute difference over all values of both maps; NaN if a value is NaN.

    images: (B, H, W, 3) uint8 RGB network inputs.
    """
    return map_errors(reference, other, images)[0]


def map_errors(reference: Backend, other: Backend, images: NDArray[np.uint8]) -> tuple[float, float]:
    """(largest, mean) absolute difference over all values of both maps; see `map_difference`."""
    pairs = zip(reference.maps(images), other.maps(images), strict=True)
    errors = np.concatenate([np.abs(expected - got).ravel() for expected, got in pairs])
    return float(errors.max()), float(errors.mean())
