"""The inputs of `bpnet infer`: files, folders, globs, videos and cameras."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.images import read_image
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path
from bpnet_cli.inference.search import Found, search_folder, search_glob
from bpnet_cli.log import counted

Item = TypeVar("Item")
Result = TypeVar("Result")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})
_CAMERA = "camera:"


@dataclass(frozen=True)
class PhotoInput:
    """A photo file. name: its name in the results, a path relative to the folder or glob that the user gave."""

    path: Path
    name: str


@dataclass(frozen=True)
class VideoInput:
    """A video file, or a camera with the path `camera:0`. name: its name in the results, as for photos."""

    path: Path
    name: str

    @property
    def source(self) -> str:
        """The path as text, for `read_frames`."""
        return str(self.path)


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
    """Expand files, folders (with subfolders), globs and cameras.

    Names in the results are unique: where two would be the same, the parent folder's name is put in front.
    See `search` for what is left out of folders and globs; a file that the user names is never left out.
    Raises BpnetError for an input that doesn't exist, and where there is no photo and no video.
    """
    photos: list[PhotoInput] = []
    videos: list[VideoInput] = []
    problems: list[Failure] = []
    others: set[Path] = set()
    passed: dict[str, list[str]] = {}
    for word in words:
        if word.startswith(_CAMERA):
            videos.append(_camera(word))
            continue
        found = _expand(word)
        for folder, reason in found.left_out:
            passed.setdefault(reason, []).append(str(folder))
        for path, name in found.files:
            suffix = path.suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                photos.append(PhotoInput(path, name))
            elif suffix in VIDEO_SUFFIXES:
                videos.append(VideoInput(path, name))
            elif Path(word).is_dir():
                others.add(path)
            else:
                reason = f"its ending {suffix!r} is not one of a photo or video"
                problems.append(Failure(str(path), reason, name))
    left_out = [f"left out: {_some(folders, 3)}, {reason}" for reason, folders in passed.items()] + _other_files(others)
    unique = tuple(_unique(photos)), tuple(_unique(videos))
    if again := len(photos) + len(videos) - sum(map(len, unique)):
        left_out.append(f"left out: {counted(again, 'input')} given twice or as a link to another input")
    if not photos and not videos and not problems:
        text = f"{', '.join(words)}: no photos or videos found (photos end in {_listed(IMAGE_SUFFIXES)})"
        raise BpnetError("; ".join([text, *left_out]))
    return Inputs(*unique, tuple(problems), tuple(left_out))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """All items, or `most` of them, spread evenly from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[index] for index in chosen]


def read_photo(path: str | Path) -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, turned as its EXIF orientation says. Raises DataError, a BpnetError."""
    return np.asarray(cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB), np.uint8)


def write_photo(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) uint8 RGB photo in the format of the path's ending. Raises BpnetError."""
    try:
        ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise BpnetError(f"{path}: can't be encoded: {error.err}") from None
    if not ok:
        raise BpnetError(f"{path}: can't be encoded as {path.suffix} by OpenCV")
    # A picture can be drawn again, so it is not worth waiting for the disk.
    with atomic_path(path, flush=False) as temporary:
        temporary.write_bytes(data.tobytes())


def read_frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video file or camera as (H, W, 3) uint8 RGB. Raises BpnetError where it can't be opened."""
    capture = cv2.VideoCapture(int(source[len(_CAMERA) :]) if source.startswith(_CAMERA) else opencv_path(source))
    try:
        if not capture.isOpened():
            raise BpnetError(f"{source}: can't be opened as a video")
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        capture.release()


def opencv_path(path: str | Path) -> str:
    """A video's path for OpenCV. Raises BpnetError for a path with bytes that are not UTF-8: OpenCV would crash."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BpnetError(f"{path}: OpenCV can't open a video whose path is not UTF-8; rename it") from None
    return str(path)


def read_ahead(items: Iterable[Item], read: Callable[[Item], Result], depth: int = 4) -> Iterator[Result]:
    """Yield read(item) for each item in order; two threads read up to `depth` items ahead.

    An exception in `read` is raised when its item is due.
    """
    with ThreadPoolExecutor(2) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def video_rate(source: str) -> tuple[float, int | None]:
    """(frames per second, number of frames). 25 frames per second and None where they are unknown."""
    if source.startswith(_CAMERA):
        return 25.0, None
    capture = cv2.VideoCapture(opencv_path(source))
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    return (rate if 0 < rate < 1000 else 25.0), (count if count > 0 else None)


def _expand(word: str) -> Found:
    """The files that a word stands for. Raises BpnetError where there are none."""
    path = Path(word)
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
    return [f"left out: {what} ({_some(sorted({path.suffix.lower() or 'no ending' for path in paths}), 5)})"]


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


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


def _camera(word: str) -> VideoInput:
    number = word[len(_CAMERA) :]
    if not number.isdigit():
        raise BpnetError(f"{word}: a camera needs a number, as in camera:0")
    return VideoInput(Path(word), f"camera_{number}.mp4")


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
