"""Reading encoded images, for training and inference alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import DataError


@dataclass(frozen=True)
class EncodedImage:
    """A photo's encoded bytes, wherever they lie.

    name: for messages. read: gets the bytes, raises DataError. as_stored: the labels were made on the pixels as the
        file stores them, so its EXIF entry must not turn them.
    """

    name: str
    read: Callable[[], bytes]
    as_stored: bool = False

    def decode(self, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
        """The pixels that the labels were made on, as OpenCV decodes them (BGR). Raises DataError."""
        return self.decode_bytes(self.read(), flag)

    def decode_bytes(self, data: bytes, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
        """`decode` of bytes that were read before."""
        return decode_image(data, self.name, flag | cv2.IMREAD_IGNORE_ORIENTATION if self.as_stored else flag)

    def rgb(self) -> NDArray[np.uint8]:
        """The same as (H, W, 3) uint8 RGB."""
        return np.asarray(cv2.cvtColor(self.decode(), cv2.COLOR_BGR2RGB), np.uint8)


def image_file(path: str | Path, as_stored: bool = False) -> EncodedImage:
    """The image in a file of its own."""
    return EncodedImage(str(path), partial(read_bytes, path), as_stored)


def read_image(path: str | Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """An image as OpenCV decodes it (BGR), turned upright by its EXIF entry. Raises DataError."""
    return decode_image(read_bytes(path), str(path), flag)


def read_bytes(path: str | Path) -> bytes:
    """A file's bytes. Raises DataError."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def decode_image(data: bytes, name: str, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Encoded bytes as OpenCV decodes them (BGR); name: for messages. Raises DataError.

    Decodes from memory: OpenCV's reading by path forgives files that are cut off.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    if image is None:
        raise DataError(f"{name}: can't be decoded as an image; is it damaged, or unknown to OpenCV?")
    return image
