"""Augmentation: one affine map and one colour map per sample, drawn from a random generator and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.samples import Sample


@dataclass(frozen=True)
class Augmentation:
    """Ranges that one sample's changes are drawn from; the spec section `augmentation` describes each.

    crop: "person", "photo" or "random".

    Lengths are pixels of the network input, angles degrees.
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
    """The 2 x 3 map from photo pixels to pixels of a height x width input, and whether it mirrors.

    With every range at zero a photo lands exactly where `letterbox` puts it at inference, and a person in the middle.
    A random crop scales the letterboxed photo and lies anywhere on it, within it along a side that is longer.
    """
    size, turn, right, down, flip = rng.random(5).tolist()
    scale = augmentation.scale[0] + size * (augmentation.scale[1] - augmentation.scale[0])
    angle = math.radians(augmentation.rotation_deg * (2 * turn - 1))
    shift_x, shift_y = augmentation.translation_px * (2 * right - 1), augmentation.translation_px * (2 * down - 1)
    mirrored = flip < augmentation.flip_probability
    (zoom_x, zoom_y), (left, top), (x, y) = _place(sample, augmentation, height, width)
    if augmentation.crop == "random":
        # Where the photo's centre may lie for its edges to stay outside of the crop, or within it if they are nearer.
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        across, along = rng.random(2).tolist()
        shift_x += middle_x - x + (2 * across - 1) * (middle_x - scale * x)
        shift_y += middle_y - y + (2 * along - 1) * (middle_y - scale * y)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    a, b = (-cos, sin) if mirrored else (cos, -sin)
    # Scaled and moved to the pivot, turned around it, shifted; in plain numbers, as numpy's calls on arrays this small
    # cost more than all of it.
    left, top = left - x, top - y
    matrix = [
        [a * zoom_x, b * zoom_y, a * left + b * top + x + shift_x],
        [sin * zoom_x, cos * zoom_y, sin * left + cos * top + y + shift_y],
    ]
    return np.array(matrix), mirrored


def zoom_of(sample: Sample, augmentation: Augmentation, height: int, width: int) -> float:
    """Pixels of a height x width input per pixel of the sample's photo, before the augmentation's own scale."""
    return _place(sample, augmentation, height, width)[0][1]


def draw_colour(rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.float32] | None:
    """A 3 x 4 map of RGB (0..255) to RGB for brightness, contrast, saturation and hue; None when all ranges are zero.

    Hue turns colours around the grey axis, which keeps the map linear, so that all four cost one pass over the pixels.
    """
    if not (augmentation.brightness or augmentation.contrast or augmentation.saturation or augmentation.hue_deg):
        return None
    brightness, contrast, saturation, hue = (2 * number - 1 for number in rng.random(4).tolist())
    contrast = 1 + augmentation.contrast * contrast
    saturation = contrast * (1 + augmentation.saturation * saturation)
    hue = math.radians(augmentation.hue_deg * hue)
    # grey + saturation * turn, where turn = cos(hue) * (1 - grey) + sin(hue) * across: a matrix whose rows are the same
    # three numbers, moved on by one channel each.
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
    """Map (P, K, 3) keypoints; a mirrored person's left becomes its right. Visibility stays, unlabelled rows are 0.

    matrix: (2, 3), or (P, 2, 3) for one per person; mirrored likewise.
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
    """Warp a (H, W, C) uint8 image by a 2 x 3 matrix (source to result pixels) into height x width, grey outside."""
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=4 * (fill,))
    return np.asarray(warped, np.uint8)


# Where a crop lies before anything is drawn: scales along x and y and shift of the map from photo to input, its middle.
_Place = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def _place(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    place = _place_photo if sample.person is None else _place_person
    return place(sample, augmentation, height, width)


def _place_photo(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    """Letterbox of the whole photo, and where its centre lands."""
    photo = sample.photo
    scale = min(height / photo.height, width / photo.width)
    new_height, new_width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    zoom_x, zoom_y = new_width / photo.width, new_height / photo.height
    return (zoom_x, zoom_y), ((zoom_x - 1) / 2, (zoom_y - 1) / 2), ((new_width - 1) / 2, (new_height - 1) / 2)


def _place_person(sample: Sample, augmentation: Augmentation, height: int, width: int) -> _Place:
    """The person's box centre in the middle of the input, its box height `person_height` of the input's height."""
    x, y, box_width, box_height = sample.photo.boxes[sample.person].tolist()
    # A lying person's box is low: sizing by height alone would blow it up far beyond the crop.
    extent = max(box_height, box_width / 2, 1.0)
    scale = augmentation.person_height * height / extent
    middle = ((width - 1) / 2, (height - 1) / 2)
    left = middle[0] - scale * (x + box_width / 2 - 0.5)
    top = middle[1] - scale * (y + box_height / 2 - 0.5)
    return (scale, scale), (left, top), middle
