"""Finding the photos that labels name, under the names that another machine gave them."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bpnet_cli.data.images import read_header
from bpnet_cli.errors import DataError
from bpnet_cli.inference.kinds import kind_of
from bpnet_cli.labelling.source import UnclearError


class File(NamedTuple):
    """A photo on disk, and the (height, width) in pixels that its labels are for."""

    path: Path
    size: tuple[int, int]


# By the last part of a path, in small letters and without its ending: the parts of the paths below a folder.
Index = Mapping[str, Sequence[tuple[str, ...]]]


def index_files(folder: Path, without: Path) -> Index:
    """All files below a folder, except for hidden ones and those below `without`. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos")
    index: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if not n.startswith(".") and Path(place, n).resolve() != without.resolve()
        )
        above = Path(place).relative_to(folder).parts
        for name in names:
            index[_stem(name)].append((*above, name))
    return index


def find_file(folder: Path, index: Index, name: str, any_ending: bool = False) -> Path:
    """The file that a name means: one of the two paths must end with the other, whatever stands in front.

    name: may have backslashes and folders of another machine. Where nothing below the folder fits, it is taken as a
    path, relative to the folder or absolute. Raises UnclearError where no file or several fit.
    """
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
    if not parts:
        raise UnclearError("the labels don't name the photo")
    fitting: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    for found in index.get(parts[-1].lower() if any_ending else _stem(parts[-1]), ()):
        length = min(len(found), len(parts))
        same = _keys(found, any_ending)[-length:] == _keys(parts, False)[-length:]
        if same and (not any_ending or kind_of(folder.joinpath(*found)) == "photo"):
            fitting[length].append(found)
    best = fitting[max(fitting)] if fitting else []
    exact = [found for found in best if len(found) == len(parts)]
    if len(best) > 1 and len(exact) != 1:
        raise UnclearError(f"{len(best)} files have this name: {', '.join('/'.join(f) for f in sorted(best)[:2])}")
    path = folder.joinpath(*(exact or best)[0]) if best else folder / name.replace("\\", "/")
    try:
        found_one = path.is_file()
    except OSError:  # longer than names can be, or behind a folder that can't be entered
        found_one = False
    if not found_one:
        raise UnclearError(f"not found in {folder}")
    return Path(os.path.normpath(path))


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()


def _keys(parts: Sequence[str], cut: bool) -> list[str]:
    """Parts of a path for comparing: in small letters; cut: the last one without its ending."""
    return [*(part.lower() for part in parts[:-1]), _stem(parts[-1]) if cut else parts[-1].lower()]


def sized(path: Path, wanted: tuple[int, int] | None) -> File:
    """A photo with the size for which its labels are: as a viewer shows it, or as the file stores it.

    wanted: (height, width) in the labels; None if they don't say it. Raises UnclearError for a damaged photo or another
    size.
    """
    try:
        with path.open("rb") as file:
            info = read_header(file)
    except OSError as error:
        raise UnclearError(f"can't be read: {error.strerror or error}") from None
    if info is None or min(info.width, info.height) < 1:
        raise UnclearError("damaged, or not a photo")
    stored = (int(info.height), int(info.width))
    shown = stored[::-1] if info.rotation in (5, 6, 7, 8) else stored
    if wanted != stored:
        refuse_other_size(wanted, shown)
    return File(path, wanted or shown)


def refuse_other_size(wanted: tuple[int, int] | None, got: tuple[int, int]) -> None:
    """Raise UnclearError where the labels are for another (height, width) than a photo has."""
    if wanted not in (None, got):
        raise UnclearError(f"is {got[1]} x {got[0]} pixels, but the labels are for {wanted[1]} x {wanted[0]}")
