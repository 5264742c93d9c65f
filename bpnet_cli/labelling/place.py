"""From the photos that labels name to files on disk: found, or written from videos."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bpnet_cli.files import atomic_path
from bpnet_cli.labelling.frames import write_frames
from bpnet_cli.labelling.photos import File, Index, find_file, index_files, sized
from bpnet_cli.labelling.source import Photo, UnclearError
from bpnet_cli.log import progress


class Places(NamedTuple):
    """The files of photos. folder: all are in it. files: by the photo's number. problems: why others have none."""

    folder: Path
    files: dict[int, File]
    problems: dict[int, str]


def place_photos(photos: Sequence[Photo], folder: Path, output: Path) -> Places:
    """Find the photos of labels below a folder.

    Frames of videos are written below `output`/images, and with them copies of the photos.
    Raises DataError where the folder is missing, and BpnetError where nothing can be written.
    """
    index = index_files(folder, output)
    usable = {number: photo for number, photo in enumerate(photos) if not photo.problem}
    frames = {number: photo for number, photo in usable.items() if photo.frame is not None}
    stills = {number: photo for number, photo in usable.items() if photo.frame is None}
    files, problems = _find_all(stills, folder, index)
    problems |= {number: photo.problem for number, photo in enumerate(photos) if photo.problem}
    common = _common_folder(files, folder)
    if not frames:
        return Places(common, files, problems)
    images = output / "images"
    written, lost = write_frames(frames, lambda name: find_file(folder, index, name), images)
    copies = {number: File(_copied(file.path, common, images), file.size) for number, file in files.items()}
    return Places(images, dict(sorted({**copies, **written}.items())), {**problems, **lost})


def _common_folder(files: Mapping[int, File], folder: Path) -> Path:
    """The deepest folder that holds all files; without any, the folder where they were looked for."""
    return Path(os.path.commonpath([file.path.parent for file in files.values()])) if files else folder


def _find_all(stills: Mapping[int, Photo], folder: Path, index: Index) -> tuple[dict[int, File], dict[int, str]]:
    files: dict[int, File] = {}
    problems: dict[int, str] = {}
    taken: set[Path] = set()
    for number, photo in progress(stills.items(), len(stills), "finding photos"):
        try:
            path = find_file(folder, index, photo.name, photo.any_ending)
            if path in taken:
                raise UnclearError("is labelled twice; the first labels are used")
            files[number] = sized(path, photo.size)
            taken.add(path)
        except UnclearError as error:
            problems[number] = str(error)
    return files, problems


def _copied(path: Path, folder: Path, images: Path) -> Path:
    target = images / path.relative_to(folder)
    with atomic_path(target, flush=False) as temporary:
        shutil.copyfile(path, temporary)
    return target
