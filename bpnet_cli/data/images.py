"""Reading encoded images, for training and inference alike."""

from __future__ import annotations

import os
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

from bpnet_cli.data.heic import is_heic, read_heic
from bpnet_cli.data.pixels import eight_bits, hidden_as_white, is_cut_png, may_be_transparent
from bpnet_cli.errors import DataError
from bpnet_cli.storage import is_remote

# OpenCV's variable for its own limit, which is 2^30 pixels (3 GB) by default and counts from its import on.
PIXELS_VARIABLE = "CV_IO_MAX_IMAGE_PIXELS"
_DEFAULT_MOST_PIXELS = 1 << 28
# OpenCV's default limit, for messages only; CV_IO_MAX_IMAGE_WIDTH and _HEIGHT change it.
_MOST_IN_A_ROW = 1 << 20


@dataclass(frozen=True)
class EncodedImage:
    """A photo as encoded bytes, in a file or in a shard.

    name: for messages. read: returns the bytes; raises DataError. as_stored: whether the labels are for the pixels as
    the file stores them; then the EXIF rotation must not be applied.
    """

    name: str
    read: Callable[[], bytes]
    as_stored: bool = False

    def decode(self, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
        """Read and decode the pixels that were labelled, as OpenCV returns them: (H, W, 3) uint8 BGR by default.

        flag: of `cv2.imdecode`. Raises DataError.
        """
        return self.decode_bytes(self.read(), flag)

    def decode_bytes(self, data: bytes, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
        """The same as `decode`, for bytes that were read before. Raises DataError."""
        return decode_image(data, self.name, flag | cv2.IMREAD_IGNORE_ORIENTATION if self.as_stored else flag)

    def rgb(self) -> NDArray[np.uint8]:
        """The labelled pixels as (H, W, 3) uint8 RGB. Raises DataError."""
        return np.asarray(cv2.cvtColor(self.decode(), cv2.COLOR_BGR2RGB), np.uint8)


def image_file(path: str | Path, as_stored: bool = False) -> EncodedImage:
    """An image that is a file; as_stored: see `EncodedImage`. Reads nothing yet."""
    return EncodedImage(str(path), partial(read_bytes, path), as_stored)


def read_image(path: str | Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Read an image as OpenCV decodes it: (H, W, 3) uint8 BGR by default, rotated as EXIF says. Raises DataError."""
    return decode_image(read_bytes(path), str(path), flag)


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file. Raises DataError if the file can't be read."""
    try:
        if is_remote(path):
            return path.read_bytes()
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def decode_image(data: bytes, name: str, flag: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Decode bytes with OpenCV, HEIC with pillow-heif: (H, W, 3) uint8 BGR. name: for messages. Raises DataError.

    Images with more than `most_pixels` are refused before they are decoded.
    flag: one of OpenCV's flags for colour. The pixels are those that a viewer shows, see `pixels`: of any bit depth,
    white where the image is wholly transparent. Decoding is from memory, because OpenCV's reading by path accepts files
    that are cut off.
    """
    check_pixels(data, name)
    if is_heic(data):
        return read_heic(data, name, flag)
    try:
        readable = data and not is_cut_png(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_ANYDEPTH) if readable else None
        if image is None:
            raise DataError(f"{name}: {_refusal(data)}")
        shown = eight_bits(image)
        return hidden_as_white(shown, data) if may_be_transparent(data) else shown
    except cv2.error:
        raise DataError(f"{name}: {_refusal(data)}") from None


def most_pixels() -> int:
    """Most pixels of an image that is decoded: 2^28 (800 MB), unless OpenCV's variable says another number."""
    given = os.environ.get(PIXELS_VARIABLE, "")
    return int(given) if given.isdecimal() else _DEFAULT_MOST_PIXELS


def check_pixels(data: bytes, name: str) -> None:
    """Raise DataError where the header of an encoded image states more than `most_pixels`. name: for messages.

    For PAM, PFM, HDR and Sun raster, whose headers imagesize doesn't know, only OpenCV's own limit holds.
    """
    header = read_header(BytesIO(data))
    if header and header.width * header.height > most_pixels():
        raise DataError(
            f"{name}: has {header.width} x {header.height} pixels, more than {most_pixels():,}; make it smaller, or set"
            f" the environment variable {PIXELS_VARIABLE} to a larger number"
        )


def read_header(file: BinaryIO) -> Any:
    """Width and height in pixels and EXIF's rotation number, from an image's header; None if the header is damaged.

    Raises OSError if the file can't be read.
    """
    try:
        return imagesize.get_info(file, dpi=False, colors=False, channels=False, exif_rotation=False)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - on damaged headers, imagesize raises any exception
        return None


def _refusal(data: bytes) -> str:
    """The reason why OpenCV doesn't decode an image, as text for a message."""
    header = read_header(BytesIO(data))
    size = (header.width, header.height) if header else (0, 0)
    if max(size) > _MOST_IN_A_ROW:
        limits = f"OpenCV reads at most {_MOST_IN_A_ROW:,} in a row or column"
        return f"is too large: {size[0]} x {size[1]} pixels, and {limits}; make it smaller"
    return "can't be decoded as an image; is it damaged, or unknown to OpenCV?"
