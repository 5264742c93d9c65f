"""Reading single entries of a COCO file, as many tools write them.

What has only one meaning is read, whatever its form. The faults that are refused here are faults of the program that
wrote the file. So they stop the run, and nothing is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bpnet_cli.data.categories import Category
from bpnet_cli.data.identity import Id, id_of, whole
from bpnet_cli.data.labels import Entry, Image, Problem, Region
from bpnet_cli.data.plausible import box_around
from bpnet_cli.errors import DataError
from bpnet_cli.log import one_line

_LARGEST = 1e30
NESTED = "keypoints read from nested lists"
_CROWDS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True, "0.0": False, "1.0": True}
# A path: no control characters, which could pass for lines of ours, and no more characters than systems take.
_NAME, _NAME_WORDS = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,4096}"), "a path, without control characters"
_MOST_SHOWN = 100
_MOST_PIXELS = 1 << 31


def _side(value: Any) -> int | None:
    """A height or width; None for what can't be one."""
    side = whole(value)
    return side if side is not None and side < _MOST_PIXELS else None


# By key of an image, in the order of `Image`: the reader, which returns None for what it can't read, and the kind.
_IMAGE_KEYS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "id": (id_of, "a whole number or text"),
    "file_name": (lambda value: value if isinstance(value, str) and _NAME.fullmatch(value) else None, _NAME_WORDS),
    "height": (_side, "a whole number"),
    "width": (_side, "a whole number"),
}
NO_BOX = (0.0, 0.0, 0.0, 0.0)


def checked_image(path: Path, entry: dict[str, Any]) -> tuple[Id, Image]:
    """Check the entry of an image; returns its id too. Raises DataError for a missing key or a wrong value."""
    label = one_line(str(entry.get("file_name", entry.get("id", "?")))[:_MOST_SHOWN])
    values: list[Any] = []
    for key, (read, kind) in _IMAGE_KEYS.items():
        if key not in entry:
            raise DataError(f"{path}: image {label}: {key} is missing")
        values.append(read(entry[key]))
        if values[-1] is None:
            raise DataError(f"{path}: image {label}: {key} must be {kind} (got {repr(entry[key])[:_MOST_SHOWN]})")
    return values[0], Image(*values[1:])


def checked_annotation(
    path: Path,
    entry: dict[str, Any],
    category: Category,
    numbers: Mapping[Id, int],
    columns: Sequence[int] | None,
    count: int,
    notes: list[Problem],
) -> Entry:
    """Check the entry of a person or crowd of a category and convert it.

    The list of keypoints may be missing if no keypoint is labelled; a box may be missing, which gives `NO_BOX`.
    numbers: of the images, by id. columns: the place of each of the category's keypoints among all `count`, None for
    the same places; keypoints that the category lacks are unknown. notes: takes what was unusual.
    Raises DataError for a missing key, a value of the wrong type, or an impossible value.
    """
    place = f"annotation {entry.get('id', '?')}"
    where = f"{path}: {place}"
    size = len(category.keypoints)
    number = numbers.get(_known_id(entry.get("image_id")))
    if number is None:
        raise DataError(f"{where}: image_id {entry.get('image_id')!r} is not among the images")
    box: Any = entry.get("bbox") or NO_BOX
    area: Any = entry.get("area") or 0
    if not _are_numbers(box) or len(box) != 4:
        raise DataError(f"{where}: bbox must be 4 finite numbers x, y, width, height (got {box!r})")
    if min(box[2:]) < 0 or not _are_numbers([area]) or area < 0:
        raise DataError(f"{where}: bbox sizes and area must not be negative (got {box}, area {area!r})")
    unknown = entry.get("unknown_keypoints", [])
    if not isinstance(unknown, list) or not all(isinstance(k, int) and 0 <= k < size for k in unknown):
        raise DataError(f"{where}: unknown_keypoints must be a list of numbers from 0 to {size - 1} (got {unknown!r})")
    keypoints = _checked_keypoints(where, entry, category, size)
    if keypoints is not entry.get("keypoints") and isinstance(_first(entry.get("keypoints")), list):
        notes.append(Problem(NESTED, place))
    if columns is not None:
        keypoints, unknown = _placed(keypoints, unknown, columns, count)
    region, crowd = _compact(entry.get("segmentation")), _checked_crowd(where, entry.get("iscrowd"))
    return Entry(number, keypoints, box, float(area), crowd, unknown, region, place)


def loose_region(entry: dict[str, Any], numbers: Mapping[Id, int], images: Mapping[int, Image]) -> Entry | None:
    """The place of somebody whose category is not used, as an entry without keypoints; None if it can't be told.

    The box is made from the keypoints if there is none. images: by number.
    """
    number = numbers.get(_known_id(entry.get("image_id")))
    if number is None:
        return None
    box: Any = entry.get("bbox")
    if not _are_numbers(box) or len(box) != 4 or min(box[2:]) <= 0:
        box = None
    region = _compact(entry.get("segmentation"))
    if box is None:
        values = [v for part in entry["keypoints"] for v in (part if isinstance(part, list) else [part])]
        if len(values) % 3 or not _are_numbers(values):
            return None
        points = np.reshape(np.array(values, np.float64), (-1, 3))
        box = box_around(points[points[:, 2] > 0, :2], images[number].height, images[number].width)
    return Entry(number, [], box, 0.0, False, (), region, f"annotation {entry.get('id', '?')}")


def _known_id(value: Any) -> Id:
    """The id of a value; something that is no id of anything for a value that can't be one."""
    found = id_of(value)
    return repr(value) if found is None else found


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _checked_crowd(where: str, value: Any) -> bool:
    crowd = _CROWDS.get(str(value).strip().lower()) if value not in (None, "") else False
    if crowd is None:
        raise DataError(f"{where}: iscrowd must be 0 or 1 (got {value!r})")
    return crowd


def _checked_keypoints(where: str, entry: Mapping[str, Any], category: Category, size: int) -> list[float]:
    keypoints: Any = entry.get("keypoints")
    if not keypoints and not entry.get("num_keypoints"):
        keypoints = [0] * (3 * size)
    if isinstance(_first(keypoints), list):
        keypoints = _flat(where, keypoints)
    if not isinstance(keypoints, list) or len(keypoints) != 3 * size:
        raise DataError(f"{where}: {_wrong_length(keypoints, category, size)}")
    if not _are_numbers(keypoints):
        # Some programs write NaN or null for a missing point. Only unlabelled points may have it: a labelled one needs
        # a place.
        points = [keypoints[i : i + 3] for i in range(0, len(keypoints), 3)]
        keypoints = [value for point in points for value in ([0, 0, 0] if point[2] in (0, None) else point)]
    if not _are_numbers(keypoints):
        raise DataError(f"{where}: keypoints must be finite numbers")
    if not set(keypoints[2::3]) <= {0, 1, 2}:
        raise DataError(f"{where}: visibilities must be 0, 1 or 2 (got {sorted(set(keypoints[2::3]))})")
    checked: list[float] = keypoints
    return checked


def _flat(where: str, points: Sequence[Any]) -> list[Any]:
    """Nested points x, y, visibility as one list. Raises DataError for points of another length."""
    lengths = {len(point) if isinstance(point, list) else 0 for point in points}
    if lengths == {2}:
        raise DataError(f"{where}: keypoints are points of two numbers; {_TWO}")
    if lengths != {3}:
        raise DataError(f"{where}: keypoints are nested lists, but not all of three numbers x, y, visibility")
    return [value for point in points for value in point]


_TWO = "each needs three: x, y, visibility (0 unlabelled, 1 occluded, 2 visible)"


def _wrong_length(keypoints: Any, category: Category, size: int) -> str:
    got = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
    text = f"keypoints must hold 3 x {size} = {3 * size} numbers (got {got})"
    if got == 2 * size:
        return f"{text}; these look like two numbers for each point, and {_TWO}"
    return f"{text}, because category {category.name!r} names {size} keypoints"


def _placed(
    keypoints: Sequence[float], unknown: Sequence[int], columns: Sequence[int], count: int
) -> tuple[list[float], list[int]]:
    """The keypoints of one category among those of all; the others are unknown."""
    wide = [0.0] * (3 * count)
    for k, column in enumerate(columns):
        wide[3 * column : 3 * column + 3] = keypoints[3 * k : 3 * k + 3]
    return wide, [*(columns[k] for k in unknown), *sorted(set(range(count)) - set(columns))]


def _are_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers that fit into a float32."""
    # Each line is a loop in C, because a data set has tens of millions of values. NaN is checked separately: `max` may
    # miss larger values after a NaN.
    return (
        isinstance(values, list | tuple)
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
