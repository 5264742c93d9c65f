"""Pictures of results: people on their photo, and the network's maps on the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.captions import caption, draw_captions
from bpnet_cli.inference.colours import OUTLINE, WHITE, Colour, looks_by_person, looks_by_side
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

FRACTION_BITS = 4  # OpenCV takes coordinates in units of 1 / 16 pixel
FARTHEST = 2**15  # pixels, more than any photo has; much larger coordinates would overflow OpenCV's fixed point
# A person's size is the extent of its keypoints, but not more than this many median limbs. For body_18 the extent of a
# standing person is less than that; that of one who was merged from several people is more.
MEDIAN_LIMBS = 8


def draw_persons(
    image_rgb: NDArray[np.uint8],
    persons: Sequence[Person],
    skeleton: Skeleton,
    *,
    colour: Literal["side", "person"] = "side",
    background: Literal["photo", "black", "transparent"] = "photo",
    show_ids: bool = False,
    show_scores: bool = False,
    hollow_below: float = 0.0,
) -> NDArray[np.uint8]:
    """Each person's limbs and keypoints on a copy of the image, or on nothing. Absent keypoints are not drawn.

    image_rgb: (H, W, 3) uint8 RGB. persons: keypoints in the image's pixels, in any order. People with thin lines, the
    small ones, are drawn over larger ones, and of people with equal lines the one with the higher score is on top.
    colour: by the sides of the body, or for each person its own, see `colours`.
    background: what is under the people: the photo, black, or nothing.
    show_ids, show_scores: write the person's number and score beside it, see `captions`.
    hollow_below: keypoints with a lower score are drawn hollow.
    Returns (H, W, 3) uint8 RGB; for "transparent" (H, W, 4) RGBA, where the colours are not multiplied by alpha.
    """
    height, width = image_rgb.shape[:2]
    channels = 4 if background == "transparent" else 3
    # cv2 mixes the edges of its lines into all four channels alike: on zeros, colours come out multiplied by alpha.
    empty = background != "photo"
    canvas = np.zeros((height, width, channels), np.uint8) if empty else np.array(image_rgb, order="C")
    found = [person for person in persons if person.found.any()]
    looks = (looks_by_side if colour == "side" else looks_by_person)(found, skeleton)
    widths = [_line_width(person, skeleton, height, width) for person in found]
    order = sorted(range(len(found)), key=lambda i: (-widths[i], found[i].score))
    for i in order:
        points = np.rint(np.clip(found[i].keypoints[:, :2], -FARTHEST, FARTHEST) * 2**FRACTION_BITS)
        fixed = np.where(found[i].found[:, None], points, 0).astype(np.int32)
        _draw_limbs(canvas, fixed, found[i].found, skeleton, looks[i].limbs, widths[i])
        _draw_keypoints(canvas, fixed, found[i], looks[i].keypoints, widths[i], hollow_below)
    if show_ids or show_scores:
        first = order[::-1]
        texts = [caption(found[i], show_ids, show_scores) for i in first]
        draw_captions(canvas, [found[i] for i in first], texts, [looks[i].label for i in first])
    return canvas if channels == 3 else _divided_by_alpha(canvas)


def draw_maps(
    image_rgb: NDArray[np.uint8], heatmaps: NDArray[np.floating], pafs: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """(H, 2W, 3) uint8 RGB: on the left the image with its heatmaps over it, on the right the image with its PAFs.

    image_rgb: (H, W, 3) uint8 RGB network input; the maps cover all of it. heatmaps: (h, w, K + 1), the background
    last; each cell shows its largest keypoint channel. pafs: (h, w, 2L); each cell shows the length of its longest
    vector. Values from 0 to 1 are shown from no colour to full colour.
    """
    vectors = pafs.reshape(*pafs.shape[:2], -1, 2)
    confidence = heatmaps[..., :-1].max(axis=-1)
    strength = np.linalg.norm(vectors, axis=-1).max(axis=-1, initial=0.0)  # a skeleton of one keypoint has no PAFs
    return np.hstack(
        [
            _overlay(image_rgb, confidence, cv2.COLORMAP_INFERNO),
            _overlay(image_rgb, strength, cv2.COLORMAP_VIRIDIS),
        ]
    )


def _overlay(image_rgb: NDArray[np.uint8], values: NDArray[np.floating], colour_map: int) -> NDArray[np.uint8]:
    """The image in dim grey, coloured where the (h, w) values are high. NaN, from diverged training, counts as 0."""
    height, width = image_rgb.shape[:2]
    clean = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    # Linear resizing keeps the centre of a map cell at the centre of the pixels that the cell covers.
    share = cv2.resize(clean, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    colours = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), colour_map)[..., ::-1]
    grey = 0.7 * cv2.cvtColor(np.ascontiguousarray(image_rgb), cv2.COLOR_RGB2GRAY)[..., None]
    opacity = 0.85 * np.sqrt(share)
    return np.asarray(np.round((1 - opacity) * grey + opacity * colours), np.uint8)


def _divided_by_alpha(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA whose colours were multiplied by alpha, in place as RGBA whose colours were not."""
    pixels = canvas.reshape(-1, 4)
    alpha = cv2.extractChannel(canvas, 3).ravel()
    partly = np.flatnonzero(alpha - np.uint8(1) < 254)  # neither 0, which becomes 255 here, nor 255
    edges = pixels[partly].astype(np.float32)
    edges[:, :3] *= 255 / edges[:, 3:]
    pixels[partly] = np.round(edges).clip(0, 255)
    return canvas


def _line_width(person: Person, skeleton: Skeleton, height: int, width: int) -> int:
    """Line width in pixels. It grows with the person, within limits that depend on the photo's size."""
    extent = max(person.box[2:])
    ends = person.keypoints[skeleton.limb_indices, :2]
    lengths = np.hypot(*(ends[:, 0] - ends[:, 1]).T)
    lengths = lengths[~np.isnan(lengths)]
    size = min(extent, MEDIAN_LIMBS * float(np.median(lengths))) if len(lengths) else extent
    diagonal = float(np.hypot(height, width))
    return max(1, round(float(np.clip(0.018 * size, 0.0015 * diagonal, 0.008 * diagonal))))


def _draw_limbs(
    canvas: NDArray[np.uint8],
    fixed: NDArray[np.int32],
    found: NDArray[np.bool_],
    skeleton: Skeleton,
    colours: Sequence[Colour],
    width: int,
) -> None:
    """fixed: (K, 2) in units of 1 / 16 pixel. One call for all limbs of a colour takes half of the time."""
    drawn = np.flatnonzero(found[skeleton.limb_indices].all(axis=1))
    lines = fixed[skeleton.limb_indices]
    groups: dict[Colour, list[NDArray[np.int32]]] = {}
    for limb in drawn.tolist():
        groups.setdefault(colours[limb], []).append(lines[limb])
    outline = list(lines[drawn])
    # Of widths over 1, cv2 draws odd ones as wide as the next even one.
    around = 2 * ((width + 1) // 2) + 2 * max(1, round(width / 4)) if width > 1 else 2
    for colour, group, thick in (
        (OUTLINE, outline, around),
        *((colour, group, width) for colour, group in groups.items()),
    ):
        cv2.polylines(canvas, group, False, (*colour, 255), thick, cv2.LINE_AA, FRACTION_BITS)


def _draw_keypoints(
    canvas: NDArray[np.uint8],
    fixed: NDArray[np.int32],
    person: Person,
    colours: Sequence[Colour],
    width: int,
    hollow_below: float,
) -> None:
    hollow = (person.keypoints[:, 2] < hollow_below).tolist()
    for k in np.flatnonzero(person.found).tolist():
        # The hole of a smaller disc would not be visible.
        radius = max(3.0 if hollow[k] else 1.2, 0.95 * width)
        discs = [(OUTLINE, radius + max(0.5, width / 4)), (colours[k], radius)]
        if hollow[k]:
            discs.append((WHITE, 0.55 * radius))
        for colour, size in discs:
            cv2.fillConvexPoly(canvas, fixed[k] + _disc(size), (*colour, 255), cv2.LINE_AA, FRACTION_BITS)


@cache
def _disc(radius: float) -> NDArray[np.int32]:
    """(N, 2) corners of a disc around 0, 0 in units of 1 / 16 pixel. `cv2.circle` draws small discs as diamonds."""
    corners = 16 if radius < 10 else 48
    angles = np.arange(corners) * 2 * np.pi / corners
    points = radius * 2**FRACTION_BITS * np.column_stack([np.cos(angles), np.sin(angles)])
    return np.asarray(np.rint(points), np.int32)
