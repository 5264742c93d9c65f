"""The formats of labels that can be read, and opening data sources of any of these formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bpnet_cli.data.checks import check_images, clean_people, summarise
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.labels import Labels, LabelSource, select
from bpnet_cli.data.masks import encode_ignore_region
from bpnet_cli.data.records import open_records
from bpnet_cli.errors import DataError


class Format(NamedTuple):
    """A format of labels on disk. Both functions take the labels' path and the folder of photos (or None).

    tells: whether these labels have this format. open: returns the data sources; raises DataError.
    """

    tells: Callable[[str | Path, str | Path | None], bool]
    open: Callable[[str | Path, str | Path | None], list[LabelSource]]


def open_sources(labels: str | Path, images: str | Path | None = None) -> list[LabelSource]:
    """Open the data sources at a path. Unusable photos and people are left out and listed in `problems`.

    labels: file, folder or glob, depending on the format. images: the folder that file names of photos are relative to;
    None if the labels hold the photos themselves. Raises DataError for a missing folder, missing photos, sizes that
    differ from the labels' sizes, and damaged labels.
    """
    return next(format_.open(labels, images) for format_ in FORMATS.values() if format_.tells(labels, images))


def open_source(images: str | Path, annotations: str | Path) -> LabelSource:
    """Open the one data source of an annotation file and a folder of photos; see `open_sources`. Raises DataError."""
    (source,) = open_sources(annotations, images)
    return source


def beside_photos(
    read: Callable[[str | Path], Labels], labels: str | Path, images: str | Path | None
) -> list[LabelSource]:
    """`Format.open` for formats whose photos are in a folder. read: reads the labels. Raises DataError."""
    found = read(labels)
    people = int(found.people.labelled.sum())
    files, image_problems = check_images(Path(images or "."), found.images, found.path)
    usable, label_problems = clean_people(select(found, files))
    problems = [*image_problems, *label_problems]
    if people and not usable.people.labelled.any():
        raise DataError(f"{found.path}: no person with keypoints is left: {'; '.join(summarise(problems))}")
    return [LabelSource(usable, files, partial(_ignore_region, usable), problems, people)]


# By name. The first format whose `tells` is true is used. The last one accepts everything, so its error messages
# describe what is wrong with unknown files.
FORMATS: dict[str, Format] = {
    "TFRecord shards": Format(lambda _, images: images is None, lambda labels, _: open_records(str(labels))),
    "COCO keypoints": Format(lambda *_: True, partial(beside_photos, read_coco_file)),
}


def _ignore_region(labels: Labels, image_id: int) -> Mapping[str, Any] | None:
    image = labels.images[image_id]
    try:
        return encode_ignore_region(labels.people_of(image_id), image.height, image.width, labels.limbs)
    except DataError as error:
        raise DataError(f"{labels.path}: {error}") from None
