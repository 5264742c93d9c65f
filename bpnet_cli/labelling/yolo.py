"""YOLO-pose text files (Ultralytics), one for each photo: `labels/.../NAME.txt` beside `images/.../NAME.jpg`.

A line: class, box centre x, y, width, height, then x, y or x, y, visibility of each keypoint; lengths are shares of the
photo. Source: Ultralytics' documentation, "Pose Estimation Datasets Overview".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import read_text, read_yaml
from bpnet_cli.labelling.source import VISIBLE, Person, Photo, Point, Source, UnclearError, number, read_photo
from bpnet_cli.log import counted

_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml")


def tells(path: Path) -> bool:
    """Whether a path is a data.yaml with kpt_shape, or a folder with one."""
    config = _config(path)
    return config is not None and "kpt_shape:" in read_text(config)


def read(path: Path) -> Source:
    """Read a data set by its data.yaml, or by the folder of it. Raises DataError."""
    config = _config(path)
    if config is None:
        raise DataError(f"{path}: no data.yaml in it; a YOLO-pose data set has one, with kpt_shape")
    raw = read_yaml(config)
    count, dims = _shape(config, raw)
    labels = _listed(raw.get("names"))
    folder, files = _label_files(config.parent, raw.get("path"))
    named = {label: _names(config, raw, i, count) for i, label in labels.items()}
    unnamed = not all(named.values())
    keypoints = {label: own or [str(k) for k in range(1, count + 1)] for label, own in named.items()}
    photos = [_photo(file, folder, labels, keypoints, count, dims) for file in files]
    pairs = [pair for pair in raw.get("skeleton") or () if max(pair) < count]
    limbs = {label: [(own[a], own[b]) for a, b in pairs] for label, own in keypoints.items()}
    return Source(folder, photos, keypoints, limbs, unnamed)


def _config(path: Path) -> Path | None:
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    return next((path / name for name in _CONFIGS if (path / name).is_file()), None)


def _shape(config: Path, raw: dict[str, Any]) -> tuple[int, int]:
    shape = raw.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and isinstance(shape[0], int) and shape[1] in (2, 3)):
        raise DataError(f"{config}: kpt_shape must be [number of keypoints, 2 or 3] (got {shape!r})")
    return shape[0], shape[1]


def _listed(names: Any) -> dict[int, str]:
    """Names of classes by number, from YAML's list or mapping; without them, the first class has none."""
    pairs = names.items() if isinstance(names, dict) else enumerate(names or [""])
    return {int(i): str(name) for i, name in pairs}


def _names(config: Path, raw: dict[str, Any], number_: int, count: int) -> list[str]:
    """The names of a class's keypoints (Ultralytics' kpt_names, or sleap-io's node_names); [] without any."""
    given = raw.get("kpt_names")
    own = dict(given.items() if isinstance(given, dict) else enumerate(given or ())).get(number_) or raw.get(
        "node_names"
    )
    if own and len(own) != count:
        raise DataError(f"{config}: kpt_shape says {counted(count, 'keypoint')}, but there are {len(own)} names")
    return [str(name) for name in own or ()]


def _label_files(near: Path, stated: Any) -> tuple[Path, list[Path]]:
    """The folder of the data set, and the text files in folders `labels` below it. Raises DataError without any."""
    folders = [near, *([near / str(stated), Path(str(stated))] if stated else [])]
    for folder in folders:
        files = sorted(f for f in folder.rglob("*.txt") if "labels" in f.relative_to(folder).parts[:-1])
        if files:
            return folder, files
    raise DataError(f"{near}: no text file in a folder 'labels' below it; each photo's labels are labels/.../NAME.txt")


def _photo(
    file: Path, folder: Path, labels: dict[int, str], keypoints: dict[str, list[str]], count: int, dims: int
) -> Photo:
    parts = list(file.relative_to(folder).parts)
    last = len(parts) - 1 - parts[::-1].index("labels")
    parts[last], parts[-1] = "images", file.stem
    return read_photo(
        "/".join(parts),
        lambda: [_person(row, labels, keypoints, count, dims) for row in _rows(file)],
        shares=True,
        any_ending=True,
    )


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
