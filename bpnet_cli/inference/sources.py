"""Where photos come from: files, folders, globs, videos, cameras."""

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
    """A photo to run on; name: where its results go, relative to the input it came from."""

    path: Path
    name: str


@dataclass(frozen=True)
class VideoInput:
    """A video file, or a camera as the path `camera:0`."""

    path: Path
    name: str

    @property
    def source(self) -> str:
        """As `read_frames` takes it."""
        return str(self.path)


Input = TypeVar("Input", PhotoInput, VideoInput)


class Failure(NamedTuple):
    """An input that can't be used. path: as the user gave it or it was found. name: as in the results."""

    path: str
    reason: str
    name: str


@dataclass(frozen=True)
class Inputs:
    """What the user's words stand for. left_out: a line for each reason why files in folders were passed by."""

    photos: tuple[PhotoInput, ...]
    videos: tuple[VideoInput, ...]
    problems: tuple[Failure, ...]
    left_out: tuple[str, ...] = ()


def find_inputs(words: Sequence[str]) -> Inputs:
    """Expand files, folders (recursive), globs and cameras; names are unique, a clash gets its folder in front.

    A file that is named is always taken; see `search` for what is left out of folders and globs. Raises BpnetError for
    an input that doesn't exist, and when there is nothing to run on.
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
                reason = f"neither a photo nor a video that is known by its ending ({suffix!r})"
                problems.append(Failure(str(path), reason, name))
    left_out = [f"left out: {_some(folders, 3)}, {reason}" for reason, folders in passed.items()] + _other_files(others)
    unique = tuple(_unique(photos)), tuple(_unique(videos))
    if again := len(photos) + len(videos) - sum(map(len, unique)):
        left_out.append(f"left out: {counted(again, 'input')} given twice, or by a link to another input")
    if not photos and not videos and not problems:
        text = f"{', '.join(words)}: no photos or videos found (photos end in {_listed(IMAGE_SUFFIXES)})"
        raise BpnetError("; ".join([text, *left_out]))
    return Inputs(*unique, tuple(problems), tuple(left_out))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """All items, or `most` of them spread evenly from the first to the last."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[index] for index in chosen]


def read_photo(path: str | Path) -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, turned upright by its EXIF entry. Raises BpnetError."""
    return np.asarray(cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB), np.uint8)


def write_photo(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) uint8 RGB photo in the format of the path's ending. Raises BpnetError."""
    try:
        ok, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise BpnetError(f"{path}: can't be encoded: {error.err}") from None
    if not ok:
        raise BpnetError(f"{path}: can't be encoded as {path.suffix} by OpenCV")
    # A picture can be drawn again: no reason to wait for the disk at each.
    with atomic_path(path, flush=False) as temporary:
        temporary.write_bytes(data.tobytes())


def read_frames(source: str) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video file or camera as RGB arrays. Raises BpnetError when it can't be opened."""
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
    """A video's path for OpenCV, which crashes at bytes that are not UTF-8. Raises BpnetError for such a path."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BpnetError(f"{path}: OpenCV can't open a video whose path is not UTF-8; rename it") from None
    return str(path)


def read_ahead(items: Iterable[Item], read: Callable[[Item], Result], depth: int = 4) -> Iterator[Result]:
    """`read` of each item in order, done by threads up to `depth` items ahead; its errors come up at their item."""
    with ThreadPoolExecutor(2) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def video_rate(source: str) -> tuple[float, int | None]:
    """(frames per second, number of frames or None where unknown); 25 where the file doesn't say."""
    if source.startswith(_CAMERA):
        return 25.0, None
    capture = cv2.VideoCapture(opencv_path(source))
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    return (rate if 0 < rate < 1000 else 25.0), (count if count > 0 else None)


def _expand(word: str) -> Found:
    """The files that a word stands for."""
    path = Path(word)
    if path.is_dir():
        return search_folder(path)
    found = Found([(path, path.name)], []) if path.is_file() else search_glob(word)
    if found is None:
        raise BpnetError(f"{word}: no such file, folder or match")
    return found


def _other_files(paths: set[Path]) -> list[str]:
    """A line about files in folders that are neither photos nor videos; none without them."""
    if not paths:
        return []
    what = counted(len(paths), "file that is no photo or video", "files that are no photos or videos")
    return [f"left out: {what} ({_some(sorted({path.suffix.lower() or 'no ending' for path in paths}), 5)})"]


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def _unique(inputs: Sequence[Input]) -> list[Input]:
    """Each file once, under its own name where a link to it is among the inputs; those of equal name get as many parent
    folders in front as tell them apart."""
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
        raise BpnetError(f"{word}: a camera is given by its number, as in camera:0")
    return VideoInput(Path(word), f"camera_{number}.mp4")


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
