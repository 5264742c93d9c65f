"""HEIC photos, as iPhones write them. They need the optional package pillow-heif."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import DataError

# What the first bytes of HEIC files name themselves.
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_REDUCED = {
    cv2.IMREAD_REDUCED_COLOR_2: 2,
    cv2.IMREAD_REDUCED_COLOR_4: 4,
    cv2.IMREAD_REDUCED_COLOR_8: 8,
}


def is_heic(data: bytes) -> bool:
    """Whether a file is HEIC, by its first bytes. AVIF, of the same family, is not."""
    if data[4:8] != b"ftyp":
        return False
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, min(len(data), int.from_bytes(data[:4], "big"), 64), 4))}
    return bool(brands & set(BRANDS)) and b"avif" not in brands


def read_heic(data: bytes, name: str, flag: int) -> NDArray[np.uint8]:
    """Decode HEIC: (H, W, 3) uint8 BGR, turned as the file says. flag: of `cv2.imdecode`; only its factor counts.

    name: for messages. Raises DataError for a damaged file, and where pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise DataError(f"{name}: is HEIC; to read it: pip install 'bpnet-cli[heif]'") from None
    try:
        picture = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=True).to_pillow().convert("RGB")
    except Exception as error:  # noqa: BLE001 - on damaged files, pillow-heif raises any exception
        raise DataError(f"{name}: can't be decoded as HEIC ({error})") from None
    image = np.asarray(cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR), np.uint8)
    factor = _REDUCED.get(flag & ~cv2.IMREAD_IGNORE_ORIENTATION, 1)
    if factor == 1:
        return image
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
