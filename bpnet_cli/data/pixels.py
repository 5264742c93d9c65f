"""From decoded values to the pixels that a viewer shows: bit depths, transparent pixels, pages."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PNG, WEBP = b"\x89PNG\r\n\x1a\n", b"WEBP"
TIFF = {b"II*\x00": "<", b"MM\x00*": ">"}
# Cameras and sensors write these depths into 16 bits, in the lower bits.
_DEPTHS = (10, 12, 14, 16)


def eight_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of any type as uint8, with the brightness that a viewer shows.

    uint16 is taken as the smallest of 10, 12, 14 or 16 bits that holds all values; as 16 bits if all values are
    multiples of 257, as in copies of 8-bit images. Floats are taken as 0 to 1 if none is larger, otherwise as 0 to 255;
    NaN is black.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        most = int(image.max(initial=0))
        stretched = most % 257 == 0 and not (image % 257).any()
        bits = 16 if stretched else next(bits for bits in _DEPTHS if most < 1 << bits)
        return np.asarray(image >> (bits - 8), np.uint8)
    values = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=255.0, neginf=0.0)
    scale = 255.0 if values.max(initial=0) <= 1 else 1.0
    return np.asarray(np.clip(values * scale, 0, 255).round(), np.uint8)


def may_be_transparent(data: bytes) -> bool:
    """Whether an encoded image may have transparent pixels, by its first bytes."""
    if data.startswith(PNG):
        return data[25] in (4, 6) or b"tRNS" in data[:4096] if len(data) > 25 else False
    if data[8:12] == WEBP:
        return data[12:16] != b"VP8 "
    return not data.startswith(b"\xff\xd8")


def is_cut_png(data: bytes) -> bool:
    """Whether an encoded image is a PNG of which a part ends after the file does.

    OpenCV makes room for a part before it reads it: 4 GB for a few bytes.
    """
    if not data.startswith(PNG):
        return False
    place = len(PNG)
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        place += 12 + int.from_bytes(data[place : place + 4], "big")  # length, name, content, checksum
    return place + 8 > len(data)


def hidden_as_white(image: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """The decoded image (H, W, 3), white where its file is wholly transparent: such pixels may hold any colours.

    Partly transparent pixels keep their colours. data: the encoded image.
    """
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.ndim != 3 or whole.shape[2] != 4 or whole[..., 3].all():
        return image
    height, width = image.shape[:2]
    if (whole.shape[0] > whole.shape[1]) != (height > width):
        return image  # turned by EXIF, which the opacity is not
    seen = np.asarray(whole[..., 3] > 0, np.float32)
    if seen.shape != (height, width):
        seen = np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return np.where(seen[..., None] > 0, image, np.uint8(255))


def has_more_pages(data: bytes) -> bool:
    """Whether an encoded image has more than one page or frame; only the first one is ever decoded."""
    if data[:4] in TIFF:
        return _has_second_page(data, TIFF[data[:4]])
    if data.startswith(PNG):
        return b"acTL" in data[:4096]
    if data[8:12] == WEBP:
        return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)
    return data[4:12] == b"ftypavis"


def _has_second_page(data: bytes, order: str) -> bool:
    """Follow a TIFF's first directory to the place of the second; 0: there is none."""
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, first)
        (second,) = struct.unpack_from(f"{order}I", data, first + 2 + 12 * entries)
    except struct.error:
        return False  # cut off; decoding tells
    return bool(second)
