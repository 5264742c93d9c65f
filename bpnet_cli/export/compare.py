"""What a lower precision costs and gains: the same photos through both networks, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.backends import Backend, OnnxBackend

_ROUNDS = 20


@dataclass(frozen=True)
class Comparison:
    """A network against its float32 original. error: largest difference of any map value.

    seconds, reference_seconds: median time of one run on the first photo; latency: median of their ratios.
    """

    error: float
    seconds: float
    reference_seconds: float
    latency: float


def compare(reference: OnnxBackend, other: OnnxBackend, inputs: Sequence[NDArray[np.uint8]]) -> Comparison:
    """Run both on (B, H, W, 3) uint8 inputs. Runs that are timed alternate, so that other load falls on both alike."""
    error = float(np.max([map_difference(reference, other, images) for images in inputs]))
    pairs = np.array([(_seconds(reference, inputs[0]), _seconds(other, inputs[0])) for _ in range(_ROUNDS)])
    seconds = np.median(pairs, axis=0)
    return Comparison(error, float(seconds[1]), float(seconds[0]), float(np.median(pairs[:, 1] / pairs[:, 0])))


def map_difference(reference: Backend, other: Backend, images: NDArray[np.uint8]) -> float:
    """Largest absolute difference of any map value on (B, H, W, 3) uint8 RGB inputs; NaN where there is one."""
    pairs = zip(reference.maps(images), other.maps(images), strict=True)
    return float(np.max([np.max(np.abs(expected - got)) for expected, got in pairs]))


def _seconds(backend: OnnxBackend, images: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    backend.maps(images)
    return time.perf_counter() - start
