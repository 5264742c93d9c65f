"""Numbers and scores beside drawn people, inside the photo and not over each other where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.colours import OUTLINE, Colour
from bpnet_cli.pose.person import Person

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 22  # pixels of a digit at scale 1

Box = tuple[int, int, int, int]  # left, top, right, bottom


def caption(person: Person, show_id: bool, show_score: bool) -> str:
    """For example "#3 8.31"; without the number where the person has none."""
    number = [f"#{person.id}"] if show_id and person.id is not None else []
    return " ".join(number + ([f"{person.score:.2f}"] if show_score else []))


def draw_captions(
    canvas: NDArray[np.uint8], persons: Sequence[Person], texts: Sequence[str], colours: Sequence[Colour]
) -> None:
    """Write a text on a dark plate at each person, in place: above it, or where that is not free beside or below it.

    canvas: (H, W, 3) RGB or (H, W, 4) RGBA with opaque colours on 0. persons: the first ones choose their places first.
    """
    height, width = canvas.shape[:2]
    diagonal = float(np.hypot(height, width))
    taken: list[Box] = []
    for person, text, colour in zip(persons, texts, colours, strict=True):
        if not text:
            continue
        # In small photos the letters have the least legible size; larger photos are looked at from farther away.
        letters = float(np.clip(0.08 * person.box[3], max(9.0, 0.011 * diagonal), max(11.0, 0.016 * diagonal)))
        plate = _plate(text, colour, letters)
        box = _place(person, (plate.shape[1], plate.shape[0]), (width, height), taken)
        taken.append(box)
        part = canvas[box[1] : box[3], box[0] : box[2]]
        part[..., :3], part[..., 3:] = plate[: part.shape[0], : part.shape[1]], 255


def _plate(text: str, colour: Colour, letters: float) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB picture of a text whose digits are `letters` pixels high.

    The text is drawn here, because on transparent pictures cv2 5 makes holes around it.
    """
    scale, thickness, pad = letters / FONT_HEIGHT, max(1, round(letters / 9)), 1 + round(letters / 6)
    text_width = cv2.getTextSize(text, FONT, scale, thickness)[0][0]
    plate = np.full((round(letters) + 2 * pad, text_width + 2 * pad, 3), OUTLINE, np.uint8)
    cv2.putText(plate, text, (pad, plate.shape[0] - pad), FONT, scale, colour, thickness, cv2.LINE_AA)
    return plate


def _place(person: Person, size: tuple[int, int], photo: tuple[int, int], taken: Sequence[Box]) -> Box:
    """The place beside a person that covers least of other texts; the first one of equals."""
    x, y, width, height = person.box
    top_x = float(person.keypoints[person.found][person.keypoints[person.found, 1].argmin(), 0])
    gap = 0.7 * size[1] + 0.06 * height
    middle = top_x - size[0] / 2
    corners = [
        *((middle, y - gap - step * size[1]) for step in (1, 2)),
        *((x - gap - size[0], y), (x + width + gap, y)),
        (middle, y + height + gap),
        (x + width / 2 - size[0] / 2, y + height / 2),
    ]
    boxes = [_inside(corner, size, photo) for corner in corners]
    return min(boxes, key=lambda box: sum(_shared(box, other) for other in taken))


def _inside(corner: tuple[float, float], size: tuple[int, int], photo: tuple[int, int]) -> Box:
    """The box with this upper left corner, moved into the photo; sizes are width, height."""
    left, top = (int(np.clip(c, 0, max(0, whole - part))) for c, part, whole in zip(corner, size, photo, strict=True))
    return left, top, left + size[0], top + size[1]


def _shared(a: Box, b: Box) -> int:
    """Area in square pixels that two boxes share."""
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(0, wide) * max(0, high)
