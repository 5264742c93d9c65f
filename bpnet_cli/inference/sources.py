"""The inputs of `bpnet infer`: files, folders, globs, videos and cameras."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from bpnet_cli.data.address import is_address, without_login
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.kinds import kind_of
from bpnet_cli.inference.search import Found, search_folder, search_glob
from bpnet_cli.log import counted, one_line
from bpnet_cli.storage import place

Item = TypeVar("Item")

_CAMERA = "camera:"
# Linux' names of cameras.
_DEVICE = re.compile(r"/dev/video(\d+)")
# Text of an address that is no letter, number, dot, dash or underscore.
_ODD = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class PhotoInput:
    """A photo file. name: its name in the results, a path relative to the folder or glob that the user gave."""

    path: Path
    name: str


@dataclass(frozen=True)
class VideoInput:
    """A video.

    source: a file's path, an address, or the number of a camera. name: its name in the results, as for photos.
    """

    source: str | int
    name: str

    @property
    def path(self) -> Path:
        """The path of a file; otherwise a path that doesn't exist."""
        return place(self.shown)

    @property
    def shown(self) -> str:
        """The source as text for messages."""
        return f"{_CAMERA}{self.source}" if isinstance(self.source, int) else without_login(self.source)


Input = TypeVar("Input", PhotoInput, VideoInput)


class Failure(NamedTuple):
    """An input that can't be used. path: as the user gave it, or as it was found. name: its name in the results."""

    path: str
    reason: str
    name: str


@dataclass(frozen=True)
class Inputs:
    """The inputs that the user's words stand for.

    problems: named files that can't be used. left_out: a line for each reason why files or folders were skipped.
    """

    photos: tuple[PhotoInput, ...]
    videos: tuple[VideoInput, ...]
    problems: tuple[Failure, ...]
    left_out: tuple[str, ...] = ()


def find_inputs(words: Sequence[str]) -> Inputs:
    """Expand files, folders (with subfolders), globs, cameras, addresses and lists of them.

    A camera is `camera:0`, `0` or `/dev/video0`. An address begins with http://, https://, rtsp:// or another scheme
    that FFmpeg knows. `@list.txt` and `-` stand for the names in that file or in the standard input, one a line or
    separated by NUL; a missing one is among the problems.
    Names in the results are unique: where two would be the same, the parent folder's name is put in front.
    See `search` for what is left out of folders and globs; a file that the user names is never left out.
    Raises BpnetError for an input that doesn't exist, and where there is no photo and no video.
    """
    photos: list[PhotoInput] = []
    videos: list[VideoInput] = []
    problems: list[Failure] = []
    others: set[Path] = set()
    passed: dict[str, list[str]] = {}
    for word, listed in _words(words):
        if (video := _not_a_file(word)) is not None:
            videos.append(video)
            continue
        try:
            found = _expand(word)
        except BpnetError as error:
            if not listed:
                raise
            shown = without_login(word)
            problems.append(Failure(shown, str(error).removeprefix(f"{shown}: "), shown))
            continue
        for folder, reason in found.left_out:
            passed.setdefault(reason, []).append(str(folder))
        for path, name in found.files:
            kind = kind_of(path)
            if kind == "photo":
                photos.append(PhotoInput(path, name))
            elif kind == "video":
                videos.append(VideoInput(str(path), name))
            elif found.in_folder:
                others.add(path)
            else:
                problems.append(Failure(str(path), "is not a photo or video of a known format", name))
    left_out = [f"left out: {some_of(folders, 3)}, {reason}" for reason, folders in passed.items()] + _other_files(
        others
    )
    unique = tuple(_unique(photos)), tuple(_unique(videos))
    if again := len(photos) + len(videos) - sum(map(len, unique)):
        left_out.append(f"left out: {counted(again, 'input')} given twice or as a link to another input")
    if not photos and not videos and not problems:
        raise BpnetError("; ".join([f"{', '.join(words) or 'no input'}: no photos or videos found", *left_out]))
    return Inputs(*unique, tuple(problems), tuple(left_out))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """All items, or `most` of them, spread evenly from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[index] for index in chosen]


def _expand(word: str) -> Found:
    """The files that a word stands for. Raises BpnetError where there are none."""
    path = place(word)
    if path.is_dir():
        return search_folder(path)
    found = Found([(path, path.name)], []) if path.is_file() else search_glob(word)
    if found is None:
        raise BpnetError(f"{word}: no such file, folder or match")
    return found


def _other_files(paths: set[Path]) -> list[str]:
    """A line about files in folders that are neither photos nor videos; no line where there are none."""
    if not paths:
        return []
    what = counted(len(paths), "file that is not a photo or video", "files that are not photos or videos")
    return [f"left out: {what} ({some_of(sorted({path.suffix.lower() or 'no ending' for path in paths}), 5)})"]


def some_of(names: Sequence[str], most: int) -> str:
    """The first `most` names, and dots if there are more."""
    return ", ".join([*map(one_line, names[:most]), *(["..."] if len(names) > most else [])])


def _unique(inputs: Sequence[Input]) -> list[Input]:
    """Each file once. Where both a file and a link to it are given, the name of the file is kept.

    Inputs with equal names get as many parent folders in front as make the names different.
    """
    by_file: dict[str, Input] = {}
    for one in inputs:
        file = os.path.realpath(one.path)
        if file not in by_file or (by_file[file].path.is_symlink() and not one.path.is_symlink()):
            by_file[file] = one
    once = list(by_file.values())
    taken: set[str] = set()
    result = []
    for one in once:
        name, parents = one.name, list(Path(os.path.realpath(one.path)).parents)
        while name in taken and parents:
            name = f"{parents.pop(0).name}/{name}"
        taken.add(name)
        result.append(replace(one, name=name))
    return result


def _words(words: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it comes from a list. Raises BpnetError for a list that can't be read."""
    for word in words:
        if word == "-":
            yield from ((name, True) for name in _names(sys.stdin.buffer.read()))
        elif word.startswith("@") and not os.path.exists(word):
            try:
                data = place(word[1:]).read_bytes()
            except OSError as error:
                raise BpnetError(f"{word}: the list can't be read: {error.strerror or error}") from None
            yield from ((name, True) for name in _names(data))
        else:
            yield word, False


def _names(data: bytes) -> Iterator[str]:
    """Names in a list: separated by NUL where it has one, otherwise one a line; empty ones are left out."""
    parts = data.split(b"\0") if b"\0" in data else data.removeprefix(b"\xef\xbb\xbf").splitlines()
    return (os.fsdecode(part) for part in parts if part.strip())


def _not_a_file(word: str) -> VideoInput | None:
    """A camera or an address; None for any other word. Raises BpnetError for a camera without a number."""
    if is_address(word):
        place = without_login(word).split("?")[0].split("://", 1)[1]
        return VideoInput(word, _ODD.sub("_", place).strip("_"))
    number = word.removeprefix(_CAMERA)
    if (match := _DEVICE.fullmatch(word)) and os.path.exists(word):
        number = match[1]
    elif number == word and (not word.isdecimal() or os.path.exists(word)):
        return None
    if not number.isdecimal():
        raise BpnetError(f"{word}: a camera needs a number, as in camera:0")
    return VideoInput(int(number), f"camera_{int(number)}.mp4")
