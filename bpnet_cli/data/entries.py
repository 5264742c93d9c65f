"""Checks of single entries of a COCO file.

The faults found here are faults of the program that wrote the file. So they stop the run, and nothing is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bpnet_cli.data.labels import Entry, Region
from bpnet_cli.errors import DataError

_LARGEST, _LARGEST_COUNT = 1e30, 10**9


def keypoint_category(path: Path, categories: list[dict[str, Any]]) -> dict[str, Any]:
    """The first category that has keypoints. Raises DataError."""
    for category in categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names and "id" in category and all(isinstance(name, str) for name in names):
            return category
    raise DataError(f"{path}: no category with an id and a list of keypoint names; is it a keypoint annotation file?")


def limbs_of(pairs: Any, count: int) -> tuple[tuple[int, int], ...]:
    """Pairs of keypoints, counted from 0, from COCO's `skeleton`, which counts from 1.

    Pairs that make no sense are skipped without an error, because most programs don't read `skeleton`.
    """
    known = [[a, b] for a in range(1, count + 1) for b in range(1, count + 1)]
    return tuple((pair[0] - 1, pair[1] - 1) for pair in (pairs if isinstance(pairs, list) else []) if pair in known)


def refuse_repeated(path: Path, kind: str, entries: list[dict[str, Any]]) -> None:
    """Raise DataError if two entries have the same id. kind: "image" or "annotation", for the message."""
    counts = Counter(repr(entry["id"]) for entry in entries if "id" in entry)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
        raise DataError(f"{path}: {kind} id {repeated[0]}{more} occurs more than once")


def checked_image(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Check the entry of an image and return it. Raises DataError for a missing key or a value of the wrong type."""
    label = entry.get("file_name", entry.get("id", "?"))
    for key, kind in (("id", int), ("file_name", str), ("width", int), ("height", int)):
        if key not in entry:
            raise DataError(f"{path}: image {label}: {key} is missing")
        if not isinstance(entry[key], kind):
            raise DataError(f"{path}: image {label}: {key} must be {kind.__name__} (got {entry[key]!r})")
    return entry


def checked_annotation(path: Path, entry: dict[str, Any], count: int, images: Mapping[int, Any]) -> Entry:
    """Check the entry of a person or crowd with `count` keypoints and convert it.

    The list of keypoints may be missing if no keypoint is labelled. images: by id. Raises DataError for a missing key,
    a value of the wrong type, or an impossible value.
    """
    place = f"annotation {entry.get('id', '?')}"
    where = f"{path}: {place}"
    if not isinstance(entry.get("image_id"), int) or entry["image_id"] not in images:
        raise DataError(f"{where}: image_id {entry.get('image_id')!r} is not among the images")
    if "bbox" not in entry:
        raise DataError(f"{where}: bbox is missing; it must be 4 numbers x, y, width, height")
    box, area = entry["bbox"], entry.get("area") or 0
    if not _are_numbers(box) or len(box) != 4:
        raise DataError(f"{where}: bbox must be 4 finite numbers x, y, width, height (got {box!r})")
    if min(box[2:]) < 0 or not _are_numbers([area]) or area < 0:
        raise DataError(f"{where}: bbox sizes and area must not be negative (got {box}, area {area!r})")
    stated = entry.get("num_keypoints", 0)
    if not isinstance(stated, int) or not 0 <= stated < _LARGEST_COUNT:
        raise DataError(f"{where}: num_keypoints must be a whole number (got {stated!r})")
    unknown = entry.get("unknown_keypoints", [])
    if not isinstance(unknown, list) or not all(isinstance(k, int) and 0 <= k < count for k in unknown):
        raise DataError(f"{where}: unknown_keypoints must be a list of numbers from 0 to {count - 1} (got {unknown!r})")
    keypoints = _checked_keypoints(where, entry, count)
    labelled = stated if "num_keypoints" in entry else sum(v > 0 for v in keypoints[2::3])
    region, crowd = _compact(entry.get("segmentation")), bool(entry.get("iscrowd"))
    return Entry(entry["image_id"], keypoints, box, float(area), crowd, labelled, unknown, region, place)


def _checked_keypoints(where: str, entry: Mapping[str, Any], count: int) -> list[float]:
    keypoints = entry.get("keypoints")
    if not keypoints and not entry.get("num_keypoints"):
        keypoints = [0] * (3 * count)
    if not isinstance(keypoints, list) or len(keypoints) != 3 * count:
        got = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        raise DataError(f"{where}: keypoints must hold 3 x {count} = {3 * count} numbers (got {got})")
    if not _are_numbers(keypoints):
        # Some programs write NaN for a missing point. Only unlabelled points may have it: a labelled one needs a place.
        points = [keypoints[i : i + 3] for i in range(0, len(keypoints), 3)]
        keypoints = [value for point in points for value in ([0, 0, 0] if point[2] == 0 else point)]
    if not _are_numbers(keypoints):
        raise DataError(f"{where}: keypoints must be finite numbers")
    if not set(keypoints[2::3]) <= {0, 1, 2}:
        raise DataError(f"{where}: visibilities must be 0, 1 or 2 (got {sorted(set(keypoints[2::3]))})")
    return keypoints


def _are_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers that fit into a float32."""
    # Each line is a loop in C, because a data set has tens of millions of values. NaN is checked separately: `max` may
    # miss larger values after a NaN.
    return (
        isinstance(values, list)
        and set(map(type, values)) <= {int, float}
        and max(map(abs, values), default=0) < _LARGEST
        and not any(map(math.isnan, values))
    )


def _compact(segmentation: Any) -> Region:
    """Convert polygons to arrays, which take a quarter of the memory.

    Anything else stays as it is: `data.masks` checks it when it decodes the region.
    """
    if isinstance(segmentation, list) and all(map(_are_numbers, segmentation)):
        segmentation = tuple(np.array(part, np.float64) for part in segmentation)
    return segmentation or None
