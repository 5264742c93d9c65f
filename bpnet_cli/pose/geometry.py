"""Coordinates: the map grid, and the transform from a photo to the network's input and back.

Pixel centres are at integers: a photo of width W covers x from -0.5 to W - 0.5.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.floating])


def cell_to_pixel(cell: Number, stride: int) -> Number:
    """Centre of map cell `cell` in input pixels: cell j covers pixels stride * j .. stride * j + stride - 1.

    This is the only definition of the grid. Heatmaps and PAFs have the same grid.
    """
    return stride * cell + (stride - 1) / 2


def pixel_to_cell(pixel: Number, stride: int) -> Number:
    """Inverse of `cell_to_pixel`; the result is in cells and may be fractional."""
    return (pixel - (stride - 1) / 2) / stride


def apply_affine(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform (..., 2) points x, y with a 2 x 3 matrix."""
    moved: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def compose_affine(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 x 3 matrix of the transform that applies `inner` first, then `outer` (2 x 3 each)."""
    result: NDArray[np.float64] = outer[:, :2] @ inner
    result[:, 2] += outer[:, 2]
    return result


def invert_affine(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 x 3 matrix of the inverse transform; `matrix` (2 x 3) must be invertible."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def resize_affine(scale_x: float, scale_y: float) -> NDArray[np.float64]:
    """2 x 3 matrix that moves points as they move when an image is resized by these factors."""
    return np.array([[scale_x, 0.0, (scale_x - 1) / 2], [0.0, scale_y, (scale_y - 1) / 2]])


def network_input_size(
    height: int, width: int, input_height: int, input_width: int | None, multiple: int, max_aspect_ratio: float
) -> tuple[int, int]:
    """(height, width) of the network input for a photo of (height, width); both are multiples of `multiple`.

    All sizes are in pixels. A fixed `input_width` gives the same size for every photo. Where it is None, the width is
    `input_height` times the photo's aspect ratio, but at most `max_aspect_ratio` times the height: a panorama must not
    exhaust memory.
    """
    if input_width is None:
        input_width = int(np.ceil(input_height * min(width / height, max_aspect_ratio)))
    return _round_up(input_height, multiple), _round_up(input_width, multiple)


def letterbox(
    image: NDArray[np.uint8], height: int, width: int, content: tuple[int, int] | None = None, fill: int = 127
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Scale an image to fit into height x width, with its aspect ratio kept and padding at the bottom and right.

    image: (H, W, 3) uint8. content: (height, width) in pixels that the photo may fill, by default all of the result.
    fill: grey value of the padding, 0..255.
    Returns the (height, width, 3) uint8 image and the 2 x 3 matrix from photo pixels to pixels of the result. The
    resized photo has a whole number of pixels, so the scales along x and y may differ slightly (by less than half a
    pixel over the photo's size). The matrix holds both exact scales.
    """
    box_height, box_width = content or (height, width)
    source_height, source_width = image.shape[:2]
    scale = min(box_height / source_height, box_width / source_width)
    new_height = min(height, max(1, round(source_height * scale)))
    new_width = min(width, max(1, round(source_width * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.full((height, width, 3), fill, np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    return canvas, resize_affine(new_width / source_width, new_height / source_height)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
