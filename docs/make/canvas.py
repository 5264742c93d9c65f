"""Drawing on photos: text on plates, lines, arrows, dots, captions, rows of panels, JPEG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.geometry import apply_affine, compose_affine, invert_affine, resize_affine

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = Sequence[float] | NDArray[np.float64]

# Okabe and Ito's colours, as in the product's pictures.
GREEN: Colour = (0, 158, 115)
RED: Colour = (213, 94, 0)
BLUE: Colour = (86, 180, 233)
YELLOW: Colour = (240, 228, 66)
DARK: Colour = (20, 20, 20)
INK: Colour = (25, 28, 32)
PAPER: Colour = (255, 255, 255)
PANEL = 496  # pixels; two panels and a gap are 1000 pixels wide
GAP = 8
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 22  # pixels of a capital letter at scale 1
_SHIFT = 4  # OpenCV takes coordinates in units of 1 / 16 pixel


@dataclass(frozen=True, eq=False)
class View:
    """A part of a photo at the size of a panel.

    image: (H, W, 3) uint8 RGB. matrix: 2 x 3, from pixels of the network's input to pixels of the view.
    """

    image: Image
    matrix: NDArray[np.float64]

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the network's input in pixels of the view."""
        return apply_affine(self.matrix, points)

    def on(self, image: Image) -> View:
        """The same view with another image."""
        return View(image, self.matrix)

    @property
    def dim(self) -> View:
        """The view in dim grey, so that marks on it are seen."""
        grey = 0.55 * cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY) + 30
        return self.on(np.asarray(np.repeat(grey[..., None], 3, axis=2), np.uint8))


def view_of(photo: Image, to_input: NDArray[np.float64], box: Sequence[int] | None = None, width: int = PANEL) -> View:
    """A photo, or the part of it in `box` (left, top, right, bottom in its pixels), enlarged to `width` pixels.

    to_input: 2 x 3, from pixels of the photo to pixels of the network's input.
    """
    left, top, right, bottom = box or (0, 0, photo.shape[1], photo.shape[0])
    part = np.ascontiguousarray(photo[top:bottom, left:right])
    factor = width / (right - left)
    height = round(factor * (bottom - top))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(part, (width, height), interpolation=how), np.uint8)
    moved = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    enlarged = resize_affine(width / (right - left), height / (bottom - top))
    return View(image, compose_affine(compose_affine(enlarged, moved), invert_affine(to_input)))


def write(
    image: Image,
    words: str,
    at: Point,
    letters: int = 14,
    ink: Colour = PAPER,
    plate: Colour | None = DARK,
    anchor: float = 0.0,
) -> None:
    """Write a line on an image, in place.

    at: left end of the line's middle; anchor: 0.5 puts the line's centre there, 1 its right end. letters: height of a
    capital letter, pixels. plate: colour under the text, or None.
    """
    scale, thick = letters / _FONT_HEIGHT, 1 if letters < 13 else 2
    wide = cv2.getTextSize(words, _FONT, scale, thick)[0][0]
    pad = round(0.4 * letters)
    x = round(at[0] - anchor * wide)
    x = min(max(x, pad), max(pad, image.shape[1] - wide - pad))
    y = round(at[1] + letters / 2)
    if plate is not None:
        cv2.rectangle(image, (x - pad, y - letters - pad), (x + wide + pad, y + pad), plate, cv2.FILLED)
    cv2.putText(image, words, (x, y), _FONT, scale, ink, thick, cv2.LINE_AA)


def line(image: Image, a: Point, b: Point, colour: Colour, width: int, dashed: bool = False) -> None:
    """A line with a dark outline from a to b, in place."""
    start, end = np.asarray(a, float), np.asarray(b, float)
    length = float(np.hypot(*(end - start)))
    count = max(1, round(length / (4 * width))) if dashed else 1
    for paint, thick in ((DARK, width + 3), (colour, width)):
        for i in range(count):
            first = start + (end - start) * i / count
            last = start + (end - start) * ((i + 0.55) / count if dashed else 1.0)
            cv2.line(image, _fixed(first), _fixed(last), paint, thick, cv2.LINE_AA, _SHIFT)


def arrow(image: Image, start: Point, vector: Point, colour: Colour, width: int = 2) -> None:
    """An arrow with a dark outline, in place."""
    end = np.asarray(start, float) + np.asarray(vector, float)
    for paint, thick in ((DARK, width + 2), (colour, width)):
        cv2.arrowedLine(image, _fixed(start), _fixed(end), paint, thick, cv2.LINE_AA, _SHIFT, 0.4)


def dot(image: Image, at: Point, radius: float, colour: Colour, hollow: bool = False) -> None:
    """A disc with a dark outline, in place; a hollow one is a ring."""
    grown = round((radius + 2) * 2**_SHIFT)
    if not hollow:
        cv2.circle(image, _fixed(at), grown, DARK, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, _fixed(at), round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        return
    for paint, thick in ((DARK, 5), (colour, 2)):
        cv2.circle(image, _fixed(at), round(radius * 2**_SHIFT), paint, thick, cv2.LINE_AA, _SHIFT)


def captioned(panel: Image, words: str, letters: int = 15) -> Image:
    """The panel with a line of dark text above it, on white."""
    band = np.full((3 * letters - 6, panel.shape[1], 3), PAPER, np.uint8)
    write(band, words, (2, band.shape[0] / 2 - 1), letters, INK, None)
    return np.vstack([band, panel])


def side_by_side(panels: Sequence[Image]) -> Image:
    """Panels of one height in a row, with gaps."""
    gap = np.full((panels[0].shape[0], GAP, 3), PAPER, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.hstack(parts[1:])


def stacked(rows: Sequence[Image]) -> Image:
    """Rows of one width, one below the other, with gaps."""
    gap = np.full((GAP, rows[0].shape[1], 3), PAPER, np.uint8)
    parts = [part for row in rows for part in (gap, row)]
    return np.vstack(parts[1:])


def jpeg(image: Image, quality: int = 85) -> bytes:
    """An RGB image as the bytes of a JPEG file."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1])


def read_photo(path: str) -> Image:
    """A photo as (H, W, 3) uint8 RGB. Raises FileNotFoundError where there is none."""
    found = cv2.imread(path, cv2.IMREAD_COLOR)
    if found is None:
        raise FileNotFoundError(f"{path}: no photo")
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def _fixed(point: Point) -> tuple[int, int]:
    x, y = (round(float(value) * 2**_SHIFT) for value in point)
    return x, y
