"""SLEAP's .slp files, read by sleap-io: frames of videos, of lists of photos, or inside of the file."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.labelling.files import head_of
from bpnet_cli.labelling.source import Person, Photo, Point, Source

_HDF5 = b"\x89HDF\r\n\x1a\n"


def tells(path: Path) -> bool:
    """Whether a file is an .slp."""
    return path.suffix == ".slp" and path.is_file()


def read(path: Path) -> Source:
    """Read the labels that people made; what a network found is left out and counted.

    Raises BpnetError where sleap-io is not installed, and DataError where it can't read the file.
    """
    try:
        import sleap_io
    except ModuleNotFoundError:
        raise BpnetError(f"{path}: to read SLEAP's files: pip install 'bpnet-cli[sleap]'") from None
    if not head_of(path).startswith(_HDF5):
        raise DataError(f"{path}: not an .slp file of SLEAP, or damaged")
    try:
        labels = sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # noqa: BLE001 - a library that reads damaged files raises anything
        raise DataError(f"{path}: can't be read by sleap-io ({type(error).__name__}: {error})") from None
    found = sum(len(frame.predicted_instances) for frame in labels.labeled_frames)
    left_out = Counter({"people that SLEAP's network found, and nobody corrected": found} if found else {})
    skeletons = {str(skeleton.name or ""): skeleton for skeleton in labels.skeletons}
    return Source(
        path.parent,
        [_photo(frame, path) for frame in labels.labeled_frames if frame.user_instances],
        {name: list(skeleton.node_names) for name, skeleton in skeletons.items()},
        {name: [(a, b) for a, b in skeleton.edge_names] for name, skeleton in skeletons.items()},
        left_out=left_out,
    )


def _photo(frame: Any, path: Path) -> Photo:
    """A labelled frame, by where its pixels are."""
    people, video, index = [_person(instance) for instance in frame.user_instances], frame.video, int(frame.frame_idx)
    if isinstance(video.filename, list):
        return Photo(str(video.filename[index]), people)
    size = (int(video.shape[1]), int(video.shape[2])) if video.shape else None
    if video.backend_metadata.get("has_embedded_images"):
        name = f"{path.stem}/{video.backend_metadata['dataset'].split('/')[0]}"
        return Photo(name, people, size, frame=index, pixels=partial(_pixels, video, index, path))
    return Photo(str(video.filename), people, size, frame=index)


def _person(instance: Any) -> Person:
    points = {
        str(point["name"]): Point(float(point["xy"][0]), float(point["xy"][1]))
        for point in instance.points
        if point["visible"] and np.isfinite(point["xy"]).all()
    }
    return Person(str(instance.skeleton.name or ""), points)


def _pixels(video: Any, index: int, path: Path) -> NDArray[np.uint8]:
    """A frame that is stored inside of the file: (H, W, 3) uint8 RGB. Raises DataError."""
    try:
        video.open()
        image = np.asarray(video[index], np.uint8)
    except Exception as error:  # noqa: BLE001 - see `read`
        raise DataError(f"{path}: frame {index} can't be read by sleap-io ({type(error).__name__}: {error})") from None
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
