"""Writing labelled frames of videos as photos."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.video import VideoReader
from bpnet_cli.errors import DataError
from bpnet_cli.files import atomic_path
from bpnet_cli.labelling.photos import File, refuse_other_size
from bpnet_cli.labelling.source import Photo, UnclearError
from bpnet_cli.log import progress


def write_frames(
    frames: Mapping[int, Photo], find: Callable[[str], Path], images: Path
) -> tuple[dict[int, File], dict[int, str]]:
    """Write labelled frames as PNG, which loses nothing: `images`/VIDEO/frame_NNNNNN.png.

    frames: by any key. find: the file of a video, by the name in the labels; raises UnclearError. Returns by the same
    keys the files, and why other frames are not there. Raises BpnetError where a file can't be written.
    """
    files: dict[int, File] = {}
    problems: dict[int, str] = {}
    names = list(dict.fromkeys(photo.name for photo in frames.values()))
    for name in progress(names, len(names), "reading videos"):
        own = {key: photo for key, photo in frames.items() if photo.name == name}
        folder = images / _folder_name(name, names)
        try:
            found = _write(own, find, folder)
        except (DataError, UnclearError) as error:
            problems |= dict.fromkeys(own, str(error))
            continue
        for key, photo in own.items():
            try:
                files[key] = _checked(photo, found)
            except UnclearError as error:
                problems[key] = str(error)
    return files, problems


def _folder_name(name: str, names: list[str]) -> str:
    """A folder for the frames of a video: the end of its name, with a number where another video has the same."""
    stems = [Path(re.split(r"[\\/]", other)[-1]).stem.strip(".") or "video" for other in names]
    place = names.index(name)
    return f"{stems[place]}_{place + 1}" if stems.count(stems[place]) > 1 else stems[place]


def _write(own: Mapping[int, Photo], find: Callable[[str], Path], folder: Path) -> dict[int | None, File]:
    """Write the frames of one video, and return those that are there, by number."""
    targets = {photo.frame: folder / f"frame_{photo.frame:06d}.png" for photo in own.values()}
    if stored := {photo.frame: photo.pixels for photo in own.values() if photo.pixels}:
        return {number: _written(targets[number], pixels()) for number, pixels in stored.items()}
    found: dict[int | None, File] = {}
    with VideoReader(str(find(next(iter(own.values())).name))) as reader:
        for frame in reader.frames():
            if frame.number in targets:
                found[frame.number] = _written(targets[frame.number], frame.image)
            if len(found) == len(targets):
                break
    return found


def _written(path: Path, image: NDArray[np.uint8]) -> File:
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    with atomic_path(path, flush=False) as temporary:
        temporary.write_bytes(data)
    return File(path, (image.shape[0], image.shape[1]))


def _checked(photo: Photo, found: Mapping[int | None, File]) -> File:
    if photo.frame not in found:
        raise UnclearError("the video ends before this frame")
    file = found[photo.frame]
    refuse_other_size(photo.size, file.size)
    return file
