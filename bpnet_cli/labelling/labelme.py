"""labelme's JSON files, one beside each photo (X-AnyLabeling and AnyLabeling write the same).

Points and rectangles with one `group_id` are one person. Source: labelme's own reader, `_label_file.py` of version 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import head_of, read_json
from bpnet_cli.labelling.groups import Frame, Mark, people_of
from bpnet_cli.labelling.source import OCCLUDED, VISIBLE, Box, Person, Photo, Point, Source, number, read_photo


def tells(path: Path) -> bool:
    """Whether a path is labelme's JSON, or a folder with such files."""
    files = _files(path) if path.is_dir() else [path]
    return any(file.suffix == ".json" and _is_labelme(file) for file in files)


def read(path: Path) -> Source:
    """Read one JSON file, or all of a folder. Raises DataError where there is none."""
    files = _files(path) if path.is_dir() else [path]
    photos = [photo for file in files if (photo := _photo(file, path if path.is_dir() else path.parent))]
    if not photos:
        raise DataError(f"{path}: no JSON file of labelme in it (with 'shapes' and 'imagePath')")
    return Source(path if path.is_dir() else path.parent, photos)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def _is_labelme(file: Path) -> bool:
    # The photo itself may stand in the file, between the two keys.
    data = head_of(file, file.stat().st_size)
    return b'"shapes"' in data and b'"imagePath"' in data


def _photo(file: Path, folder: Path) -> Photo | None:
    """The photo of a file; None where the file isn't labelme's. `imagePath` is relative to the file."""
    near = file.relative_to(folder).parent
    try:
        raw = read_json(file)
    except DataError as error:
        return Photo((near / file.name).as_posix(), problem=str(error))
    if not isinstance(raw, dict) or not {"shapes", "imagePath"} <= raw.keys():
        return None
    height, width = raw.get("imageHeight"), raw.get("imageWidth")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    name = (near / str(raw["imagePath"])).as_posix()
    return read_photo(name, lambda: Photo(name, _people(raw["shapes"]), size))


def _people(shapes: list[dict[str, Any]]) -> list[Person]:
    marks = [
        Mark(str(shape["label"]), _point(shape), shape.get("group_id"))
        for shape in shapes
        if shape["shape_type"] == "point"
    ]
    frames = [
        Frame(str(shape["label"]), _box(shape), shape.get("group_id"))
        for shape in shapes
        if shape["shape_type"] == "rectangle"
    ]
    return people_of(marks, frames)


def _point(shape: dict[str, Any]) -> Point:
    """A point. It is occluded where the flag `occluded` is set."""
    ((x, y),) = shape["points"]
    return Point(number(x), number(y), OCCLUDED if (shape.get("flags") or {}).get("occluded") else VISIBLE)


def _box(shape: dict[str, Any]) -> Box:
    """The box of a rectangle, from two or four corners in any order."""
    xs, ys = zip(*((number(x), number(y)) for x, y in shape["points"]), strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
