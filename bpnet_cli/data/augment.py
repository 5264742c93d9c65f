"""Augmentation: one affine map and one colour map per sample, drawn from a random generator and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.samples import Sample
from bpnet_cli.pose.geometry import apply_affine, compose_affine, resize_affine

# Colours as RGB vectors: the part along the grey axis, all of them, and a quarter turn around that axis.
_GREY, _IDENTITY = np.full((3, 3), 1 / 3), np.eye(3)
_ACROSS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3)


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
    scale = rng.uniform(*augmentation.scale)
    angle = math.radians(rng.uniform(-augmentation.rotation_deg, augmentation.rotation_deg))
    shift = rng.uniform(-augmentation.translation_px, augmentation.translation_px, size=2)
    mirrored = bool(rng.random() < augmentation.flip_probability)
    if sample.person is None:
        base, pivot = _place_photo(sample, height, width)
    else:
        base, pivot = _place_person(sample, augmentation.person_height, height, width)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    if augmentation.crop == "random":
        # Where the photo's centre may lie for its edges to stay outside of the crop, or within it if they are nearer.
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = shift + middle - pivot + rng.uniform(-1, 1, size=2) * (middle - scale * pivot)
    sign = -1.0 if mirrored else 1.0
    jitter = np.array([[sign * cos, -sign * sin, 0.0], [sin, cos, 0.0]])
    jitter[:, 2] = pivot + shift - jitter[:, :2] @ pivot
    return compose_affine(jitter, base), mirrored


def draw_colour(rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.float32] | None:
    """A 3 x 4 map of RGB (0..255) to RGB for brightness, contrast, saturation and hue; None when all ranges are zero.

    Hue turns colours around the grey axis, which keeps the map linear, so that all four cost one pass over the pixels.
    """
    brightness = rng.uniform(-augmentation.brightness, augmentation.brightness)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    saturation = 1 + rng.uniform(-augmentation.saturation, augmentation.saturation)
    hue = math.radians(rng.uniform(-augmentation.hue_deg, augmentation.hue_deg))
    if not (augmentation.brightness or augmentation.contrast or augmentation.saturation or augmentation.hue_deg):
        return None
    # grey + saturation * turn, where turn = cos(hue) * (1 - grey) + sin(hue) * across
    along, across = saturation * math.cos(hue), saturation * math.sin(hue)
    colour = np.empty((3, 4), np.float32)
    colour[:, :3] = contrast * ((1 - along) * _GREY + along * _IDENTITY + across * _ACROSS)
    colour[:, 3] = 127.5 * (1 - contrast) + 255 * brightness
    return colour


def move_keypoints(
    keypoints: NDArray[np.float32], matrix: NDArray[np.float64], mirrored: bool, flip_permutation: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Map (P, K, 3) keypoints; a mirrored person's left becomes its right. Visibility stays, unlabelled rows are 0."""
    moved = keypoints.copy()
    moved[..., :2] = apply_affine(matrix, keypoints[..., :2].astype(np.float64))
    moved[moved[..., 2] <= 0] = 0
    return moved[:, flip_permutation] if mirrored else moved


def warp_image(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], height: int, width: int, fill: int = 127
) -> NDArray[np.uint8]:
    """Warp a (H, W, C) uint8 image by a 2 x 3 matrix (source to result pixels) into height x width, grey outside."""
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=4 * (fill,))
    return np.asarray(warped, np.uint8)


def _place_photo(sample: Sample, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Letterbox of the whole photo, and where its centre lands."""
    photo = sample.photo
    scale = min(height / photo.height, width / photo.width)
    new_height, new_width = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    base = resize_affine(new_width / photo.width, new_height / photo.height)
    return base, np.array([(new_width - 1) / 2, (new_height - 1) / 2])


def _place_person(
    sample: Sample, person_height: float, height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The person's box centre in the middle of the input, its box height `person_height` of the input's height."""
    x, y, box_width, box_height = sample.photo.boxes[sample.person].tolist()
    # A lying person's box is low: sizing by height alone would blow it up far beyond the crop.
    extent = max(box_height, box_width / 2, 1.0)
    scale = person_height * height / extent
    middle = ((width - 1) / 2, (height - 1) / 2)
    left = middle[0] - scale * (x + box_width / 2 - 0.5)
    top = middle[1] - scale * (y + box_height / 2 - 0.5)
    return np.array([[scale, 0.0, left], [0.0, scale, top]]), np.array(middle)
