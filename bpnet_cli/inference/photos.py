"""Photos on which a network is run: for INT8 ranges, for pruning, and to compare an imported network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.inference.kinds import kind_of
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.search import search_folder
from bpnet_cli.inference.sources import spread
from bpnet_cli.log import counted

# Fewer photos show too little of what a network will see.
MIN_PHOTOS = 32
# More photos don't change the ranges, and each one takes time.
MAX_PHOTOS = 256


class Photos(Sequence[NDArray[np.uint8]]):
    """A sequence of photos, (H, W, 3) uint8 RGB. Each access reads the file: hundreds of large photos need much memory.

    Access raises DataError, which names the file, for a damaged photo.
    """

    def __init__(self, files: Sequence[Path], purpose: str) -> None:
        """purpose: a word for messages, such as "calibration"."""
        self._files, self._purpose = files, purpose

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> Photos: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Photos:
        if isinstance(index, slice):
            return Photos(self._files[index], self._purpose)
        try:
            return read_photo(self._files[index])
        except DataError as error:
            raise DataError(f"{error}; repair it or remove it from the {self._purpose} photos") from None


def photos_of_folder(folder: str | Path, purpose: str, fewest: int = MIN_PHOTOS, most: int = MAX_PHOTOS) -> Photos:
    """The photos of a folder and its subfolders: all, or `most` of them, spread evenly over the sorted names.

    purpose: a word for messages, such as "calibration". Raises BpnetError for a folder that is missing or has fewer
    than `fewest` photos.
    """
    path = Path(folder)
    if not path.is_dir():
        raise BpnetError(f"{folder}: no such folder of {purpose} photos")
    files = [file for file, _ in search_folder(path).files if kind_of(file) == "photo"]
    if len(files) < fewest:
        raise BpnetError(
            f"{folder}: has {counted(len(files), 'photo')}, {purpose} needs at least {fewest}; use photos like those"
            " that the network will see"
        )
    return Photos(spread(files, most), purpose)
