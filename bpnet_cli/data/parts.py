"""What drawn figures are made of: convex hulls of balls, seen without perspective.

The hull of several balls then looks like the hull of their circles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Colour = tuple[float, float, float]
Ball = tuple[Vector, float]  # centre, radius

# The root of the area of a person's bounds in the median, in body heights. Other figures get the same size, so that as
# many of them find room in a photo.
SIZE = 0.67
DETAIL = 0.001  # how much nearer to the viewer a detail is than the part below it


@dataclass(frozen=True)
class Part:
    """A convex hull of balls, of one colour (RGB 0..255).

    balls: (N, 4) rows x, y, z, radius. shows: keypoints that are visible on it. depth: parts are painted in the order
    of their depth, the smallest (farthest) first.
    """

    balls: Vector
    colour: Colour
    shows: frozenset[str]
    depth: float


@dataclass(frozen=True)
class Figure:
    """A posed person, hand or animal in camera axes (x right, y down, z towards the viewer).

    names: K names of keypoints. keypoints: (K, 3) their positions. parts: the farthest first. hidden: keypoints on the
    far side of a head, which annotators don't label.
    """

    names: tuple[str, ...]
    keypoints: Vector
    parts: tuple[Part, ...]
    hidden: frozenset[str] = frozenset()

    @property
    def bounds(self) -> Vector:
        """(4,) x0, y0, x1, y1 of all parts."""
        balls = np.concatenate([part.balls for part in self.parts])
        low, high = balls[:, :2] - balls[:, 3:], balls[:, :2] + balls[:, 3:]
        return np.concatenate([low.min(axis=0), high.max(axis=0)])

    def of_size(self, size: float) -> Figure:
        """The figure with another unit of length, so that the root of the area of its bounds is `size`."""
        factor = size / np.sqrt((self.bounds[2:] - self.bounds[:2]).prod())
        parts = [replace(part, balls=factor * part.balls, depth=factor * part.depth) for part in self.parts]
        return replace(self, keypoints=factor * self.keypoints, parts=tuple(parts))


@dataclass
class Builder:
    """A figure while it is built. Methods take points in the figure's own axes and store them in camera axes.

    view: (3, 3), own axes to camera axes.
    """

    view: Vector
    keypoints: dict[str, Vector] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    def add(
        self, balls: Sequence[Ball], colour: Colour, shows: Sequence[str] = (), depth: float | None = None
    ) -> float:
        """Add a part. depth: by default the mean of the centres. Returns the depth."""
        centres = np.array([centre for centre, _ in balls]) @ self.view.T
        depth = float(centres[:, 2].mean()) if depth is None else depth
        stacked = np.column_stack([centres, [radius for _, radius in balls]])
        self.parts.append(Part(stacked, colour, frozenset(shows), depth))
        return depth

    def place(self, name: str, point: Vector) -> None:
        """Set a keypoint; point: in the figure's own axes."""
        self.keypoints[name] = self.view @ point

    def depth_of(self, point: Vector) -> float:
        """The z (towards the viewer) of a point or a direction in the figure's own axes."""
        return float(self.view[2] @ point)

    def figure(self, names: tuple[str, ...], hidden: frozenset[str] = frozenset()) -> Figure:
        """The finished figure, with its keypoints in the order of `names`."""
        points = np.array([self.keypoints[name] for name in names])
        return Figure(names, points, tuple(sorted(self.parts, key=lambda part: part.depth)), hidden)


def sided(side: int, name: str) -> str:
    """The name of a keypoint on a side, 1: left, -1: right."""
    return f"{'left' if side > 0 else 'right'}_{name}"


def shade(colour: Colour, factor: float) -> Colour:
    """The colour times a factor: lighter above 1, darker below."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue
