"""What single photos and people of a data set may be wrong about, and what becomes of them.

A data set that is wrong as a whole (another folder, labels for other sizes) is refused with one message. A photo or a
person that is wrong is left out and counted, so that one bad file in many doesn't stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.images import EncodedImage, image_file, read_header
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


class Problem(NamedTuple):
    """What was left out or changed. reason: one of this module's; name: of the first thing a user can look up."""

    reason: str
    name: str


def summarise(problems: Iterable[Problem]) -> list[str]:
    """One line per reason: the count and the first example."""
    by_reason: dict[str, list[str]] = {}
    for reason, name in problems:
        by_reason.setdefault(reason, []).append(name)
    return [f"{reason}: {len(names)} (first: {names[0]})" for reason, names in by_reason.items()]


def check_images(
    folder: Path, images: Mapping[int, Mapping[str, Any]], labels: str | Path
) -> tuple[dict[int, EncodedImage], list[Problem]]:
    """The photos that can be used, by id, and what is wrong with the others; reads headers and last bytes only.

    images: COCO image entries by id. labels: the annotation file, for messages.
    Raises DataError when the folder or a photo is absent, and for sizes that differ from the labels'.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos")
    with ThreadPoolExecutor(16) as pool:
        checked = dict(zip(images, pool.map(lambda entry: _check_image(folder, entry), images.values()), strict=True))
    refused = [f"image {i}: {result}" for i, result in checked.items() if isinstance(result, str)]
    if refused:
        more = f" (and {len(refused) - 1} more photos like it)" if len(refused) > 1 else ""
        raise DataError(f"{labels}: {refused[0]}{more}")
    problems = [result for result in checked.values() if isinstance(result, Problem)]
    if len(problems) == len(checked):
        raise DataError(f"{labels}: no photo is left: {'; '.join(summarise(problems))}")
    return {i: result for i, result in checked.items() if isinstance(result, EncodedImage)}, problems


def clean_annotations(
    annotations: Mapping[int, Sequence[dict[str, Any]]], images: Mapping[int, Mapping[str, Any]]
) -> tuple[dict[int, list[dict[str, Any]]], list[Problem]]:
    """COCO entries by image id without what lies outside of their photos, and what was changed.

    A point is inside up to the photo's edges, whether pixel centres are counted from 0 or from 0.5.
    """
    entries = [(image_id, entry) for image_id, group in annotations.items() for entry in group]
    if not entries:
        return {image_id: [] for image_id in annotations}, []
    sizes = np.array([(images[i]["width"], images[i]["height"]) for i, _ in entries], float).reshape(-1, 2)
    points = np.array([a["keypoints"] for _, a in entries], float).reshape(len(entries), -1, 3)
    boxes = np.array([a["bbox"] for _, a in entries], float).reshape(-1, 4)
    far = ((points[..., :2] < -0.5) | (points[..., :2] > sizes[:, None])).any(axis=-1) & (points[..., 2] > 0)
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    gone = ((high < 0) | (low > sizes)).any(axis=1)
    cut = ((low < -_BOX_MARGIN_PX) | (high > sizes + _BOX_MARGIN_PX)).any(axis=1)
    cleaned: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in annotations}
    problems = []
    for row, (image_id, entry) in enumerate(entries):
        name = f"annotation {entry.get('id', '?')} of {images[image_id]['file_name']}"
        if gone[row]:
            problems.append(Problem(BOX_OUTSIDE, name))
            continue
        if cut[row]:
            problems.append(Problem(BOX_CUT, name))
            entry = _cut_box(entry, sizes[row])
        if far[row].any():
            problems += [Problem(KEYPOINT_OUTSIDE, name)] * int(far[row].sum())
            entry = _without(entry, points[row], far[row])
        cleaned[image_id].append(entry)
    return cleaned, problems


def _cut_box(entry: Mapping[str, Any], size: NDArray[np.float64]) -> dict[str, Any]:
    x, y, width, height = entry["bbox"]
    low, high = np.clip([[x, y], [x + width, y + height]], 0, size)
    return {**entry, "bbox": [*low.tolist(), *(high - low).tolist()]}


def _without(entry: Mapping[str, Any], points: NDArray[np.float64], unlabelled: NDArray[np.bool_]) -> dict[str, Any]:
    kept = np.where(unlabelled[:, None], 0.0, points)
    return {**entry, "keypoints": kept.ravel().tolist(), "num_keypoints": int((kept[:, 2] > 0).sum())}


def _check_image(folder: Path, entry: Mapping[str, Any]) -> EncodedImage | Problem | str:
    """The photo, what is wrong with it, or why the data set is to be refused."""
    path = folder / entry["file_name"]
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
    stored, wanted = (info.width, info.height), (entry["width"], entry["height"])
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
