"""`bpnet benchmark data`: how fast training samples are made, compared with only decoding their JPEGs.

The kinds of work take turns in short slices of time, on the same photos with the same workers. So a busy machine slows
all of them equally. Each ratio compares slices of the same round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.pipeline import SampleLoader, make_pipeline, map_batches
from bpnet_cli.log import progress
from bpnet_cli.pose.targets import render_target_batch

# Seconds of one slice: long compared with the batches that are in work when the clock starts and stops.
_SLICE = 0.5
# Batches at the start of a slice that are not counted, because they fill the buffers.
_WARM_UP = 3

Batches = Callable[[int], Iterator[Any]]


def benchmark_data(
    loader: SampleLoader, render: Callable[[Any], None], batch_size: int, workers: int | None, seconds: float
) -> list[dict[str, Any]]:
    """Images per second of decoding, of the training pipeline, and of the pipeline with rendering of targets.

    render: see `make_renderer`. workers: batches loaded at once, see `make_pipeline`. seconds: time for all three kinds
    together, at least one slice each.
    Returns a row for each kind: images per second (median, slowest and fastest slice), the ratio to decoding (median,
    lowest and highest), and the CPU time of this process per image in milliseconds. Other work on the machine hardly
    changes the CPU time.
    """
    kinds: dict[str, Batches] = {
        "decode": lambda start: _decoded(loader, batch_size, start, workers),
        "pipeline": lambda start: iter(make_pipeline(loader, batch_size, start=start, workers=workers)),
        "pipeline + targets": lambda start: _rendered(loader, render, batch_size, start, workers),
    }
    for batches in kinds.values():
        _pace(batches(0), batch_size, 0.0)
    rounds = max(1, round(seconds / _SLICE / len(kinds)))
    slices: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for i in progress(range(rounds), rounds, "measuring"):
        for name, batches in kinds.items():
            slices[name].append(_pace(batches(i * len(loader.samples)), batch_size, _SLICE))
    return [_row(name, slices[name], slices["decode"]) for name in kinds]


def make_renderer(loader: SampleLoader, heatmap_sigma_px: float, paf_half_width_px: float) -> Callable[[Any], None]:
    """A function that renders the targets of a batch of keypoints (B, P, K, 3) and waits until they are finished.

    It runs on Keras' device and is compiled as in training. heatmap_sigma_px, paf_half_width_px: see `render_targets`.
    """
    import keras
    import tensorflow as tf

    def render(keypoints: Any) -> Any:
        return render_target_batch(
            keypoints,
            loader.height // loader.stride,
            loader.width // loader.stride,
            loader.skeleton.limb_indices,
            stride=loader.stride,
            heatmap_sigma_px=heatmap_sigma_px,
            paf_half_width_px=paf_half_width_px,
            xp=keras.ops,
        )

    # As in `fit`: a compiled graph, not operation by operation.
    compiled = (
        tf.function(render, autograph=False, reduce_retracing=True)
        if keras.backend.backend() == "tensorflow"
        else render
    )

    def finish(keypoints: Any) -> None:
        # The device is still working when the call returns. Reading a value back waits until it is finished.
        for maps in compiled(keras.ops.convert_to_tensor(np.asarray(keypoints))):
            float(maps[0, 0, 0, 0])

    return finish


def _row(name: str, slices: Sequence[tuple[float, float]], reference: Sequence[tuple[float, float]]) -> dict[str, Any]:
    paces = [pace for pace, _ in slices]
    ratios = [pace / other for pace, (other, _) in zip(paces, reference, strict=True)]
    return {
        "work": name,
        "images_per_second": round(median(paces), 1),
        "slowest": round(min(paces), 1),
        "fastest": round(max(paces), 1),
        "ratio": round(median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
        "cpu_ms": round(1e3 * median(cpu for _, cpu in slices), 3),
    }


def _pace(batches: Iterator[Any], batch_size: int, seconds: float) -> tuple[float, float]:
    """Images per second and CPU seconds per image, measured for at least `seconds` after the first batches."""
    for _ in range(_WARM_UP):
        next(batches)
    start, cpu = time.perf_counter(), time.process_time()
    done, elapsed = 0, 0.0
    while done == 0 or elapsed < seconds:
        next(batches)
        done += batch_size
        elapsed = time.perf_counter() - start
    return done / elapsed, (time.process_time() - cpu) / done


def _decoded(loader: SampleLoader, batch_size: int, start: int, workers: int | None) -> Iterator[Any]:
    """Decode the photos of the stream at full size and drop them: only reading and decoding take time."""
    import tensorflow as tf

    def decode(first: NDArray[np.int64]) -> NDArray[np.int64]:
        indices = [loader.locate(int(first) + i)[1] for i in range(batch_size)]
        return np.array([loader.samples[index].photo.image.decode().shape[0] for index in indices])

    return iter(map_batches(decode, ((tf.int64, (batch_size,)),), batch_size, start=start, workers=workers))


def _rendered(
    loader: SampleLoader, render: Callable[[Any], None], batch_size: int, start: int, workers: int | None
) -> Iterator[Any]:
    for images, labels in make_pipeline(loader, batch_size, start=start, workers=workers):
        render(labels["keypoints"])
        yield images
