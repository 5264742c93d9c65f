"""Finding the files of a folder or of a glob."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bpnet_cli.inference.outputs import drawn_before
from bpnet_cli.storage import is_remote, place, split_pattern


@dataclass(frozen=True)
class Found:
    """The result of a search.

    files: (path, name relative to the folder, or to the part of the glob before the first wildcard).
    left_out: (folder, reason) for folders that were skipped. in_folder: all files of a folder were taken.
    """

    files: list[tuple[Path, str]]
    left_out: list[tuple[Path, str]]
    in_folder: bool = False


def search_folder(folder: Path) -> Found:
    """Files of a folder and its subfolders, sorted by path.

    Left out: names that begin with a dot, folders that an earlier run drew, and folders that can't be read. Links are
    followed, but no folder is entered twice, and no parent of this folder is entered. A dead link counts as a file, so
    that reading it fails with a message.
    """
    if is_remote(folder):
        base = place(str(folder))
        return replace(_not_drawn(_all_shown(base, base.rglob("*")), base), in_folder=True)
    files: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    top = Path(os.path.realpath(folder))
    seen = {top, *top.parents}

    def unreadable(error: OSError) -> None:
        left_out.append((Path(error.filename), f"can't be read: {error.strerror}"))

    for where, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        files += [path for path in (Path(where, name) for name in names if _shown(name)) if _is_file_or_dead(path)]
        below = [Path(where, name) for name in folders if _shown(name)]
        folders.clear()
        for path in sorted(below, key=lambda path: (path.is_symlink(), path)):
            real = Path(os.path.realpath(path))
            if real in seen:
                continue
            seen.add(real)
            if drawn_before(real):
                left_out.append((path, "drawn by an earlier run"))
            else:
                folders.append(path.name)
    return Found([(path, path.relative_to(folder).as_posix()) for path in sorted(files)], left_out, in_folder=True)


def search_glob(pattern: str) -> Found | None:
    """Files that match a glob, without those in folders that an earlier run drew; None where nothing matches."""
    if is_remote(place(pattern)):
        base, rest = split_pattern(pattern)
        hidden = any(not _shown(part) for part in rest.split("/"))
        matches = sorted(base.glob(rest)) if hidden else _all_shown(base, base.glob(rest))
    else:
        base = Path(os.path.dirname(re.split(r"[*?[]", pattern, maxsplit=1)[0]))
        matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True)) if Path(match).is_file()]
    return _not_drawn(matches, base) if matches else None


def _not_drawn(matches: Sequence[Path], base: Path) -> Found:
    """The files below a folder without those in folders that an earlier run drew."""
    below = {folder for match in matches for folder in match.parents if base in folder.parents}
    drawn = sorted(folder for folder in below if drawn_before(folder))
    kept = [match for match in matches if not set(drawn) & set(match.parents)]
    files = [(match, match.relative_to(base).as_posix()) for match in kept]
    return Found(files, [(folder, "drawn by an earlier run") for folder in drawn])


def _all_shown(folder: Path, files: Iterable[Path]) -> list[Path]:
    """The files that are not hidden and in no hidden folder, sorted."""
    return sorted(file for file in files if all(map(_shown, file.relative_to(folder).parts)))


def _shown(name: str) -> bool:
    """False for hidden names: settings, previews, and the files that macOS writes beside a photo (`._photo.jpg`)."""
    return not name.startswith(".")


def _is_file_or_dead(path: Path) -> bool:
    """True for files and dead links; False for pipes and devices, because reading them may never end."""
    return path.is_file() or not path.exists()
