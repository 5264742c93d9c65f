"""The pace of `bpnet infer` as a whole, beside that of its network alone on inputs that are ready in memory.

Both work on the same photos or frames, in turns of some of them, with the same number of threads. The whole reads,
finds people, decodes, draws and writes files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.live import open_video
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.load import load_predictor, threads_for_many
from bpnet_cli.inference.options import InferOptions
from bpnet_cli.inference.people import People
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.photo_results import PhotoSet
from bpnet_cli.inference.photo_run import infer_photos
from bpnet_cli.inference.pipeline import core_count, one_opencv_thread
from bpnet_cli.inference.planning import plan_outputs
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Inputs, PhotoInput, VideoInput, find_inputs, spread
from bpnet_cli.inference.summary import Summary
from bpnet_cli.inference.video_run import infer_video
from bpnet_cli.log import progress

# Photos of a turn. Most photos and frames: their inputs are all in memory.
_TURN, _MOST = 32, 256


def benchmark_pace(model: str, engine: str, images: str | None, video: str | None) -> list[dict[str, Any]]:
    """Photos and frames per second of `bpnet infer` and of its network alone.

    model, engine: as in `load_predictor`. images: a folder of photos. video: a video file. At most 256 photos and 256
    frames are used. Returns a row for each of the two that is given: `what`, `number` of photos or frames,
    `network_per_second`, `infer_per_second` and their `ratio`. Raises BpnetError for what can't be read.
    """
    predictor = replace(
        load_predictor(model, engine=engine, threads=threads_for_many(model, engine)), scales=(1.0,), flip=False
    )
    rows = []
    with one_opencv_thread(), ThreadPoolExecutor(core_count()) as pool, TemporaryDirectory() as folder:
        if images:
            rows.append(_photos(predictor, images, pool, Path(folder)))
        if video:
            rows.append(_video(predictor, video, pool, Path(folder)))
    return rows


def _photos(predictor: Predictor, images: str, pool: Executor, folder: Path) -> dict[str, Any]:
    photos = spread(find_inputs([images]).photos, _MOST)
    turns = [photos[start : start + _TURN] for start in range(0, len(photos), _TURN)]
    network, whole = [], []
    for turn in progress(turns, len(turns), "pace of photos"):
        inputs = [predictor.prepare(read_photo(photo.path))[0] for photo in turn]
        network.append(_network(predictor, inputs, pool))
        whole.append(_seconds(lambda turn=turn: _infer(predictor, turn, [], folder, pool)))  # type: ignore[misc]
    return _row("photos", len(photos), sum(network), sum(whole))


def _video(predictor: Predictor, video: str, pool: Executor, folder: Path) -> dict[str, Any]:
    with open_video(video) as reader:
        inputs = [predictor.prepare(frame.image)[0] for frame in islice(reader.frames(), _MOST)]
    film = VideoInput(video, Path(video).name)
    network, whole = [], []
    for _ in progress(range(2), 2, "pace of the video"):
        network.append(_network(predictor, inputs, pool))
        whole.append(_seconds(lambda: _infer(predictor, [], [film], folder, pool)))
    return _row("video frames", len(inputs), sum(network) / 2, sum(whole) / 2)


def _network(predictor: Predictor, inputs: Sequence[NDArray[np.uint8]], pool: Executor) -> float:
    """Seconds of the network on inputs that are ready."""
    predictor.backend.maps(inputs[0][None])
    return _seconds(lambda: list(pool.map(predictor.backend.maps, [one[None] for one in inputs])))


def _infer(
    predictor: Predictor, photos: Sequence[PhotoInput], videos: Sequence[VideoInput], folder: Path, pool: Executor
) -> None:
    """What `bpnet infer` does with these inputs. Raises BpnetError where it fails with one."""
    options = InferOptions(max_frames=_MOST)
    outputs, films = plan_outputs(Inputs(tuple(photos), tuple(videos), ()), folder, options)
    run = Run(People(predictor, options), options, {}, folder, pool, 2 * core_count(), None, Summary())
    if photos:
        infer_photos([PhotoSet(photos, range(1, len(photos) + 1), outputs)], run)
    for video, files in zip(videos, films, strict=True):
        infer_video(video, files, run)
    if run.summary.stopped:
        raise KeyboardInterrupt
    for failure in run.summary.failed:
        raise BpnetError(f"{failure.path}: {failure.reason}; repair it or take it away")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(what: str, number: int, network: float, whole: float) -> dict[str, Any]:
    return {
        "what": what,
        "number": number,
        "network_per_second": round(number / network, 2),
        "infer_per_second": round(number / whole, 2),
        "ratio": round(network / whole, 3),
    }
