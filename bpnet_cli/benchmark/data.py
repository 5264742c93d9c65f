"""`bpnet benchmark data`: how fast training samples are made, against decoding their JPEGs alone.

All kinds of work take turns, slice by slice, on the same photos with the same workers, so that a busy machine slows all
alike; the ratios are of slices that followed each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.images import read_image
from bpnet_cli.data.pipeline import SampleLoader, make_pipeline, map_positions
from bpnet_cli.log import progress

# Seconds of one slice; long against the batches that are under way when the clock starts and stops.
_SLICE = 1.0
# Batches of a slice that are not counted: they fill the buffers.
_WARM_UP = 3

Batches = Callable[[int], Iterator[Any]]


def benchmark_data(
    loader: SampleLoader, render: Callable[[Any], Any], batch_size: int, workers: int | None, seconds: float
) -> list[dict[str, Any]]:
    """Images per second of decoding, of the training pipeline, and of the pipeline with targets rendered.

    render: target maps of a batch of keypoints (B, P, K, 3), finished when it returns. seconds: time for all three
    together, at least one slice each. Every row has the median, slowest and fastest slice, and the ratio to decoding.
    """
    kinds: dict[str, Batches] = {
        "decode": lambda start: _decoded(loader, batch_size, start, workers),
        "pipeline": lambda start: iter(make_pipeline(loader, batch_size, start=start, workers=workers)),
        "pipeline + targets": lambda start: _rendered(loader, render, batch_size, start, workers),
    }
    for batches in kinds.values():
        _pace(batches(0), batch_size, 0.0)
    rounds = max(1, round(seconds / _SLICE / len(kinds)))
    paces: dict[str, list[float]] = {name: [] for name in kinds}
    start = 0
    for _ in progress(range(rounds), rounds, "measuring"):
        for name, batches in kinds.items():
            paces[name].append(_pace(batches(start), batch_size, _SLICE))
        start += len(loader.samples)
    return [_row(name, paces[name], paces["decode"]) for name in kinds]


def _row(name: str, paces: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    ratios = [pace / other for pace, other in zip(paces, reference, strict=True)]
    return {
        "work": name,
        "images_per_second": round(median(paces), 1),
        "slowest": round(min(paces), 1),
        "fastest": round(max(paces), 1),
        "ratio": round(median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
    }


def _pace(batches: Iterator[Any], batch_size: int, seconds: float) -> float:
    """Images per second of at least `seconds`, once the first batches have come."""
    for _ in range(_WARM_UP):
        next(batches)
    start = time.perf_counter()
    done, elapsed = 0, 0.0
    while done == 0 or elapsed < seconds:
        next(batches)
        done += batch_size
        elapsed = time.perf_counter() - start
    return done / elapsed


def _decoded(loader: SampleLoader, batch_size: int, start: int, workers: int | None) -> Iterator[Any]:
    """Photos of the stream, decoded at full size and dropped: nothing but reading and decoding takes time."""
    import tensorflow as tf

    def decode(position: NDArray[np.int64]) -> np.int64:
        _, index = loader.locate(int(position))
        return np.int64(read_image(loader.samples[index].photo.path).shape[0])

    return iter(map_positions(decode, ((tf.int64, ()),), batch_size, start=start, workers=workers).prefetch(2))


def _rendered(
    loader: SampleLoader, render: Callable[[Any], Any], batch_size: int, start: int, workers: int | None
) -> Iterator[Any]:
    for images, labels in make_pipeline(loader, batch_size, start=start, workers=workers):
        render(labels["keypoints"])
        yield images
