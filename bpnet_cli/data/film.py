"""A synthetic film: people who walk, cross, pass behind walls and each other, leave and come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.figure import Looks, build_figure, sample_looks
from bpnet_cli.data.scene import NOBODY, PART_IDS, Placed, paint_backdrop, paint_figure, random_colours, visibilities
from bpnet_cli.data.walk import Gait, Step, sample_gait, walk, walking_pose

RATE = 25  # frames per second
# The least number of visible keypoints of a person in the truth; people with fewer count as hidden.
LEAST_VISIBLE = 4
_TRIES = 50  # for a place that no wall hides; there is none in a very narrow picture
SOLE = 0.048  # from the ankle down to the ground


class Seen(NamedTuple):
    """A person in a frame. id: from 1. keypoints: (17, 3) float64 x, y in pixels, visibility 0..2, in COCO's order."""

    id: int
    keypoints: NDArray[np.float64]


@dataclass(frozen=True)
class _Camera:
    """A picture of the ground: body heights to pixels."""

    height: int
    width: int

    @property
    def depths(self) -> tuple[float, float]:
        """Least and largest distance of people."""
        return 3.4, 5.6

    def scale(self, z: float) -> float:
        """Pixels per body height at this distance."""
        return 2 * self.height / z

    def ground(self, x: float, z: float) -> tuple[float, float]:
        """Pixel of a point on the ground."""
        return self.width / 2 + self.scale(z) * x, 0.1 * self.height + 1.3 * self.scale(z)

    def half_width(self, z: float) -> float:
        """Distance from the middle of the picture to its side."""
        return self.width / 2 / self.scale(z)


@dataclass(frozen=True)
class _Walker:
    looks: Looks
    gait: Gait
    height: float
    first: int
    steps: Sequence[Step]


@dataclass(frozen=True)
class _Wall:
    """Something that hides people who are farther away. x, z: its middle on the ground. width: in body heights."""

    x: float
    z: float
    width: float
    colour: tuple[float, float, float]

    def hides(self, x: float, z: float) -> bool:
        """Whether a person at this place is behind the wall, in whole or in part."""
        return z > self.z - 0.2 and abs(x * self.z / z - self.x) < self.width / 2 + 0.3


def paint_film(
    rng: np.random.Generator, people: int, frames: int, height: int, width: int
) -> Iterator[tuple[NDArray[np.uint8], list[Seen]]]:
    """(height, width, 3) uint8 RGB pictures, 1 / RATE seconds apart, and the people who are seen in them.

    A person is listed where at least LEAST_VISIBLE keypoints are visible. A keypoint that something hides has its
    place and visibility 1; outside of the picture or on the far side of the head it has visibility 0.
    """
    camera = _Camera(height, width)
    backdrop = paint_backdrop(rng, height, width)
    light = np.array([rng.uniform(-0.25, 0.25), -0.2])
    wall = _sample_wall(rng, camera)
    near, far = camera.depths
    # People have depths of their own, so that nobody walks through another one.
    depths = near + (far - near) * (rng.permutation(people) + rng.uniform(0.2, 0.8, people)) / people
    walkers = [_sample_walker(rng, camera, wall, depth, i > 0, frames) for i, depth in enumerate(depths.tolist())]
    for frame in range(frames):
        image, owners = backdrop.copy(), np.full((height, width), NOBODY, np.int32)
        there = {i: w.steps[frame - w.first] for i, w in enumerate(walkers) if 0 <= frame - w.first < len(w.steps)}
        placed = {i: _place(camera, walkers[i], step) for i, step in there.items()}
        for _, i in sorted([(wall.z, NOBODY), *((step.z, i) for i, step in there.items())], reverse=True):
            if i == NOBODY:
                _paint_wall(image, owners, camera, wall)
            else:
                paint_figure(image, owners, placed[i], i * PART_IDS, light)
        yield image, [seen for i in placed if (seen := _look(i, placed[i], owners)) is not None]


def _look(index: int, placed: Placed, owners: NDArray[np.int32]) -> Seen | None:
    visible = visibilities(index, placed, owners)
    if (visible == 2).sum() < LEAST_VISIBLE:
        return None
    return Seen(index + 1, np.column_stack([placed.points, visible]))


def _sample_wall(rng: np.random.Generator, camera: _Camera) -> _Wall:
    z = float(rng.uniform(*camera.depths))
    x = float(rng.uniform(-0.6, 0.6) * camera.half_width(z))
    red, green, blue = random_colours(rng, (3,)).tolist()
    # The farthest people, who walk at the slowest pace, are hidden for about two seconds.
    return _Wall(x, z, rng.uniform(0.7, 1.1) * z / camera.depths[1], (red, green, blue))


def _sample_walker(
    rng: np.random.Generator, camera: _Camera, wall: _Wall, own: float, may_be_late: bool, frames: int
) -> _Walker:
    """A person who walks at about the depth `own`. One of three people who may be late comes in later."""
    late = may_be_late and rng.uniform() < 1 / 3
    left_after = rng.integers(3, 12)  # way points

    def next_point(rng: np.random.Generator, z: float) -> tuple[float, float, float] | None:
        nonlocal left_after
        left_after -= 1
        side = 1 if rng.uniform() < 0.5 else -1
        if left_after < 0:
            return None
        if left_after == 0:
            return side * (camera.half_width(own) + 1.0), own, 0.0
        if rng.uniform() < 0.2:
            return side * (camera.half_width(own) + rng.uniform(0.2, 0.4)), own, 0.0
        return _free_place(rng, camera, wall, own)

    if late:
        x, first = camera.half_width(own) + 0.5, int(rng.integers(0, max(frames // 2, 1)))
        start = (float(rng.choice([-x, x])), own)
    else:
        first, start = 0, _free_place(rng, camera, wall, own)[:2]
    steps = walk(rng, start, next_point, frames - first, RATE)
    return _Walker(sample_looks(rng), sample_gait(rng), rng.uniform(0.88, 1.1), first, steps)


def _free_place(rng: np.random.Generator, camera: _Camera, wall: _Wall, own: float) -> tuple[float, float, float]:
    """A place in the picture near the depth `own`, if possible one that no wall hides, and seconds to stand there."""
    wait = rng.uniform(0.3, 2.0) if rng.uniform() < 0.3 else 0.0
    for _ in range(_TRIES):
        z = float(np.clip(own + rng.normal(0, 0.05), *camera.depths))
        x = rng.uniform(-0.9, 0.9) * camera.half_width(z)
        if not wall.hides(x, z):
            break
    return float(x), z, wait


def _place(camera: _Camera, walker: _Walker, step: Step) -> Placed:
    """The person with the lower foot on the ground."""
    pose = walking_pose(step, walker.gait)
    figure = build_figure(pose, walker.looks)
    scale = walker.height * camera.scale(step.z)
    x, y = camera.ground(step.x, step.z)
    ankles = figure.keypoints[-2:] @ pose.view
    hips = SOLE - ankles[:, 1].min()
    _, up, _ = pose.view.T
    return Placed(figure, scale, x + scale * hips * up[0], y + scale * hips * up[1])


def _paint_wall(image: NDArray[np.uint8], owners: NDArray[np.int32], camera: _Camera, wall: _Wall) -> None:
    x, y = camera.ground(wall.x, wall.z)
    scale = camera.scale(wall.z)
    left, top, right, bottom = (
        round(v) for v in (x - scale * wall.width / 2, y - 1.2 * scale, x + scale * wall.width / 2, y)
    )
    cv2.rectangle(image, (left, top), (right, bottom), wall.colour, cv2.FILLED)
    cv2.rectangle(image, (left, top), (right, bottom), [0.7 * c for c in wall.colour], max(1, round(0.02 * scale)))
    cv2.rectangle(owners, (left, top), (right, bottom), NOBODY, cv2.FILLED)
