"""The photos of a run of `bpnet infer`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.openpose import openpose_frame, openpose_text
from bpnet_cli.inference.outputs import COCO_RESULTS, DRAWN, OPENPOSE, Outputs
from bpnet_cli.inference.people import Found
from bpnet_cli.inference.photo_files import read_first_page, write_photo
from bpnet_cli.inference.pipeline import groups, in_order
from bpnet_cli.inference.results import coco_entries, coco_order, image_entry, image_ids, skeleton_entry
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Failure, PhotoInput, some_of
from bpnet_cli.inference.table import csv_header, csv_rows, csv_text
from bpnet_cli.log import counted, progress, say
from bpnet_cli.pose.person import Person

# Most names that a line about several photos gives.
_NAMED = 3


@dataclass(frozen=True)
class _Job:
    """A photo to work on. picture, openpose: where its drawn copy and its OpenPose file go."""

    photo: PhotoInput
    image_id: int
    picture: Path | None
    openpose: Path | None


@dataclass(frozen=True)
class _Done:
    """A photo that was read. unwritten: why its own files could not be written. weaker: people left out."""

    job: _Job
    persons: Sequence[Person]
    size: tuple[int, int]
    more_pages: bool
    weaker: int
    picture: NDArray[np.uint8] | None
    unwritten: str


def infer_photos(photos: Sequence[PhotoInput], outputs: Outputs, run: Run) -> None:
    """Find the people of photos and write the result files; counts and failures go to the run's summary."""
    ids, why = image_ids([photo.name for photo in photos])
    if why and outputs.coco:
        say(f"{COCO_RESULTS}: image_id is 1, 2, ... in order, not the number in the photo's name: {why}")
    pictures, openpose = outputs.pictures or [None] * len(photos), outputs.openpose or [None] * len(photos)
    jobs = [_Job(*job) for job in zip(photos, ids, pictures, openpose, strict=True)]
    done: list[_Done] = []
    summary, earlier = run.summary, len(run.summary.failed)
    stream = in_order(groups(jobs, run.options.batch), lambda group: _work(group, run), run.pool, run.ahead)
    try:
        with closing(stream):
            for one in progress(chain.from_iterable(stream), len(photos), "photos"):
                if isinstance(one, Failure):
                    summary.failed.append(one)
                    continue
                done.append(_shown(one, run))
                if one.unwritten:
                    check_folder(run.results_dir)  # ends the run where no file at all can be written
                    summary.failed.append(Failure(str(one.job.photo.path), one.unwritten, one.job.photo.name))
    except KeyboardInterrupt:
        tried = len(done) + len(summary.failed) - earlier - sum(1 for one in done if one.unwritten)
        summary.stopped = f"stopped after {tried} of {counted(len(photos), 'photo')}"
    finally:
        # Also after other errors. The result file shows the next run that the pictures are bpnet's.
        if done:
            _write(done, outputs, run)
    _tell_of_pages(done)


def _work(group: Sequence[_Job], run: Run) -> list[_Done | Failure]:
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


def _failure(job: _Job, error: BpnetError) -> Failure:
    path = str(job.photo.path)
    return Failure(path, str(error).removeprefix(f"{path}: "), job.photo.name)


def _drawn(job: _Job, image: NDArray[np.uint8], more_pages: bool, found: Found, run: Run) -> _Done:
    persons = run.people.limited(found.strong)
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
    return _Done(job, persons, (height, width), more_pages, len(found.weak), kept, unwritten)


def _shown(one: _Done, run: Run) -> _Done:
    """Show the picture, and forget it."""
    if run.window is not None and one.picture is not None:
        run.window.show(one.picture)
    run.summary.weaker += one.weaker
    return replace(one, picture=None)


def _write(done: Sequence[_Done], outputs: Outputs, run: Run) -> None:
    """Write the result files of the photos that are done."""
    summary, skeleton = run.summary, run.people.skeleton
    written: list[Path] = []
    if outputs.lines:
        failed = [{"file": failure.name, "reason": failure.reason} for failure in summary.failed]
        images = [image_entry(one.job.photo.name, one.size[1], one.size[0], one.persons) for one in done]
        result: dict[str, Any] = {"model": run.model, "skeleton": skeleton_entry(skeleton), "images": images}
        write_text(outputs.lines, json.dumps({**result, "failed": failed}))
        written.append(outputs.lines)
    if outputs.coco:
        names = coco_order(skeleton)
        entries = [
            {"file_name": one.job.photo.name, **entry}
            for one in done
            for entry in coco_entries(one.job.image_id, one.persons, skeleton, names)
        ]
        write_text(outputs.coco, json.dumps(entries))
        written.append(outputs.coco)
    if outputs.table:
        rows = chain.from_iterable(csv_rows(one.job.photo.name, None, None, one.persons) for one in done)
        write_text(outputs.table, csv_text(chain([csv_header(skeleton)], rows)))
        written.append(outputs.table)
    if outputs.openpose:
        written.append(run.results_dir / OPENPOSE)
    if outputs.pictures:
        written.append(run.results_dir / DRAWN)
    summary.photos += len(done)
    summary.persons += sum(len(one.persons) for one in done)
    summary.written += [str(path) for path in written]


def _tell_of_pages(done: Sequence[_Done]) -> None:
    """A line about photos of which only the first page was looked at."""
    names = [one.job.photo.name for one in done if one.more_pages]
    if names:
        say(f"only the first page or frame was used of {counted(len(names), 'photo')}: {some_of(names, _NAMED)}")
