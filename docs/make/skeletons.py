"""The shipped skeletons, drawn with the names of their keypoints."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from canvas import INK, PANEL, Image, captioned, side_by_side, stacked, write
from numpy.typing import NDArray

from bpnet_cli import Person, Skeleton
from bpnet_cli.build import named_skeleton
from bpnet_cli.data.animal import sample_animal
from bpnet_cli.data.figure import sample_figure
from bpnet_cli.data.hand import sample_hand
from bpnet_cli.data.parts import Figure
from bpnet_cli.data.scene import Placed, paint_figure
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.sides import match_names

_MARGIN = 66  # pixels between a figure's keypoints and the edge of its panel
_LETTERS = 11
_STEPS = ((1, 0), (-1, 0), (0.7, -0.7), (-0.7, -0.7), (0.7, 0.7), (-0.7, 0.7), (0, -1), (0, 1))
_FAR = (11, 24, 40, 58, 78)  # distances of a name from its keypoint that are tried, pixels
Points = NDArray[np.float64]


def skeletons_picture() -> Image:
    """Four skeletons in two rows."""
    panels = [
        _drawn("body_18", sample_figure, 10),
        _drawn("hand_21", sample_hand, 3),
        _drawn("animal_17", sample_animal, 24),
        _face("face_68"),
    ]
    return stacked([side_by_side(panels[:2]), side_by_side(panels[2:])])


def _drawn(name: str, sample: Callable[[np.random.Generator], Figure], seed: int) -> Image:
    """A panel with a drawn figure and its skeleton."""
    skeleton = named_skeleton(name)
    figure = sample(np.random.default_rng(seed))
    low, high = figure.keypoints[:, :2].min(axis=0), figure.keypoints[:, :2].max(axis=0)
    scale = float((PANEL - 2 * _MARGIN) / (high - low).max())
    x, y = ((PANEL - scale * (low + high)) / 2).tolist()
    placed = Placed(figure, scale, x, y)
    canvas = np.full((PANEL, PANEL, 3), 235, np.uint8)
    paint_figure(canvas, np.zeros((PANEL, PANEL), np.int32), placed, 0, np.array([0.0, -0.2]))
    canvas = np.asarray(np.round(0.45 * canvas + 0.55 * 255), np.uint8)
    return _with_names(canvas, _points_of(skeleton, figure, placed.points), skeleton)


def _points_of(skeleton: Skeleton, figure: Figure, points: Points) -> Points:
    """(K, 2) the skeleton's keypoints in a figure; midpoints are computed."""
    middles = {name: (a, b) for name, a, b in skeleton.midpoints}
    theirs = match_names([name for name in skeleton.keypoints if name not in middles], figure.names)
    found = {name: points[figure.names.index(own)] for name, own in theirs.items()}
    found.update({name: (found[a] + found[b]) / 2 for name, (a, b) in middles.items()})
    return np.array([found[name] for name in skeleton.keypoints])


def _face(name: str) -> Image:
    """A panel with a face, whose keypoints have numbers as names."""
    canvas = np.full((PANEL, PANEL, 3), 249, np.uint8)
    return _with_names(canvas, PANEL / 2 + 205 * (face_points() - (0, 0.2)), named_skeleton(name), 9)


def face_points() -> Points:
    """(68, 2) the keypoints of a face from the front, in the order of iBUG 300-W; x and y from about -1 to 1."""

    def arc(middle: tuple[float, float], wide: float, high: float, degrees: NDArray[np.int_]) -> Points:
        angles = np.radians(degrees)
        return np.stack([middle[0] + wide * np.cos(angles), middle[1] - high * np.sin(angles)], axis=-1)

    jaw = np.radians(np.linspace(0, 180, 17))
    brow = np.linspace(0, 1, 5)
    parts = [
        np.stack([-0.95 * np.cos(jaw), -0.15 + 1.2 * np.sin(jaw) ** 0.85], axis=-1),
        np.stack([-0.8 + 0.6 * brow, -0.45 - 0.13 * np.sin(np.pi * (0.15 + 0.65 * brow))], axis=-1),
        np.stack([0.2 + 0.6 * brow, -0.45 - 0.13 * np.sin(np.pi * (0.2 + 0.65 * brow))], axis=-1),
        np.stack([np.zeros(4), np.linspace(-0.25, 0.17, 4)], axis=-1),
        np.stack([np.linspace(-0.18, 0.18, 5), [0.26, 0.29, 0.31, 0.29, 0.26]], axis=-1),
        arc((-0.44, -0.22), 0.17, 0.08, np.arange(180, -180, -60)),
        arc((0.44, -0.22), 0.17, 0.08, np.arange(180, -180, -60)),
        arc((0.0, 0.6), 0.44, 0.22, np.arange(180, -180, -30)),
        arc((0.0, 0.6), 0.3, 0.08, np.arange(180, -180, -45)),
    ]
    return np.concatenate(parts)


def _with_names(canvas: Image, points: Points, skeleton: Skeleton, letters: int = _LETTERS) -> Image:
    """The panel with a skeleton on it and a name at each keypoint, where it covers least."""
    person = Person(np.column_stack([points, np.ones(len(points))]).astype(np.float32), 1.0)
    drawn = draw_persons(canvas, [person], skeleton)
    ends = points[skeleton.limb_indices]
    on_limbs = (ends[:, :1] + np.linspace(0, 1, 9)[:, None] * (ends[:, 1:] - ends[:, :1])).reshape(-1, 2)
    crowded = np.concatenate([points, points, on_limbs])  # a keypoint counts more than a limb
    taken: list[Points] = []
    for k in sorted(range(len(points)), key=lambda k: float(points[k, 0])):
        words = skeleton.keypoints[k].removeprefix("face_")
        size = np.array([cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, letters / 22, 1)[0][0] + 4, letters + 6])
        box = min(_boxes(points[k], size), key=lambda box: _cost(box, points[k], crowded, taken))
        taken.append(box)
        middle = (box[:2] + box[2:]) / 2
        if np.hypot(*(np.clip(points[k], box[:2], box[2:]) - points[k])) > 16:
            near = np.clip(points[k], box[:2], box[2:])
            cv2.line(drawn, _rounded(points[k]), _rounded(near), INK, 1, cv2.LINE_AA)
        write(drawn, words, middle, letters, INK, None, 0.5)
    return captioned(drawn, f"{skeleton.name}: {len(skeleton.keypoints)} keypoints, {len(skeleton.limbs)} limbs")


def _boxes(point: Points, size: Points) -> list[Points]:
    """Boxes (left, top, right, bottom) of this size around a point."""
    boxes = []
    for far in _FAR:
        for step in _STEPS:
            middle = point + far * np.array(step) + np.sign(step) * size / 2 * (np.abs(step) > 0.1)
            boxes.append(np.concatenate([middle - size / 2, middle + size / 2]))
    return boxes


def _cost(box: Points, point: Points, crowded: Points, taken: list[Points]) -> float:
    """How bad a place is: it leaves the panel, covers other names, points or limbs, or is far away."""
    outside = float(np.maximum(-box[:2] + 2, 0).sum() + np.maximum(box[2:] - PANEL + 2, 0).sum())
    shared = sum(float(np.clip(np.minimum(box[2:], b[2:]) - np.maximum(box[:2], b[:2]), 0, None).prod()) for b in taken)
    near = np.all((crowded > box[:2] - 4) & (crowded < box[2:] + 4), axis=1).sum()
    far = float(np.hypot(*((box[:2] + box[2:]) / 2 - point)))
    return 100 * outside + 5 * shared + 30 * float(near) + far


def _rounded(point: Points) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
