"""The formats of labels that can be read, and opening data sources of any of these formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bpnet_cli.data.checks import check_images, clean_people, find_photos
from bpnet_cli.data.choice import ANYTHING, Choice
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.labels import Labels, LabelSource, select, summarise
from bpnet_cli.data.masks import encode_ignore_region
from bpnet_cli.data.plausible import make_plausible
from bpnet_cli.data.records import open_records
from bpnet_cli.errors import DataError
from bpnet_cli.storage import place


class Format(NamedTuple):
    """A format of labels on disk. Both functions take the labels' path and the folder of photos (or None).

    tells: whether these labels have this format. open: takes the choice too, and returns the data sources; raises
    DataError.
    """

    tells: Callable[[str | Path, str | Path | None], bool]
    open: Callable[[str | Path, str | Path | None, Choice], list[LabelSource]]


def open_sources(labels: str | Path, images: str | Path | None = None, choice: Choice = ANYTHING) -> list[LabelSource]:
    """Open the data sources at a path. Unusable photos and people are left out and listed in `problems`.

    labels: file, folder or glob, depending on the format. images: the folder that file names of photos are relative to;
    None if the labels hold the photos themselves. choice: what is wanted of the labels.
    Raises DataError for a missing folder, missing photos, sizes that
    differ from the labels' sizes, and damaged labels.
    """
    return next(format_.open(labels, images, choice) for format_ in FORMATS.values() if format_.tells(labels, images))


def open_source(images: str | Path, annotations: str | Path, choice: Choice = ANYTHING) -> LabelSource:
    """Open the one data source of an annotation file and a folder of photos; see `open_sources`. Raises DataError."""
    (source,) = open_sources(annotations, images, choice)
    return source


def beside_photos(
    read: Callable[[str | Path, Choice], Labels], labels: str | Path, images: str | Path | None, choice: Choice
) -> list[LabelSource]:
    """`Format.open` for formats whose photos are in a folder. read: reads the labels. Raises DataError."""
    found = make_plausible(read(labels, choice))
    people = int(found.people.labelled.sum())
    folder = place(images or ".")
    named, name_problems = find_photos(folder, found.images)
    files, image_problems = check_images(folder, named, found.path)
    usable, label_problems = clean_people(select(replace(found, images=named), files))
    problems = [*name_problems, *image_problems, *label_problems]
    if people and not usable.people.labelled.any():
        raise DataError(f"{found.path}: no person with keypoints is left: {'; '.join(summarise(problems))}")
    notes = [f"{found.path}: {note}" for note in found.notes]
    return [LabelSource(usable, files, partial(_ignore_region, usable), problems, people, notes)]


# By name. The first format whose `tells` is true is used. The last one accepts everything, so its error messages
# describe what is wrong with unknown files.
FORMATS: dict[str, Format] = {
    "TFRecord shards": Format(
        lambda _, images: images is None, lambda labels, _, choice: open_records(str(labels), choice)
    ),
    "COCO keypoints": Format(lambda *_: True, partial(beside_photos, read_coco_file)),
}


def _ignore_region(labels: Labels, image_id: int) -> Mapping[str, Any] | None:
    image = labels.images[image_id]
    others = labels.others.people_of(image_id) if labels.others else None
    try:
        return encode_ignore_region(labels.people_of(image_id), image.height, image.width, labels.limbs, others)
    except DataError as error:
        raise DataError(f"{labels.path}: {error}") from None
