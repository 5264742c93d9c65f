"""The photos of a run of `bpnet infer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.openpose import openpose_frame, openpose_text
from bpnet_cli.inference.outputs import COCO_RESULTS
from bpnet_cli.inference.people import Found
from bpnet_cli.inference.photo_files import read_first_page, write_photo
from bpnet_cli.inference.photo_results import PhotoJob, PhotoPeople, PhotoSet, write_results
from bpnet_cli.inference.pipeline import groups, in_order
from bpnet_cli.inference.results import image_ids
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Failure, some_of
from bpnet_cli.log import counted, progress, say
from bpnet_cli.pose.person import Person

# Most names that a line about several photos gives.
_NAMED = 3


@dataclass(frozen=True)
class _Done:
    """A photo that was read. unwritten: why its own files could not be written. weaker: people left out."""

    people: PhotoPeople
    more_pages: bool
    weaker: int
    picture: NDArray[np.uint8] | None
    unwritten: str


def ids_of(names: Sequence[str], told: bool) -> Sequence[int]:
    """COCO image ids by `image_ids`. told: a line says why they are not the numbers in the names, where that is so."""
    ids, why = image_ids(names)
    if why and told:
        say(f"{COCO_RESULTS}: image_id is 1, 2, ... in order, not the number in the photo's name: {why}")
    return ids


def infer_photos(sets: Sequence[PhotoSet], run: Run) -> None:
    """Find the people of photos and write the files of each set; counts and failures go to the run's summary.

    The files of a set are written when its last photo is finished. After Ctrl-C, and after other errors, those of an
    unfinished set hold what is finished, unless the set is a part: another run begins an unfinished part again.
    """
    jobs = list(chain.from_iterable(one.jobs for one in sets))
    stream = in_order(groups(jobs, run.options.batch), lambda group: _work(group, run), run.pool, run.ahead)
    tried, paged = 0, []
    with closing(stream):
        results = progress(chain.from_iterable(stream), len(jobs), "photos")
        try:
            for one in sets:
                for result in _of_set(one, results, run):
                    tried += 1
                    if isinstance(result, _Done) and result.more_pages:
                        paged.append(result.people.job.photo.name)
        except KeyboardInterrupt:
            run.summary.stopped = f"stopped after {tried} of {counted(len(jobs), 'photo')}"
    if paged:
        used = f"only the first page or frame was used of {counted(len(paged), 'photo')}"
        say(f"{used}: {some_of(paged, _NAMED)}")


def _of_set(one: PhotoSet, results: Iterator[_Done | Failure], run: Run) -> Iterator[_Done | Failure]:
    """Take the results of a set's photos, pass them on, and write the files of the set."""
    done: list[PhotoPeople] = []
    failed: list[Failure] = []
    try:
        for _ in one.jobs:
            result = next(results)
            if isinstance(result, Failure):
                failed.append(result)
            else:
                done.append(result.people)
                if result.unwritten:
                    failed.append(Failure(str(result.people.job.photo.path), result.unwritten, result.people.name))
                    check_folder(run.results_dir)  # ends the run where no file at all can be written
                _show(result, run)
            yield result
    finally:
        # Also after other errors. The result file shows the next run that the pictures are bpnet's.
        run.summary.failed += failed
        if one.part is None and done:
            write_results(one, done, run.summary.failed, run)
    if one.part is not None:
        write_results(one, done, [*one.problems, *failed], run)


def _work(group: Sequence[PhotoJob], run: Run) -> list[_Done | Failure]:
    """Read, find, draw and write some photos; this runs in the pool's threads."""
    results: list[_Done | Failure | None] = [None] * len(group)
    read: list[tuple[int, NDArray[np.uint8], bool]] = []
    for place, job in enumerate(group):
        try:
            read.append((place, *read_first_page(job.photo.path)))
        except BpnetError as error:
            results[place] = _failure(job, error)
    if read:
        found = run.people.find([image for _, image, _ in read])
        for (place, image, more), people in zip(read, found, strict=True):
            results[place] = _drawn(group[place], image, more, people, run)
    return [result for result in results if result is not None]


def _failure(job: PhotoJob, error: BpnetError) -> Failure:
    path = str(job.photo.path)
    return Failure(path, str(error).removeprefix(f"{path}: "), job.photo.name)


def _drawn(job: PhotoJob, image: NDArray[np.uint8], more_pages: bool, found: Found, run: Run) -> _Done:
    persons: Sequence[Person] = run.people.limited(found.strong)
    unwritten, picture = "", None
    if job.picture is not None or run.window is not None:
        picture = run.people.picture(image, persons, found, run.options.transparent)
    try:
        if job.picture is not None and picture is not None:
            write_photo(job.picture, picture)
        if job.openpose is not None:
            write_text(job.openpose, openpose_text(openpose_frame(persons, run.people.skeleton)), flush=False)
    except BpnetError as error:
        unwritten = (
            str(error).replace(f"{job.picture}:", "its drawn copy").replace(f"{job.openpose}:", "its OpenPose file")
        )
    height, width = image.shape[:2]
    kept = picture if run.window is not None else None
    return _Done(PhotoPeople(job, persons, (height, width)), more_pages, len(found.weak), kept, unwritten)


def _show(one: _Done, run: Run) -> None:
    if run.window is not None and one.picture is not None:
        run.window.show(one.picture)
    run.summary.weaker += one.weaker
