"""The tools whose labels can be read, and recognising them by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bpnet_cli.errors import DataError
from bpnet_cli.labelling import cvat, deeplabcut, label_studio, labelme, sleap, yolo
from bpnet_cli.labelling.files import head_of, read_text
from bpnet_cli.labelling.source import Source


class Format(NamedTuple):
    """tells: whether a path has this format. read: reads it; raises DataError."""

    tells: Callable[[Path], bool]
    read: Callable[[Path], Source]


# By the name for --format. The first one that tells is used.
FORMATS: dict[str, Format] = {
    "sleap": Format(sleap.tells, sleap.read),
    "cvat": Format(cvat.tells, cvat.read),
    "deeplabcut": Format(deeplabcut.tells, deeplabcut.read),
    "yolo-pose": Format(yolo.tells, yolo.read),
    "label-studio": Format(label_studio.tells, label_studio.read),
    "labelme": Format(labelme.tells, labelme.read),
}


def recognise(path: Path) -> str:
    """The format of a path, by content. Raises DataError where it is unknown."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if name := next((name for name, format_ in FORMATS.items() if format_.tells(path)), None):
        return name
    if head_of(path).startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: is a ZIP archive; unpack it, and give the folder")
    if path.suffix == ".json" and path.is_file() and all(f'"{key}"' in read_text(path) for key in _COCO):
        raise DataError(f"{path}: is a COCO file already: bpnet dataset check --images DIR --annotations {path}")
    raise DataError(f"{path}: not recognised as labels of {', '.join(FORMATS)}; give --format")


_COCO = ("images", "annotations", "categories")
