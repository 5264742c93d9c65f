"""Reading encoded images, for training and inference alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import imagesize
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import DataError

# OpenCV's own limits (CV_IO_MAX_IMAGE_PIXELS, _WIDTH and _HEIGHT), which the environment can change: for messages only.
_MOST_PIXELS, _MOST_IN_A_ROW = 1 << 30, 1 << 20


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
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{name}: {_refusal(data)}")
    return image


def read_header(file: BinaryIO) -> Any:
    """What an image's header states: width, height and rotation as EXIF's number; None where it is damaged.

    Raises OSError for a file that can't be read.
    """
    try:
        return imagesize.get_info(file, dpi=False, colors=False, channels=False, exif_rotation=False)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - imagesize raises what its parsing of damaged headers runs into
        return None


def _refusal(data: bytes) -> str:
    """Why OpenCV doesn't decode an image, in words."""
    header = read_header(BytesIO(data))
    size = (header.width, header.height) if header else (0, 0)
    if size[0] * size[1] > _MOST_PIXELS or max(size) > _MOST_IN_A_ROW:
        limits = f"OpenCV reads at most {_MOST_PIXELS:,} pixels, {_MOST_IN_A_ROW:,} in a row or column"
        return f"is too large: {size[0]} x {size[1]} pixels, and {limits}; make it smaller"
    return "can't be decoded as an image; is it damaged, or unknown to OpenCV?"
