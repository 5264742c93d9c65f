"""A synthetic photo: its background, the places of its people, and the painting. Each pixel's owner is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.parts import Colour, Figure, Vector, shade

PART_IDS = 64  # ids per person in `owners`; more than a figure has parts
NOBODY = -1
FRACTION_BITS = 4  # OpenCV takes polygon corners in units of 1 / 16 pixel
CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=-1)


@dataclass(frozen=True)
class Placed:
    """A figure in a photo: pixel = scale * position + (x, y)."""

    figure: Figure
    scale: float
    x: float
    y: float

    @property
    def points(self) -> Vector:
        """(K, 2) keypoints in pixels; they may be outside of the photo."""
        return self.scale * self.figure.keypoints[:, :2] + (self.x, self.y)


def paint_scene(
    rng: np.random.Generator, figures: Sequence[Figure], height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32], list[Placed]]:
    """(height, width, 3) uint8 RGB photo, (height, width) int32 owners and the people, the farthest first.

    owners: for each pixel, PART_IDS * index of the person + index of the part in the figure; NOBODY on the background.
    """
    image = paint_backdrop(rng, height, width)
    owners = np.full((height, width), NOBODY, np.int32)
    people = _place_figures(rng, figures, height, width)
    light = np.array([rng.uniform(-0.25, 0.25), -0.2])
    for i, placed in enumerate(people):
        paint_figure(image, owners, placed, i * PART_IDS, light)
    grain = int(rng.integers(0, 13))
    cv2.add(image, rng.integers(0, grain + 1, image.shape, np.uint8), dst=image)
    return image, owners, people


def visibilities(person: int, placed: Placed, owners: NDArray[np.int32]) -> NDArray[np.intp]:
    """(K,) COCO visibility: 2 visible, 1 occluded, 0 outside of the photo or on the far side of the head."""
    height, width = owners.shape
    result = np.zeros(len(placed.figure.names), np.intp)
    for k, (name, (x, y)) in enumerate(zip(placed.figure.names, placed.points, strict=True)):
        if name in placed.figure.hidden or not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        owner, part = divmod(int(owners[round(y), round(x)]), PART_IDS)
        seen = owner == person and name in placed.figure.parts[part].shows
        result[k] = 2 if seen else 1
    return result


def _place_figures(rng: np.random.Generator, figures: Sequence[Figure], height: int, width: int) -> list[Placed]:
    """Choose sizes and places so that people overlap little. A person that stands lower in the photo is nearer."""
    crowd = min(1.1 * height, 1.5 * np.sqrt(height * width / len(figures)))
    boxes = np.zeros((0, 4))
    people = []
    for figure in figures:
        scale, box = _find_place(rng, figure.bounds, crowd * rng.uniform(0.4, 1.0), boxes, height, width)
        boxes = np.vstack([boxes, box])
        x, y = box[:2] - scale * figure.bounds[:2]
        people.append(Placed(figure, scale, float(x), float(y)))
    order = np.argsort(boxes[:, 3], kind="stable")
    return [people[i] for i in order]


def _find_place(
    rng: np.random.Generator, bounds: Vector, scale: float, taken: Vector, height: int, width: int
) -> tuple[float, Vector]:
    """(scale, box x0 y0 x1 y1) with little overlap with the boxes in `taken`; smaller where there is no room."""
    size, frame = bounds[2:] - bounds[:2], np.array([width - 1.0, height - 1.0])
    # One person in eight may stick out of the photo by a third.
    outside = 0.33 if rng.uniform() < 0.125 else 0.0
    scale = min(scale, *(frame / size / (1 - outside)))
    for _ in range(24):
        low, high = -outside * scale * size, frame - (1 - outside) * scale * size
        corners = low + rng.random((24, 2)) * (high - low)
        candidates = np.hstack([corners, corners + scale * size])
        overlap = _overlaps(candidates, taken)
        best = int(overlap.argmin())
        if overlap[best] < 0.15:
            break
        scale *= 0.88
    return scale, candidates[best]


def _overlaps(boxes: Vector, others: Vector) -> Vector:
    """(N,) for each of (N, 4) boxes, the largest overlap with one of (M, 4) others, as a share of the smaller box."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    smaller = np.minimum(_areas(boxes)[:, None], _areas(others)[None])
    share: Vector = (common / smaller).max(axis=1, initial=0.0)
    return share


def _areas(boxes: Vector) -> Vector:
    areas: Vector = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def paint_figure(
    image: NDArray[np.uint8], owners: NDArray[np.int32], placed: Placed, first_id: int, light: Vector
) -> None:
    """Paint the parts, the farthest first: a dark rim, the part's colour, and a highlight moved by `light` radii.

    image: (H, W, 3) uint8 RGB. owners: (H, W) int32. Both are changed: the pixels of part i get the owner first_id + i.
    """
    for i, part in enumerate(placed.figure.parts):
        centres = placed.scale * part.balls[:, :2] + (placed.x, placed.y)
        radii = placed.scale * part.balls[:, 3:]
        colour = shade(part.colour, float(np.clip(1 + 0.9 * part.depth, 0.75, 1.15)))
        outline = _hull(centres, radii)
        cv2.fillConvexPoly(owners, outline, first_id + i, cv2.LINE_8, FRACTION_BITS)
        if radii.max() < 1.2:
            _fill(image, outline, colour)
            continue
        _fill(image, outline, shade(colour, 0.68))
        _fill(image, _hull(centres, 0.84 * radii), colour)
        if radii.max() > 2.5:
            _fill(image, _hull(centres + light * radii, 0.42 * radii), shade(colour, 1.13))


def _hull(centres: Vector, radii: Vector) -> NDArray[np.int32]:
    """Corners of the convex hull of circles, in OpenCV's fixed point. centres: (N, 2), radii: (N, 1), pixels."""
    points = (centres[:, None] + radii[:, None] * CIRCLE).reshape(-1, 2)
    corners = np.round(points * 2**FRACTION_BITS).astype(np.int32)
    return np.asarray(cv2.convexHull(corners), np.int32)


def _fill(image: NDArray[np.uint8], outline: NDArray[np.int32], colour: Colour) -> None:
    cv2.fillConvexPoly(image, outline, colour, cv2.LINE_AA, FRACTION_BITS)


def paint_backdrop(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A smooth or cloudy background, (height, width, 3) uint8 RGB. Most have shapes on it that are not people."""
    cells = rng.integers(1, 5, 2)
    image = _stretch(random_colours(rng, (*cells, 3)), height, width)
    if rng.uniform() < 0.5:
        rough = int(rng.integers(4, 40))
        clouds = random_colours(rng, (-(-height // rough), -(-width // rough), 3))
        share = rng.uniform(0.1, 0.5)
        cv2.addWeighted(image, 1 - share, _stretch(clouds, height, width), share, 0, dst=image)
    if rng.uniform() < 0.7:
        for _ in range(int(rng.integers(2, 14))):
            _paint_shape(rng, image)
    return image


def _stretch(colours: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def random_colours(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """RGB uint8 colours, less saturated than clothes."""
    colours = rng.integers(20, 236, shape)
    grey = colours.mean(axis=-1, keepdims=True)
    return np.asarray(grey + rng.uniform(0.1, 0.8) * (colours - grey), np.uint8)


def _paint_shape(rng: np.random.Generator, image: NDArray[np.uint8]) -> None:
    """Paint a rectangle, ellipse, polygon or rod at a random place; a part of it may be outside of the photo."""
    extent = np.array([image.shape[1], image.shape[0]])
    centre = rng.uniform(0, 1, 2) * extent
    size = rng.uniform(0.03, 0.3, 2) * extent.min()
    red, green, blue = random_colours(rng, (3,)).tolist()
    angle, corner_count, kind = rng.uniform(0, 360), int(rng.integers(3, 7)), rng.integers(0, 4)
    if kind == 0:
        outline = cv2.boxPoints((tuple(centre), tuple(size), angle * (rng.uniform() < 0.5)))
    elif kind == 1:
        outline = centre + size / 2 * CIRCLE
    elif kind == 2:
        turns = np.sort(rng.uniform(0, 2 * np.pi, corner_count))
        outline = centre + size / 2 * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    else:
        reach = size.max() * np.array([np.cos(angle), np.sin(angle)])
        ends = np.stack([centre - reach, centre + reach])
        outline = _hull(ends, np.full((2, 1), rng.uniform(0.005, 0.03) * extent.min())) / 2**FRACTION_BITS
    _fill(image, np.round(outline * 2**FRACTION_BITS).astype(np.int32), (red, green, blue))
