"""Reading and writing photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.images import decode_image, read_bytes
from bpnet_cli.data.pixels import has_more_pages
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path

# Endings that OpenCV writes, and by which encoder. Drawn copies of other photos get another ending.
_ENCODERS = {
    **{ending: ending for ending in (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2")},
    **{".jfif": ".jpg", ".jpe": ".jpg", ".dib": ".bmp"},
}
_WITH_ALPHA = (".png", ".webp", ".tif", ".tiff")


def read_photo(path: str | Path) -> NDArray[np.uint8]:
    """A photo as (H, W, 3) uint8 RGB, turned as its EXIF orientation says. Raises DataError, a BpnetError."""
    return read_first_page(path)[0]


def read_first_page(path: str | Path) -> tuple[NDArray[np.uint8], bool]:
    """A photo as `read_photo` gives it, and whether the file has more pages or frames. Raises DataError."""
    data = read_bytes(path)
    photo = np.asarray(cv2.cvtColor(decode_image(data, str(path)), cv2.COLOR_BGR2RGB), np.uint8)
    return photo, has_more_pages(data)


def picture_name(name: str, alpha: bool = False) -> str:
    """The name of a drawn copy of a photo: the same name, with another ending added where OpenCV can't write its own.

    alpha: whether the copy has transparent pixels.
    """
    ending = Path(name).suffix.lower()
    if alpha:
        return name if ending in _WITH_ALPHA else f"{name}.png"
    return name if ending in _ENCODERS else f"{name}.jpg"


def write_photo(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) uint8 RGB or (H, W, 4) RGBA photo in the format of the path's ending. Raises BpnetError."""
    encoder = _ENCODERS.get(path.suffix.lower(), path.suffix)
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    try:
        ok, data = cv2.imencode(encoder, cv2.cvtColor(image, order))
    except cv2.error as error:
        raise BpnetError(f"{path}: can't be encoded: {error.err}") from None
    if not ok:
        raise BpnetError(f"{path}: can't be encoded as {path.suffix} by OpenCV")
    # A picture can be drawn again, so it is not worth waiting for the disk.
    with atomic_path(path, flush=False) as temporary:
        temporary.write_bytes(data.tobytes())
