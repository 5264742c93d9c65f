"""`bpnet benchmark infer`: the time of networks, alone and end to end (from photo file to people).

The models take turns of a few runs each, with the same size and batch and on the same photos. So a busy machine slows
all of them equally, and their ratios are fair.
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
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.sources import find_inputs, spread
from bpnet_cli.log import progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.timing import timed_turn

# Runs of a turn that are counted, and runs before them that are not. They are few, so that changing load on the machine
# hits all models equally. Before the first turn there are more: the network is built and warmed up.
TURN, SKIPPED, WARM_UP = 2, 1, 3
KINDS = ("network", "end_to_end")
PERCENTILES = (50, 90, 99)
# Most photos to use. They are read again and again and stay in the system's cache, so that no disk is measured.
MAX_PHOTOS = 64


@dataclass(frozen=True, eq=False)
class _Job:
    """One row of the result. run: processes the i-th batch. seconds: of each counted run."""

    contender: Contender
    size: Size
    batch: int
    run: Callable[[int], object]
    seconds: list[float] = field(default_factory=list)

    def turn(self, index: int) -> None:
        """One turn; the first one begins with the warm-up."""
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
    """Times of every model at every size and batch, over at least `repeats` runs of each.

    sizes: (height, width) of the network's input; by default the size that the first model infers with. threads: see
    `set_threads`. images: folder of photos for the end-to-end times; None: only the networks are measured. engines:
    each `.onnx` model is measured in each of them.
    Returns rows under `network` and `end_to_end` (see `summarise`), each with a `ratio`: its median time / that of the
    first model at the same size and batch, None where that was not measured. `skipped`: lines on what was left out.
    Raises BpnetError for models, sizes and photos that can't be used.
    """
    files = _photo_files(images) if images else []
    if not images:
        say("measuring only the networks; for end-to-end times (photo file to people) give --images DIR")
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
    """The people of each photo file, best first, also those below `min_person_score`; all photos in one batch.

    The predictor's input size must be fixed; its averaging (scales, flip) is not used. Raises DataError for a photo
    that can't be decoded.
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

    seconds: time of each run of `batch` photos. A percentile that falls between two runs is interpolated.
    """
    values = np.percentile(1e3 * np.asarray(seconds) / batch, PERCENTILES)
    times = {f"p{percent}_ms": round(float(value), 3) for percent, value in zip(PERCENTILES, values, strict=True)}
    return {**times, "images_per_second": round(batch * len(seconds) / sum(seconds), 2)}


def _measure(cases: Sequence[dict[str, list[_Job]]], rounds: int) -> None:
    """Measure one size and batch after the other; the models take turns in each of them."""
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
    """The rows of one size and batch."""
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
    """At most `MAX_PHOTOS` photos of a folder, spread evenly over the sorted names.

    Each is read once, which proves that it can be read and brings it into the system's cache. Raises BpnetError.
    """
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
        raise DataError(f"{error}; repair it or remove it from {folder}") from None
    return files
