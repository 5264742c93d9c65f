"""Result files of photos: of a whole run, or of a part of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bpnet_cli.files import flush_all, write_text
from bpnet_cli.inference.outputs import DRAWN, OPENPOSE, Outputs
from bpnet_cli.inference.parquet import write_parquet
from bpnet_cli.inference.results import coco_entries, coco_order, image_entry, skeleton_entry
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Failure, PhotoInput
from bpnet_cli.inference.table import csv_header, csv_rows, csv_text
from bpnet_cli.pose.person import Person


@dataclass(frozen=True)
class PhotoJob:
    """A photo to work on. picture, openpose: where its drawn copy and its OpenPose file go."""

    photo: PhotoInput
    image_id: int
    picture: Path | None
    openpose: Path | None


@dataclass(frozen=True)
class PhotoPeople:
    """The people of a photo, for the results. size: height, width in pixels."""

    job: PhotoJob
    persons: Sequence[Person]
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """The photo's name in the results."""
        return self.job.photo.name


@dataclass(frozen=True)
class PhotoSet:
    """Photos whose people go into the same files.

    ids: their COCO image ids. part: entries that a part of a run has in its first line; None for a whole run.
    problems: inputs that failed before, for the list of a part.
    """

    photos: Sequence[PhotoInput]
    ids: Sequence[int]
    outputs: Outputs
    part: dict[str, Any] | None = None
    problems: Sequence[Failure] = ()

    @property
    def jobs(self) -> list[PhotoJob]:
        """The photos with the paths of their own files."""
        nothing = [None] * len(self.photos)
        paths = (self.outputs.pictures or nothing, self.outputs.openpose or nothing)
        return [PhotoJob(*job) for job in zip(self.photos, self.ids, *paths, strict=True)]


def write_results(one: PhotoSet, done: Sequence[PhotoPeople], failed: Sequence[Failure], run: Run) -> None:
    """Write the result files of a set and count them in the run's summary.

    `lines` is the last file of a part, because it says that the part is finished, and otherwise the first one.
    failed: for `detections.json`, or the first line of a part. Raises BpnetError where a file can't be written.
    """
    outputs, skeleton, summary = one.outputs, run.people.skeleton, run.summary
    images = [image_entry(each.name, each.size[1], each.size[0], each.persons) for each in done]
    flush_all([*outputs.openpose, *outputs.pictures])
    if outputs.lines and one.part is None:
        write_text(outputs.lines, _lines(one, images, failed, run))
    if outputs.coco:
        names = coco_order(skeleton)
        entries = [
            {"file_name": each.name, **entry}
            for each in done
            for entry in coco_entries(each.job.image_id, each.persons, skeleton, names)
        ]
        write_text(outputs.coco, json.dumps(entries))
    if outputs.table:
        rows = chain.from_iterable(csv_rows(each.name, None, None, each.persons) for each in done)
        write_text(outputs.table, csv_text(chain([csv_header(skeleton)], rows)))
    if outputs.parquet:
        write_parquet(outputs.parquet, images)
    summary.photos += len(done)
    summary.persons += sum(len(each.persons) for each in done)
    if outputs.lines and one.part is not None:
        write_text(outputs.lines, _lines(one, images, failed, run))
    else:
        folders = ((OPENPOSE, outputs.openpose), (DRAWN, outputs.pictures))
        written = [*outputs.result_files, *(run.results_dir / name for name, used in folders if used)]
        summary.written += [str(path) for path in written]


def _lines(one: PhotoSet, images: Sequence[dict[str, Any]], failed: Sequence[Failure], run: Run) -> str:
    """The content of `detections.json`, or of a part's `.jsonl`."""
    head = {"model": run.model, "skeleton": skeleton_entry(run.people.skeleton)}
    reasons = [{"file": failure.name, "reason": failure.reason} for failure in failed]
    if one.part is None:
        return json.dumps({**head, "images": images, "failed": reasons})
    counts = {"photos": len(images), "people": sum(len(image["persons"]) for image in images)}
    return "".join(json.dumps(line) + "\n" for line in [{**head, **one.part, **counts, "failed": reasons}, *images])
