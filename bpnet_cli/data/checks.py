"""What single photos and people of a data set may be wrong about, and what becomes of them.

A data set that is wrong as a whole (another folder, labels for other sizes) is refused with one message. A photo or a
person that is wrong is left out and counted, so that one bad file in many doesn't stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bpnet_cli.data.images import EncodedImage, image_file, read_header
from bpnet_cli.data.labels import Image, Labels, Problem, select
from bpnet_cli.errors import DataError

DAMAGED = "photos left out: damaged, cut off or of an unknown format"
TURNED = "photos left out: turned by EXIF, and the size doesn't tell whether before or after labelling"
PHOTO_REASONS = frozenset({DAMAGED, TURNED})
BOX_OUTSIDE = "people left out: box outside of the photo"
BOX_CUT = "boxes cut at the photo's edge"
KEYPOINT_OUTSIDE = "keypoints taken as unlabelled: outside of the photo"

# Boxes are often rounded outwards.
_BOX_MARGIN_PX = 1.0
# Behind the last marker some cameras write a little more; what has more than this is looked at as a whole.
_TAIL_BYTES = 64
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"


def summarise(problems: Iterable[Problem]) -> list[str]:
    """One line per reason: the count and the first example."""
    by_reason: dict[str, list[str]] = {}
    for reason, name in problems:
        by_reason.setdefault(reason, []).append(name)
    return [f"{reason}: {len(names)} (first: {names[0]})" for reason, names in by_reason.items()]


def check_images(
    folder: Path, images: Mapping[int, Image], labels: str | Path
) -> tuple[dict[int, EncodedImage], list[Problem]]:
    """The photos that can be used, by id, and what is wrong with the others; reads headers and last bytes only.

    images: by id. labels: the annotation file, for messages.
    Raises DataError when the folder or a photo is absent, and for sizes that differ from the labels'.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos")
    with ThreadPoolExecutor(16) as pool:
        checked = dict(zip(images, pool.map(lambda image: _check_image(folder, image), images.values()), strict=True))
    refused = [f"image {i}: {result}" for i, result in checked.items() if isinstance(result, str)]
    if refused:
        more = f" (and {len(refused) - 1} more photos like it)" if len(refused) > 1 else ""
        raise DataError(f"{labels}: {refused[0]}{more}")
    problems = [result for result in checked.values() if isinstance(result, Problem)]
    if len(problems) == len(checked):
        raise DataError(f"{labels}: no photo is left: {'; '.join(summarise(problems))}")
    return {i: result for i, result in checked.items() if isinstance(result, EncodedImage)}, problems


def clean_people(labels: Labels) -> tuple[Labels, list[Problem]]:
    """Labels without what lies outside of the photos, and what was changed.

    A point is inside up to the photo's edges, whether pixel centres are counted from 0 or from 0.5.
    """
    people = labels.people
    names, sizes = [], np.zeros((len(people), 2))
    for image, rows in zip(labels.images.values(), labels.rows.values(), strict=True):
        sizes[rows] = image.width, image.height
        names += [image.file_name] * (rows.stop - rows.start)
    points = people.keypoints
    outside = (points[..., :2] < -0.5) | (points[..., :2] > sizes[:, None])
    far = np.asarray(outside.any(axis=-1) & (points[..., 2] > 0))
    low, high = people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]
    gone = np.asarray(((high < 0) | (low > sizes)).any(axis=1))
    cut = ((low < -_BOX_MARGIN_PX) | (high > sizes + _BOX_MARGIN_PX)).any(axis=1) & ~gone
    far[gone] = False
    problems = []
    for row in np.flatnonzero(gone | cut | far.any(axis=1)):
        counts = {BOX_OUTSIDE: int(gone[row]), BOX_CUT: int(cut[row]), KEYPOINT_OUTSIDE: int(far[row].sum())}
        name = f"{people.places[row]} of {names[row]}"
        problems += [Problem(reason, name) for reason, count in counts.items() for _ in range(count)]
    if not problems:
        return labels, []
    low, high = np.clip(low, 0, sizes), np.clip(high, 0, sizes)
    points = np.where(far[..., None], 0, points)
    cleaned = replace(
        people,
        keypoints=points,
        boxes=np.where(cut[:, None], np.concatenate([low, high - low], axis=1), people.boxes),
        counts=np.where(far.any(axis=1), (points[..., 2] > 0).sum(axis=1), people.counts),
    )
    return select(replace(labels, people=cleaned), labels.images, ~gone), problems


def _check_image(folder: Path, image: Image) -> EncodedImage | Problem | str:
    """The photo, what is wrong with it, or why the data set is to be refused."""
    path = folder / image.file_name
    if not path.is_file():
        return f"{path} does not exist"
    try:
        with open(path, "rb") as file:
            info = read_header(file)
            whole, kind = _is_whole(file), _first_bytes(file, 2)
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    if info is None or not whole or min(info.width, info.height) < 1:
        return Problem(DAMAGED, str(path))
    stored, wanted = (info.width, info.height), (image.width, image.height)
    turned = stored[::-1] if info.rotation in (5, 6, 7, 8) else stored
    if wanted not in (stored, turned):
        return (
            f"{path} is {turned[0]} x {turned[1]}, but the labels are for"
            f" {wanted[0]} x {wanted[1]}; point to the photos the labels were made on"
        )
    # OpenCV turns TIFF files whether it is asked to or not.
    if info.rotation in range(2, 9) and (stored == turned or kind in (b"II", b"MM")):
        return Problem(TURNED, str(path))
    return image_file(path, as_stored=wanted == stored)


def _is_whole(file: BinaryIO) -> bool:
    """False for a JPEG or PNG without its end; other formats are taken to be whole."""
    start = _first_bytes(file, 8)
    end = {b"\xff\xd8": _JPEG_END, b"\x89P": _PNG_END}.get(start[:2])
    if end is None:
        return bool(start)
    file.seek(-min(_TAIL_BYTES, file.seek(0, 2)), 2)
    if end in file.read():
        return True
    file.seek(0)
    data = file.read()
    return data.find(end, _scan_start(data) if end == _JPEG_END else 0) >= 0


def _scan_start(data: bytes) -> int:
    """Where a JPEG's first scan begins: the end marker of a thumbnail in the segments before it doesn't count."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        position += 1 if data[position + 1] == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def _first_bytes(file: BinaryIO, count: int) -> bytes:
    file.seek(0)
    return file.read(count)
