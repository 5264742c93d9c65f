"""`bpnet benchmark infer`: how long networks take, alone and on the whole way from photo file to people.

All models take turns, some runs each, in the same size and batch and on the same photos, so that a busy machine slows
all alike and their ratios are fair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.benchmark.contenders import Contender, Size, default_size, load_contenders, takers_of
from bpnet_cli.benchmark.threads import set_threads
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.sources import find_inputs, read_photo, spread
from bpnet_cli.log import progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.timing import timed_turn

# Runs that are counted in a turn, few, so that load that comes and goes falls on all models alike; and those before
# them that are not. The first turn builds and warms as well.
TURN, SKIPPED, WARM_UP = 2, 1, 3
KINDS = ("network", "end_to_end")
PERCENTILES = (50, 90, 99)
# Photos that are read over and over: few enough to stay in memory, so that no disk is measured.
MAX_PHOTOS = 64


@dataclass(frozen=True, eq=False)
class _Job:
    """One row of the result. run: does the i-th batch. seconds: of each counted run."""

    contender: Contender
    size: Size
    batch: int
    run: Callable[[int], object]
    seconds: list[float] = field(default_factory=list)

    def turn(self, index: int) -> None:
        """Some runs, before the first ones the warm-up."""
        self.seconds.extend(timed_turn(self.run, TURN * index, TURN, WARM_UP if index == 0 else SKIPPED))


def benchmark_infer(
    models: Sequence[str],
    sizes: Sequence[Size],
    batches: Sequence[int],
    repeats: int,
    threads: int | None,
    images: str | None,
    engines: Sequence[str] = ("onnxruntime",),
) -> dict[str, Any]:
    """Times of every model in every size and batch, over at least `repeats` runs of each.

    sizes: (height, width) of the network's input; by default the one that the first model infers with. threads: see
    `set_threads`. images: folder of photos to go all the way with, from file to people; without it networks run alone.
    engines: each `.onnx` model is measured in each of them.
    Returns rows under `network` and `end_to_end` (see `summarise`), with `ratio`, the median time over that of the
    first model in the same size and batch, None where that was not measured. `skipped`: lines on what was left out.
    Raises BpnetError for models, sizes and photos that can't be used.
    """
    files = _photo_files(images) if images else []
    if not images:
        say("networks alone: end to end, from photo file to people, needs --images DIR")
    set_threads(threads, models)
    contenders = load_contenders(models, threads, engines)
    takers, skipped = takers_of(contenders, list(dict.fromkeys(sizes)) or [default_size(contenders[0])])
    for line in skipped:
        say(line)
    cases = [_jobs(able, size, batch, files) for size, able in takers.items() for batch in dict.fromkeys(batches)]
    _measure(cases, -(-repeats // TURN))
    rows = {kind: [row for case in cases for row in _rows(case[kind], contenders[0])] for kind in KINDS}
    return {"threads": threads, "photos": len(files), "skipped": skipped, **rows}


def find_people(predictor: Predictor, files: Sequence[Path]) -> list[list[Person]]:
    """People of each photo file, as `Predictor.predict` finds them in one run per scale, but in one batch.

    The predictor's input size must be fixed. Raises DataError for a photo that can't be decoded.
    """
    photos = [read_photo(path) for path in files]
    inputs, matrices = zip(*(predictor.prepare(photo) for photo in photos), strict=True)
    heatmaps, pafs = predictor.backend.maps(np.stack(inputs))
    people = []
    for photo, *answer in zip(photos, heatmaps, pafs, matrices, strict=True):
        height, width = photo.shape[:2]
        people.append([person.clipped(width, height) for person in predictor.decode(*answer)])
    return people


def summarise(seconds: Sequence[float], batch: int) -> dict[str, float]:
    """Percentiles of the milliseconds per photo, and photos per second over all runs.

    seconds: of each run of `batch` photos. A percentile between two runs is interpolated.
    """
    values = np.percentile(1e3 * np.asarray(seconds) / batch, PERCENTILES)
    times = {f"p{percent}_ms": round(float(value), 3) for percent, value in zip(PERCENTILES, values, strict=True)}
    return {**times, "images_per_second": round(batch * len(seconds) / sum(seconds), 2)}


def _measure(cases: Sequence[dict[str, list[_Job]]], rounds: int) -> None:
    """Sizes and batches one after the other, within them the models in turn."""
    turns = [(case, index) for case in cases for index in range(rounds)]
    for case, index in progress(turns, len(turns), "measuring"):
        for jobs in case.values():
            for job in jobs:
                job.turn(index)


def _jobs(contenders: Sequence[Contender], size: Size, batch: int, files: Sequence[Path]) -> dict[str, list[_Job]]:
    noise = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    alone = [_Job(c, size, batch, _network(c, noise)) for c in contenders]
    whole = [_Job(c, size, batch, _whole(c, size, batch, files)) for c in contenders if files]
    return dict(zip(KINDS, (alone, whole), strict=True))


def _network(contender: Contender, images: NDArray[np.uint8]) -> Callable[[int], object]:
    return lambda _: contender.predictor.backend.maps(images)


def _whole(contender: Contender, size: Size, batch: int, files: Sequence[Path]) -> Callable[[int], object]:
    predictor = contender.at(size)
    return lambda index: find_people(predictor, [files[(index * batch + i) % len(files)] for i in range(batch)])


def _rows(jobs: Sequence[_Job], first: Contender) -> list[dict[str, Any]]:
    """Of one size and batch."""
    reference = next((np.median(job.seconds) for job in jobs if job.contender is first), None)
    rows = []
    for job in jobs:
        height, width = job.size
        what = {"model": job.contender.path, "engine": job.contender.engine, "height": height, "width": width}
        ratio = None if reference is None else round(float(np.median(job.seconds) / reference), 3)
        rows.append(
            {**what, "batch": job.batch, "runs": len(job.seconds), **summarise(job.seconds, job.batch), "ratio": ratio}
        )
    return rows


def _photo_files(folder: str) -> list[Path]:
    """Photos of a folder, spread evenly over their names, each read once: all can be, and all are in memory."""
    if not Path(folder).is_dir():
        raise BpnetError(f"{folder}: no such folder of photos")
    photos = find_inputs([folder]).photos
    if not photos:
        raise BpnetError(f"{folder}: has videos, but no photos")
    files = [photo.path for photo in spread(photos, MAX_PHOTOS)]
    try:
        for path in files:
            read_photo(path)
    except DataError as error:
        raise DataError(f"{error}; mend it or take it out of {folder}") from None
    return files
