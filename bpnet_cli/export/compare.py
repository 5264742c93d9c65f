"""Measures what a lower precision costs and gains: runs the same photos through both networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.backends import Backend
from bpnet_cli.inference.compare import map_errors
from bpnet_cli.log import progress
from bpnet_cli.timing import timed_turn

# Number of turns of each network. In each turn: number of timed runs, and number of runs before them without timing.
_TURNS, _RUNS, _SKIPPED = 10, 2, 1


@dataclass(frozen=True)
class Comparison:
    """A network compared with its float32 original.

    error: largest absolute difference of a map value. mean_error: mean absolute difference of all map values.
    seconds, reference_seconds: median time of one run on the first photo, of the network and of the original.
    latency: median ratio of their times in a turn (below 1: the network is faster).
    """

    error: float
    mean_error: float
    seconds: float
    reference_seconds: float
    latency: float


def compare(reference: Backend, other: Backend, inputs: Sequence[NDArray[np.uint8]]) -> Comparison:
    """Run both networks on (B, H, W, 3) uint8 RGB inputs.

    They are timed in turns, so that other load on the machine slows both of them equally.
    """
    shown = progress(inputs, len(inputs), "comparing")
    largest, mean = np.array([map_errors(reference, other, images) for images in shown]).T
    turns = np.array([(_turn(reference, inputs[0]), _turn(other, inputs[0])) for _ in range(_TURNS)])
    seconds = np.median(turns, axis=(0, 2))
    ratios = turns[:, 1].sum(axis=1) / turns[:, 0].sum(axis=1)
    errors = float(largest.max()), float(mean.mean())
    return Comparison(*errors, float(seconds[1]), float(seconds[0]), float(np.median(ratios)))


def _turn(backend: Backend, images: NDArray[np.uint8]) -> list[float]:
    return timed_turn(lambda _: backend.maps(images), 0, _RUNS, _SKIPPED)
