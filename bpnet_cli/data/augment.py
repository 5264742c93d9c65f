"""Augmentation: one affine map and one colour map per sample. The only source of randomness is the given generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.samples import Sample


@dataclass(frozen=True)
class Augmentation:
    """The ranges of the random changes of a sample; the spec section `augmentation` describes each of them.

    crop: "person", "photo" or "random". Lengths are in pixels of the network input, angles in degrees.
    """

    crop: str = "person"
    person_height: float = 0.6
    flip_probability: float = 0.5
    rotation_deg: float = 40.0
    scale: tuple[float, float] = (0.5, 1.5)
    translation_px: float = 40.0
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue_deg: float = 8.0


def draw_geometry(
    rng: np.random.Generator, augmentation: Augmentation, sample: Sample, height: int, width: int
) -> tuple[NDArray[np.float64], bool]:
    """Draw the 2 x 3 float64 map from photo pixels to pixels of a height x width input, and whether it mirrors.

    If all ranges are zero, a whole photo lands exactly where `letterbox` puts it at inference, and a person lands in
    the middle of the input. For a random crop, the letterboxed photo is scaled. Along each side where the photo is then
    longer than the crop, the crop lies anywhere inside the photo; else the photo lies anywhere inside the crop.
    """
    size, turn, right, down, flip = rng.random(5).tolist()
    scale = augmentation.scale[0] + size * (augmentation.scale[1] - augmentation.scale[0])
    angle = math.radians(augmentation.rotation_deg * (2 * turn - 1))
    shift_x, shift_y = augmentation.translation_px * (2 * right - 1), augmentation.translation_px * (2 * down - 1)
    mirrored = flip < augmentation.flip_probability
    (zoom_x, zoom_y), (left, top), (x, y) = _place(sample, augmentation, height, width)
    if augmentation.crop == "random":
        # The range for the photo's centre. A photo longer than the crop keeps its edges outside of the crop; a shorter
        # one keeps its edges inside.
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        across, along = rng.random(2).tolist()
        shift_x += middle_x - x + (2 * across - 1) * (middle_x - scale * x)
        shift_y += middle_y - y + (2 * along - 1) * (middle_y - scale * y)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    a, b = (-cos, sin) if mirrored else (cos, -sin)
    # The matrix scales, moves to the pivot, turns around the pivot, and shifts. Plain numbers are faster than numpy
    # here: on arrays this small, numpy's calls cost more than the whole calculation.
    left, top = left - x, top - y
    matrix = [
        [a * zoom_x, b * zoom_y, a * left + b * top + x + shift_x],
        [sin * zoom_x, cos * zoom_y, sin * left + cos * top + y + shift_y],
    ]
    return np.array(matrix), mirrored


def zoom_of(sample: Sample, augmentation: Augmentation, height: int, width: int) -> float:
    """Pixels of a height x width input per pixel of the sample's photo, before the random scale is applied."""
    return _place(sample, augmentation, height, width)[0][1]


def draw_colour(rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.float32] | None:
    """Draw a 3 x 4 map from RGB (0..255) to RGB for brightness, contrast, saturation and hue; None if all ranges are 0.

    Hue turns colours around the grey axis, which keeps the map linear, so that all four cost one pass over the pixels.
    """
    if not (augmentation.brightness or augmentation.contrast or augmentation.saturation or augmentation.hue_deg):
        return None
    brightness, contrast, saturation, hue = (2 * number - 1 for number in rng.random(4).tolist())
    contrast = 1 + augmentation.contrast * contrast
    saturation = contrast * (1 + augmentation.saturation * saturation)
    hue = math.radians(augmentation.hue_deg * hue)
    # The colour is grey + saturation * turn, with turn = cos(hue) * (1 - grey) + sin(hue) * across. So each row of the
    # matrix has the same three numbers, shifted by one channel from row to row.
    along, across = saturation * math.cos(hue), saturation * math.sin(hue) / math.sqrt(3)
    others = (contrast - along) / 3
    same, next_, last = others + along, others - across, others + across
    shift = 127.5 * (1 - contrast) + 255 * augmentation.brightness * brightness
    return np.array([[same, next_, last, shift], [last, same, next_, shift], [next_, last, same, shift]], np.float32)


def move_keypoints(
    keypoints: NDArray[np.float32],
    matrix: NDArray[np.float64],
    mirrored: NDArray[np.bool_] | bool,
    flip_permutation: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Move (P, K, 3) float32 keypoints x, y, visibility by a map. Visibility stays; unlabelled rows become 0.

    matrix: (2, 3) for all people, or (P, 2, 3) for one map per person. mirrored: one bool, or (P,). In a mirrored
    person, left and right keypoints change places by `flip_permutation` (K,).
    """
    x, y = keypoints[..., 0].astype(np.float64), keypoints[..., 1].astype(np.float64)
    a, b, c, d, e, f = (matrix[..., i, j, None] for i in (0, 1) for j in (0, 1, 2))
    moved = keypoints.copy()
    moved[..., 0] = a * x + b * y + c
    moved[..., 1] = d * x + e * y + f
    moved[moved[..., 2] <= 0] = 0
    return np.where(np.asarray(mirrored)[..., None, None], moved[:, flip_permutation], moved)


def warp_image(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], height: int, width: int, fill: int = 127
) -> NDArray[np.uint8]:
    """Warp a (H, W, C) uint8 image into height x width by a 2 x 3 matrix (source to result pixels).

    fill: value of all channels outside of the source image.
    """
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=4 * (fill,))
    return np.asarray(warped, np.uint8)


# The position of a crop before random changes: the scale (x, y) and shift (x, y) of the map from photo to input pixels,
# and the pivot (x, y) in the input.
_Place = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def _place(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    place = _place_photo if sample.person is None else _place_person
    return place(sample, augmentation, height, width)


def _place_photo(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    """The place of the whole photo, letterboxed; the pivot is the photo's centre."""
    photo = sample.photo
    scale = min(height / photo.height, width / photo.width)
    new_height, new_width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    zoom_x, zoom_y = new_width / photo.width, new_height / photo.height
    return (zoom_x, zoom_y), ((zoom_x - 1) / 2, (zoom_y - 1) / 2), ((new_width - 1) / 2, (new_height - 1) / 2)


def _place_person(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    """The place that puts the centre of a person's box into the middle of the input.

    The box gets a height of `person_height` times the input's height.
    """
    x, y, box_width, box_height = sample.photo.boxes[sample.person].tolist()
    # The box of a lying person is low. A scale from the height alone would make the person far larger than the crop.
    extent = max(box_height, box_width / 2, 1.0)
    scale = augmentation.person_height * height / extent
    middle = ((width - 1) / 2, (height - 1) / 2)
    left = middle[0] - scale * (x + box_width / 2 - 0.5)
    top = middle[1] - scale * (y + box_height / 2 - 0.5)
    return (scale, scale), (left, top), middle
