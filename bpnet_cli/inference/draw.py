"""Pictures of results: people on their photo, and the network's maps on the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

Colour = tuple[int, int, int]

# Okabe and Ito's palette for colour-blind people. The limbs of one side alternate between its two tones.
LEFT: tuple[Colour, ...] = ((0, 114, 178), (86, 180, 233))
RIGHT: tuple[Colour, ...] = ((213, 94, 0), (230, 159, 0))
MIDDLE: tuple[Colour, ...] = ((0, 158, 115), (240, 228, 66))
OUTLINE: Colour = (20, 20, 20)
WHITE: Colour = (255, 255, 255)
FRACTION_BITS = 4  # OpenCV takes coordinates in units of 1 / 16 pixel
FARTHEST = 2**15  # pixels, more than any photo has; much larger coordinates would overflow OpenCV's fixed point


def draw_persons(
    image_rgb: NDArray[np.uint8],
    persons: Sequence[Person],
    skeleton: Skeleton,
    *,
    show_scores: bool = False,
    hollow_below: float = 0.0,
) -> NDArray[np.uint8]:
    """A copy of the image with each person's limbs and keypoints, (H, W, 3) uint8. Absent keypoints are not drawn.

    image_rgb: (H, W, 3) uint8 RGB. persons: keypoints in the image's pixels; people with a higher score are drawn on
    top. The person's left side is blue, its right side orange, the middle green. This holds for every skeleton: the
    first name of each flip pair counts as left.
    show_scores: write each score above its person. hollow_below: keypoints with a lower score are drawn hollow.
    """
    canvas = np.ascontiguousarray(image_rgb).copy()
    limb_colours, keypoint_colours = _colours(skeleton)
    drawn = sorted((person for person in persons if person.found.any()), key=lambda person: person.score)
    widths = [_line_width(person, canvas.shape[0], canvas.shape[1]) for person in drawn]
    for person, width in zip(drawn, widths, strict=True):
        _draw_limbs(canvas, person, skeleton, limb_colours, width)
        _draw_keypoints(canvas, person, keypoint_colours, width, hollow_below)
    if show_scores:
        for person, width in zip(drawn, widths, strict=True):
            _draw_score(canvas, person, width)
    return canvas


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
    strength = np.linalg.norm(vectors, axis=-1).max(axis=-1)
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


def _colours(skeleton: Skeleton) -> tuple[list[Colour], list[Colour]]:
    """A colour for each limb and each keypoint. A limb between left and right, or in the middle, counts as middle."""
    sides = np.zeros(len(skeleton.keypoints), int)
    for left, right in skeleton.flip_pairs:
        sides[skeleton.keypoints.index(left)], sides[skeleton.keypoints.index(right)] = 1, -1
    limb_sides = np.sign(sides[skeleton.limb_indices].sum(axis=1))
    return _alternate(limb_sides), _alternate(sides)


def _alternate(sides: NDArray[np.intp]) -> list[Colour]:
    tones = {1: LEFT, -1: RIGHT, 0: MIDDLE}
    used = dict.fromkeys(tones, 0)
    colours = []
    for side in sides.tolist():
        colours.append(tones[side][used[side] % len(tones[side])])
        used[side] += 1
    return colours


def _line_width(person: Person, height: int, width: int) -> int:
    """Line width in pixels. It grows with the person, within limits that depend on the photo's size."""
    extent = max(person.box[2:])
    diagonal = float(np.hypot(height, width))
    return max(1, round(float(np.clip(0.018 * extent, 0.0015 * diagonal, 0.008 * diagonal))))


def _draw_limbs(
    canvas: NDArray[np.uint8], person: Person, skeleton: Skeleton, colours: Sequence[Colour], width: int
) -> None:
    found = person.found
    limbs = [(a, b, colour) for (a, b), colour in zip(skeleton.limb_indices, colours, strict=True)]
    limbs = [(a, b, colour) for a, b, colour in limbs if found[a] and found[b]]
    for a, b, _ in limbs:
        _line(canvas, person, a, b, OUTLINE, width + max(1, width // 2))
    for a, b, colour in limbs:
        _line(canvas, person, a, b, colour, width)


def _line(canvas: NDArray[np.uint8], person: Person, a: int, b: int, colour: Colour, width: int) -> None:
    start, end = _fixed(person.keypoints[a]), _fixed(person.keypoints[b])
    cv2.line(canvas, start, end, colour, width, cv2.LINE_AA, FRACTION_BITS)


def _draw_keypoints(
    canvas: NDArray[np.uint8], person: Person, colours: Sequence[Colour], width: int, hollow_below: float
) -> None:
    for k in np.flatnonzero(person.found).tolist():
        centre = _fixed(person.keypoints[k])
        hollow = person.keypoints[k, 2] < hollow_below
        # The hole of a smaller disc would not be visible.
        radius = max(3.0 if hollow else 1.2, 0.95 * width)
        discs = [(OUTLINE, radius + max(0.5, width / 4)), (colours[k], radius)]
        if hollow:
            discs.append((WHITE, 0.55 * radius))
        for colour, size in discs:
            cv2.circle(canvas, centre, round(size * 2**FRACTION_BITS), colour, cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _draw_score(canvas: NDArray[np.uint8], person: Person, width: int) -> None:
    """Write the score above the topmost keypoint, inside the photo."""
    x, y, _ = person.keypoints[person.found][person.keypoints[person.found, 1].argmin()]
    text, scale = f"{person.score:.2f}", max(0.35, 0.15 * width)
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = int(np.clip(x - text_width / 2, 0, max(0, canvas.shape[1] - text_width)))
    bottom = int(np.clip(y - 4 * width, text_height + 1, canvas.shape[0] - 1))
    for colour, thickness in ((OUTLINE, max(3, width)), (WHITE, max(1, width // 3))):
        cv2.putText(canvas, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def _fixed(keypoint: NDArray[np.float32]) -> tuple[int, int]:
    x, y = np.clip(keypoint[:2], -FARTHEST, FARTHEST) * 2**FRACTION_BITS
    return round(float(x)), round(float(y))
