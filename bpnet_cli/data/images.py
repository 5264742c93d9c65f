"""Reading image files, for training and inference alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import DataError


def read_image(path: str | Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """An image as OpenCV decodes it (BGR), turned upright by its EXIF entry. Raises DataError.

    Decodes from memory: OpenCV's reading by path forgives files that are cut off.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
    image = cv2.imdecode(data, flag) if data.size else None
    if image is None:
        raise DataError(f"{path}: can't be decoded as an image; is the file damaged?")
    return image
