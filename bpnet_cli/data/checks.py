"""The checks of photos and people in a data set.

A data set that is wrong as a whole (wrong folder, labels for other sizes) is refused with one message. A single bad
photo or person is left out and counted, so that one bad file among many doesn't stop a run.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import numpy as np

from bpnet_cli.data.images import EncodedImage, image_file, read_header
from bpnet_cli.data.labels import Image, Labels, Problem, select, summarise
from bpnet_cli.data.plausible import photo_sizes
from bpnet_cli.errors import DataError
from bpnet_cli.storage import is_remote, place

DAMAGED = "photos left out: damaged, cut off or of an unknown format"
TURNED = "photos left out: rotated by EXIF, and the size doesn't show whether the labels are for the rotated photo"
ELSEWHERE = "photos found under another path than their file_name"
PHOTO_REASONS = frozenset({DAMAGED, TURNED})
BOX_OUTSIDE = "people left out: box outside of the photo"
BOX_CUT = "boxes cut at the photo's edge"
KEYPOINT_OUTSIDE = "keypoints taken as unlabelled: outside of the photo"

# Many data sets round boxes outwards, so a box may be up to this many pixels outside of the photo.
_BOX_MARGIN_PX = 1.0
# Some cameras write a few bytes after the end marker. If the last bytes, this many, don't hold the marker, the whole
# file is searched.
_TAIL_BYTES = 64
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"


def find_photos(folder: Path, images: Mapping[int, Image]) -> tuple[dict[int, Image], list[Problem]]:
    """The images with the file names under which they are found in the folder, and a problem for each other name.

    Names may have backslashes, and folders in front that are not there: `images\\x.jpg` is found as `x.jpg`.
    Names that are not found, or that would be found where another one is, stay as they are.
    """
    is_there = _looking_in(folder)
    with ThreadPoolExecutor(16) as pool:
        found_names = pool.map(lambda image: _find(image.file_name, is_there), images.values())
        names = dict(zip(images, found_names, strict=True))
    times = Counter(names.values())
    moved = {i: name for i, name in names.items() if name != images[i].file_name and times[name] == 1}
    found = {i: image._replace(file_name=moved.get(i, image.file_name)) for i, image in images.items()}
    return found, [Problem(ELSEWHERE, f"{images[i].file_name} is {name}") for i, name in moved.items()]


def _looking_in(folder: Path) -> Callable[[str], bool]:
    """Whether a folder has a file of a name. A URL is listed once: asking is a request for each name."""
    if is_remote(folder):
        names = frozenset(folder.below())
        return lambda name: str(PurePosixPath(name)) in names
    return lambda name: os.path.isfile(folder / name)  # False for a name that is too long for the disk


def states(folder: str | Path, names: Sequence[str]) -> Iterator[str]:
    """For each file of a folder, text that is another one after the file has changed."""
    path = place(folder)
    if is_remote(path):
        below = path.below()
        yield from (below.get(str(PurePosixPath(name)), "") for name in names)
    else:
        found = ((path / name).stat() for name in names)
        yield from (f"{state.st_size} {state.st_mtime_ns}" for state in found)


def _find(name: str, is_there: Callable[[str], bool]) -> str:
    if not _leads_out(name) and is_there(name):
        return name
    parts = [part for part in re.split(r"[\\/]+", name) if part]
    inside = parts[max((place for place, part in enumerate(parts, 1) if part == ".."), default=0) :]
    tails = ["/".join(inside[start:]) for start in range(len(inside))]
    return next((tail for tail in tails if is_there(tail)), name)


def _leads_out(name: str) -> bool:
    """Whether a name may be that of a file outside of the folder: labels of strangers must not read such files."""
    drive = os.name == "nt" and PureWindowsPath(name).anchor
    return name.startswith("/") or ".." in re.split(r"[\\/]+", name) or bool(drive)


def check_images(
    folder: Path, images: Mapping[int, Image], labels: str | Path
) -> tuple[dict[int, EncodedImage], list[Problem]]:
    """Return the usable photos by image id, and the problems of the others. Reads mostly headers and last bytes.

    images: by image id. labels: the annotation file, for messages.
    Raises DataError if the folder or a photo is missing or can't be read, if a photo's size differs from the size in
    the labels, or if no photo is usable.
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
    """Return the labels without the parts that lie outside of the photos, and a list of the changes.

    People with a box outside are left out. Boxes are cut at the photo's edge. Keypoints outside become unlabelled.
    Points on the photo's edges are inside, both if pixel centres are counted from 0 and if they are counted from 0.5.
    """
    people = labels.people
    sizes = photo_sizes(labels)
    names = [labels.images[i].file_name for i, rows in labels.rows.items() for _ in range(rows.start, rows.stop)]
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
    )
    return select(replace(labels, people=cleaned), labels.images, ~gone), problems


def _check_image(folder: Path, image: Image) -> EncodedImage | Problem | str:
    """Return the photo; or a `Problem` if the photo must be left out; or a text if the data set must be refused."""
    if _leads_out(image.file_name):
        return (
            f"{image.file_name} leads out of the folder of photos, {folder}, and the folder has no photo of this name;"
            " give a folder that holds all photos"
        )
    path = folder / image.file_name
    remote = is_remote(path)
    if not remote and not os.path.isfile(path):
        return f"{path} does not exist"
    try:
        # One request for the whole photo takes less time than one each for its header and its end.
        with BytesIO(path.read_bytes()) if remote else open(path, "rb") as file:
            info = read_header(file)
            whole, kind = _is_whole(file), _first_bytes(file, 2)
    except OSError as error:
        absent = error.errno == errno.ENOENT
        return f"{path} does not exist" if absent else f"{path} can't be read: {error.strerror or error}"
    if info is None or not whole or min(info.width, info.height) < 1:
        return Problem(DAMAGED, str(path))
    stored, wanted = (info.width, info.height), (image.width, image.height)
    turned = stored[::-1] if info.rotation in (5, 6, 7, 8) else stored
    if wanted not in (stored, turned):
        return (
            f"{path} is {turned[0]} x {turned[1]}, but the labels are for"
            f" {wanted[0]} x {wanted[1]}; give the folder of the photos that were labelled"
        )
    # OpenCV always applies the EXIF rotation to TIFF files, even with IMREAD_IGNORE_ORIENTATION.
    if info.rotation in range(2, 9) and (stored == turned or kind in (b"II", b"MM")):
        return Problem(TURNED, str(path))
    return image_file(path, as_stored=wanted == stored)


def _is_whole(file: BinaryIO) -> bool:
    """False for a JPEG or PNG without its end marker. Files of other formats count as whole unless they are empty."""
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
    """Position of a JPEG's first scan, in bytes.

    The segments before the scan may hold a thumbnail, whose end marker must not count.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        position += 1 if data[position + 1] == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def _first_bytes(file: BinaryIO, count: int) -> bytes:
    file.seek(0)
    return file.read(count)
