"""DeepLabCut: the labelled frames of a project, in `labeled-data/*/CollectedData_*.csv`.

Heads of the columns: scorer, individuals (in projects for several animals), bodyparts, coords. Each row is a frame.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import head_of, read_text, read_yaml
from bpnet_cli.labelling.source import PERSON, Person, Photo, Point, Source, number, pairs_in, read_photo

# The individual of keypoints that only one animal of a project has.
_SINGLE = "single"
_HEADS = ("scorer", "individuals", "bodyparts", "coords")
Column = tuple[str, str, str]


def tells(path: Path) -> bool:
    """Whether a path is a project, its config.yaml, or one of its CSV files."""
    if path.is_dir() or path.name == "config.yaml":
        folder = path if path.is_dir() else path.parent
        return (folder / "labeled-data").is_dir()
    return path.is_file() and head_of(path).lstrip(b"\xef\xbb\xbf").startswith(b"scorer,")


def read(path: Path) -> Source:
    """Read a project, by its folder or config.yaml, or one CSV file. Raises DataError."""
    project = path if path.is_dir() else path.parent
    files = [path] if path.suffix == ".csv" else sorted(project.glob("labeled-data/*/CollectedData_*.csv"))
    if not files:
        raise DataError(f"{project}: no CollectedData_*.csv in labeled-data/; label frames in DeepLabCut first")
    tables = [_table(file) for file in files]
    keypoints: dict[str, list[str]] = {}
    for columns, _ in tables:
        for individual, name, _axis in columns:
            own = keypoints.setdefault(_label(individual), [])
            own += [name] if name not in own else []
    photos = [_photo(row, columns, rest) for columns, rows in tables for row, rest in rows]
    folder = project if path.suffix != ".csv" else _project_of(path)
    return Source(folder, photos, keypoints, _limbs(folder / "config.yaml", keypoints))


def _project_of(file: Path) -> Path:
    """The folder to which the paths in a CSV file are relative, or the file's own folder."""
    return next((up.parent for up in file.parents if up.name == "labeled-data"), file.parent)


def _label(individual: str) -> str:
    return _SINGLE if individual == _SINGLE else PERSON


def _table(file: Path) -> tuple[list[Column], list[tuple[str, list[str]]]]:
    """The individual, keypoint and axis of each column, and each row's photo and values. Raises DataError."""
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(file))) if row]
    except csv.Error as error:
        raise DataError(f"{file}: not CSV: {error}") from None
    heads = {row[0]: row for row in rows[: len(_HEADS)] if row[0] in _HEADS}
    if not {"scorer", "bodyparts", "coords"} <= heads.keys():
        raise DataError(f"{file}: not DeepLabCut's: the first rows must begin with scorer, bodyparts and coords")
    if "likelihood" in heads["coords"]:
        raise DataError(f"{file}: has what a network found, not labels; give the project or a CollectedData_*.csv")
    # The path of a photo takes one column, or in newer versions three.
    first = next((i for i, word in enumerate(heads["coords"]) if i and word), len(heads["coords"]))
    individuals = heads.get("individuals", [""] * len(heads["coords"]))
    columns = list(zip(individuals[first:], heads["bodyparts"][first:], heads["coords"][first:], strict=False))
    return columns, [("/".join(row[:first]), row[first:]) for row in rows[len(heads) :]]


def _photo(name: str, columns: list[Column], values: list[str]) -> Photo:
    return read_photo(name, lambda: Photo(name, _people(columns, values)))


def _people(columns: list[Column], values: list[str]) -> list[Person]:
    if len(values) != len(columns):
        raise ValueError(f"{len(values)} values in a row of {len(columns)}; is the file cut off?")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (individual, name, axis), value in zip(columns, values, strict=True):
        if value.strip() and value.strip().lower() != "nan":
            found.setdefault(individual, {}).setdefault(name, {})[axis] = number(value)
    return [
        Person(_label(individual), {name: Point(at["x"], at["y"]) for name, at in points.items()})
        for individual, points in found.items()
    ]


def _limbs(config: Path, keypoints: dict[str, list[str]]) -> dict[str, list[tuple[str, str]]]:
    """The limbs in the project's config.yaml, where it is there."""
    pairs = pairs_in(read_yaml(config).get("skeleton") if config.is_file() else None)
    return {label: [(str(a), str(b)) for a, b in pairs if a in own and b in own] for label, own in keypoints.items()}
