"""One training sample as a picture: the crop with its labels, and below it the targets rendered from the labels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.pose.geometry import resize_affine
from bpnet_cli.pose.person import labelled_persons
from bpnet_cli.pose.skeleton import Skeleton

Image = NDArray[np.uint8]

# Narrower crops are enlarged to this width in pixels, so that limbs and captions are readable.
MIN_WIDTH = 320
SEAM = 4  # white pixels between the pictures of a tile
VISIBLE = 2
# The hatching of parts that the loss ignores: share of the brightness that is left, distance and width of the bright
# lines in pixels.
_DIMMED, _SPACING, _LINE = 0.4, 12, 2


def draw_sample(
    image: Image,
    keypoints: NDArray[np.float32],
    mask: NDArray[np.float32],
    heatmaps: NDArray[np.float32],
    pafs: NDArray[np.float32],
    skeleton: Skeleton,
) -> Image:
    """The crop with its people; below it, side by side at half size, its heatmaps and PAFs.

    Parts that the loss ignores are hatched.
    image: (H, W, 3) uint8 RGB. keypoints: (P, K, 3) x, y, visibility in the image's pixels; occluded keypoints
    (visibility 1) are drawn hollow. mask: (rows, columns), 1: counts, 0: ignored.
    heatmaps: (rows, columns, K + 1), pafs: (rows, columns, 2L): the targets, without the mask.
    Returns (1.5 H + `SEAM`, W, 3) uint8 RGB; H and W are enlarged where W is below `MIN_WIDTH`.
    """
    factor = max(1.0, MIN_WIDTH / image.shape[1])
    width, height = (2 * round(factor * side / 2) for side in (image.shape[1], image.shape[0]))
    enlarged = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    enlarge = resize_affine(width / image.shape[1], height / image.shape[0])
    people = [person.moved(enlarge) for person in labelled_persons(keypoints)]
    crop = draw_persons(hatch(enlarged, mask), people, skeleton, hollow_below=VISIBLE)
    tile = np.full((height + SEAM + height // 2, width, 3), 255, np.uint8)
    tile[:height] = crop
    half = width // 2 - SEAM // 2
    for maps, left in zip(np.hsplit(draw_maps(enlarged, heatmaps, pafs), 2), (0, width - half), strict=True):
        small = cv2.resize(hatch(maps, mask), (half, height // 2), interpolation=cv2.INTER_AREA)
        tile[height + SEAM :, left : left + half] = small
    return tile


def hatch(image: Image, mask: NDArray[np.float32]) -> Image:
    """The (H, W, 3) uint8 image, darker and striped where the mask is 0.

    mask: (rows, columns), covers the whole image; 1: counts, 0: ignored.
    """
    height, width = image.shape[:2]
    ignored = 1 - cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
    rows, columns = np.mgrid[:height, :width]
    stripes = 110.0 * ((rows + columns) % _SPACING < _LINE)[..., None]
    return np.asarray(np.round(image * (1 - (1 - _DIMMED) * ignored) + stripes * ignored), np.uint8)
