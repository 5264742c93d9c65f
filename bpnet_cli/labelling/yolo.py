"""YOLO-pose text files (Ultralytics), one for each photo: `labels/.../NAME.txt` beside `images/.../NAME.jpg`.

A line: class, box centre x, y, width, height, then x, y or x, y, visibility of each keypoint; lengths are shares of the
photo. Source: Ultralytics' documentation, "Pose Estimation Datasets Overview".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import read_text, read_yaml
from bpnet_cli.labelling.source import VISIBLE, Person, Photo, Point, Source, UnclearError, number, pairs_in, read_photo
from bpnet_cli.log import counted

_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml")
# A folder of one split is at most so many folders below data.yaml.
_ABOVE = 3


def tells(path: Path) -> bool:
    """Whether a path is a data.yaml with kpt_shape, or a folder with text files at or below one."""
    config = _config(path)
    if config is None or "kpt_shape:" not in read_text(config):
        return False
    return path.is_file() or config.parent == path or any(_label_files(path, config.parent))


def read(path: Path) -> Source:
    """Read a data set by its data.yaml or folder; by a folder inside, only the labels there. Raises DataError."""
    config = _config(path)
    if config is None:
        raise DataError(f"{path}: no data.yaml in it or above it; a YOLO-pose data set has one, with kpt_shape")
    raw = read_yaml(config)
    count, dims = _shape(config, raw)
    labels = _listed(config, raw.get("names"))
    folder, files = _found(path, config.parent, raw.get("path"))
    named = {label: _names(config, raw, i, count) for i, label in labels.items()}
    unnamed = not all(named.values())
    keypoints = {label: own or [str(k) for k in range(1, count + 1)] for label, own in named.items()}
    photos = [_photo(file, folder, labels, keypoints, count, dims) for file in files]
    limbs = {label: list(_limbs(raw.get("skeleton"), own)) for label, own in keypoints.items()}
    return Source(folder, photos, keypoints, limbs, unnamed)


def _config(path: Path) -> Path | None:
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    near = [path, *path.absolute().parents[:_ABOVE]] if path.is_dir() else []
    return next((folder / name for folder in near for name in _CONFIGS if (folder / name).is_file()), None)


def _shape(config: Path, raw: dict[str, Any]) -> tuple[int, int]:
    shape = raw.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and isinstance(shape[0], int) and shape[1] in (2, 3)):
        raise DataError(f"{config}: kpt_shape must be [number of keypoints, 2 or 3] (got {shape!r})")
    return shape[0], shape[1]


def _listed(config: Path, names: Any) -> dict[int, str]:
    """Names of classes by number, from YAML's list or mapping; without them, the first class has none."""
    found = _numbered([""] if names is None else names)
    if not found or not all(isinstance(i, int) for i in found):
        raise DataError(f"{config}: names must be a list, or a mapping of numbers to names (got {names!r})")
    return {i: str(name) for i, name in found.items()}


def _numbered(values: Any) -> dict[Any, Any]:
    """A list as a mapping of numbers; a mapping as it is; anything else is empty."""
    return values if isinstance(values, dict) else dict(enumerate(values if isinstance(values, list) else ()))


def _names(config: Path, raw: dict[str, Any], class_: int, count: int) -> list[str]:
    """The names of a class's keypoints (Ultralytics' kpt_names, or sleap-io's node_names); [] without any."""
    own = _numbered(raw.get("kpt_names")).get(class_) or raw.get("node_names") or []
    if not isinstance(own, list) or len(own) not in (0, count):
        raise DataError(f"{config}: kpt_shape says {counted(count, 'keypoint')}, but their names are {own!r}")
    return [str(name) for name in own]


def _limbs(pairs: Any, names: list[str]) -> Iterator[tuple[str, str]]:
    """The limbs of `skeleton`, which sleap-io writes: pairs of numbers from 0."""
    places = dict(enumerate(names))
    for a, b in pairs_in(pairs):
        if a in places and b in places:
            yield places[a], places[b]


def _found(path: Path, near: Path, stated: Any) -> tuple[Path, list[Path]]:
    """The folder of the data set, and its text files, or those below `path`. Raises DataError without any.

    near: the folder of data.yaml. stated: its key `path`.
    """
    if path.is_dir() and path != near:
        folders = {near: path.absolute()}
    else:
        folders = {folder: folder for folder in (near, *([near / str(stated), Path(str(stated))] if stated else []))}
    for folder, below in folders.items():
        if files := _label_files(below, folder):
            return folder, files
    raise DataError(f"{path}: no text file in a folder 'labels'; each photo's labels are labels/.../NAME.txt")


def _label_files(folder: Path, root: Path) -> list[Path]:
    """The text files below a folder that are in a folder `labels` of a data set. root: the folder of the data set."""
    files = folder.absolute().rglob("*.txt") if folder.is_dir() else ()
    return sorted(file for file in files if "labels" in file.relative_to(root.absolute()).parts[:-1])


def _photo(
    file: Path, folder: Path, labels: dict[int, str], keypoints: dict[str, list[str]], count: int, dims: int
) -> Photo:
    parts = list(file.relative_to(folder.absolute()).parts)
    last = len(parts) - 1 - parts[::-1].index("labels")
    parts[last], parts[-1] = "images", file.stem
    name = "/".join(parts)

    def make() -> Photo:
        people = [_person(row, labels, keypoints, count, dims) for row in _rows(file)]
        return Photo(name, people, shares=True, any_ending=True)

    return read_photo(name, make)


def _rows(file: Path) -> list[list[str]]:
    try:
        return [line.split() for line in read_text(file).splitlines() if line.strip()]
    except DataError as error:
        raise UnclearError(str(error)) from None


def _person(row: list[str], labels: dict[int, str], keypoints: dict[str, list[str]], count: int, dims: int) -> Person:
    if len(row) != 5 + count * dims:
        raise UnclearError(
            f"a line has {len(row)} numbers, where kpt_shape asks for {5 + count * dims}; is it cut off?"
        )
    class_, x, y, width, height, *rest = (number(word) for word in row)
    if class_ not in labels:
        raise UnclearError(f"class {class_:g} is not among the names of data.yaml")
    if max(x, y, width, height) > 2:
        raise UnclearError("the numbers are not shares of the photo")
    label = labels[int(class_)]
    points = {}
    for name, start in zip(keypoints[label], range(0, len(rest), dims), strict=True):
        at = rest[start : start + dims]
        visibility = at[2] if dims == 3 else VISIBLE * any(at)
        if visibility > 0 and any(at[:2]):
            points[name] = Point(at[0], at[1], min(round(visibility), VISIBLE))
    return Person(label, points, (x - width / 2, y - height / 2, width, height))
