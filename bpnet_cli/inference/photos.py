"""Photos that a network's activations are looked at with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.inference.search import search_folder
from bpnet_cli.inference.sources import IMAGE_SUFFIXES, read_photo, spread

MIN_PHOTOS = 32
# More don't change the ranges, and the time grows with each.
MAX_PHOTOS = 256


def photos_of_folder(
    folder: str | Path, purpose: str, fewest: int = MIN_PHOTOS, most: int = MAX_PHOTOS
) -> list[NDArray[np.uint8]]:
    """Photos of a folder and those below, (H, W, 3) uint8 RGB: all, or `most` spread evenly over their names.

    purpose: a word for messages, as in "calibration". Raises BpnetError for a folder that is missing or has fewer than
    `fewest`, DataError naming a damaged photo.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BpnetError(f"{folder}: no such folder of {purpose} photos")
    files = [file for file, _ in search_folder(path).files if file.suffix.lower() in IMAGE_SUFFIXES]
    if len(files) < fewest:
        raise BpnetError(
            f"{folder}: has {len(files)} photos, {purpose} needs at least {fewest}: photos like those that the"
            " network will see"
        )
    try:
        return [read_photo(file) for file in spread(files, most)]
    except DataError as error:
        raise DataError(f"{error}; mend it or take it out of the {purpose} photos") from None
