"""A synthetic hand with the 21 keypoints of OpenPose's hand.

Own axes: x towards the thumb, y from the wrist to the middle finger, z out of the palm. The unit of length is twice
the way from the wrist to the first joint of the middle finger. A drawn hand is a left or a right one: `hand_21` has no
sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bpnet_cli.data.figure import SKINS
from bpnet_cli.data.parts import DETAIL, SIZE, Ball, Builder, Colour, Figure, Vector, shade
from bpnet_cli.data.poses import Range, rotation

FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
HAND_KEYPOINTS = ("wrist", *(f"{finger}{joint}" for finger in FINGERS for joint in range(1, 5)))
# First joint (x, y), the lengths up to the next joints and the tip, the radius at the first joint.
_SHAPES: dict[str, tuple[tuple[float, float], tuple[float, float, float], float]] = {
    "thumb": ((0.15, 0.13), (0.2, 0.16, 0.13), 0.058),
    "forefinger": ((0.14, 0.48), (0.23, 0.14, 0.11), 0.05),
    "middle_finger": ((0.03, 0.5), (0.26, 0.16, 0.12), 0.052),
    "ring_finger": ((-0.08, 0.475), (0.24, 0.15, 0.11), 0.049),
    "pinky_finger": ((-0.18, 0.42), (0.18, 0.11, 0.1), 0.043),
}
_DIRECTIONS = {"thumb": 42.0, "forefinger": 7.0, "middle_finger": 1.0, "ring_finger": -6.0, "pinky_finger": -14.0}
# Ranges in degrees of the bend at the first and at the second joint. The third one bends as the second, but less.
_BENDS: dict[str, tuple[Range, Range]] = {
    "straight": ((-8, 15), (0, 15)),
    "relaxed": ((5, 40), (15, 50)),
    "curled": ((60, 85), (80, 105)),
}
# Probability, and the bends of thumb, forefinger, middle, ring and little finger.
_GESTURES: tuple[tuple[float, tuple[str, str, str, str, str]], ...] = (
    (0.3, ("straight", "straight", "straight", "straight", "straight")),
    (0.25, ("relaxed", "relaxed", "relaxed", "relaxed", "relaxed")),
    (0.1, ("relaxed", "straight", "curled", "curled", "curled")),
    (0.1, ("relaxed", "straight", "straight", "curled", "curled")),
    (0.08, ("relaxed", "straight", "straight", "straight", "curled")),
    (0.06, ("straight", "curled", "curled", "curled", "curled")),
    (0.06, ("straight", "straight", "curled", "curled", "straight")),
    (0.05, ("relaxed", "relaxed", "straight", "straight", "straight")),
)


@dataclass
class _Finger:
    """A finger: its four keypoints in the hand's own axes, and the radii there."""

    name: str
    points: list[Vector]
    radii: list[float]

    @property
    def keypoints(self) -> list[str]:
        return [f"{self.name}{joint}" for joint in range(1, 5)]


def sample_hand(rng: np.random.Generator) -> Figure:
    """A hand of a random gesture, build and direction, with the end of its sleeve."""
    hand = Builder(_sample_view(rng))
    skin = shade(SKINS[rng.choice(len(SKINS))], rng.uniform(0.85, 1))
    girth, length = rng.uniform(0.9, 1.15), rng.uniform(0.92, 1.1)
    _, gesture = _GESTURES[rng.choice(len(_GESTURES), p=[weight for weight, _ in _GESTURES])]
    spread = rng.uniform(0.5, 1.7)
    fingers = [
        _bend_finger(rng, name, _BENDS[kind], spread, girth, length)
        for name, kind in zip(FINGERS, gesture, strict=True)
    ]
    _add_palm(hand, fingers, skin, girth, rng)
    for finger in fingers:
        _add_finger(hand, finger, shade(skin, rng.uniform(0.97, 1.03)))
    return hand.figure(HAND_KEYPOINTS).of_size(SIZE)


def _sample_view(rng: np.random.Generator) -> Vector:
    """The palm or the back is seen, tilted by up to 35 degrees; the fingers point up, or aside by up to 60 degrees."""
    tilted = rotation(0, rng.uniform(-35, 35)) @ rotation(1, rng.uniform(-35, 35) + 180 * (rng.uniform() < 0.5))
    mirrored = np.diag([1.0 if rng.uniform() < 0.5 else -1.0, 1.0, 1.0])
    view: Vector = np.diag([1.0, -1.0, 1.0]) @ rotation(2, rng.normal(0, 22)) @ tilted @ mirrored
    return view


def _bend_finger(
    rng: np.random.Generator, name: str, bends: tuple[Range, Range], spread: float, girth: float, length: float
) -> _Finger:
    (x, y), lengths, radius = _SHAPES[name]
    turned = np.radians(_DIRECTIONS[name] * (spread if name != "thumb" else rng.uniform(0.6, 1.3)) + rng.normal(0, 2))
    along = np.array([np.sin(turned), np.cos(turned), 0.0])
    inside = np.array([0.0, 0.0, 1.0])
    if name == "thumb":  # it bends across the palm
        inside = np.array([-0.8 * along[1], 0.8 * along[0], 0.6])
    first, second = (rng.uniform(*bend) * (0.5 if name == "thumb" else 1.0) for bend in bends)
    points = [np.array([x, y, 0.02 if name == "thumb" else 0.0])]
    for size, angle in zip(lengths, np.radians(np.cumsum([first, second, 0.65 * second])), strict=True):
        points.append(points[-1] + length * size * (np.cos(angle) * along + np.sin(angle) * inside))
    return _Finger(name, points, [girth * radius * factor for factor in (1, 0.88, 0.8, 0.7)])


def _add_palm(hand: Builder, fingers: list[_Finger], skin: Colour, girth: float, rng: np.random.Generator) -> None:
    wrist = np.zeros(3)
    hand.place("wrist", wrist)
    knuckles = [finger.keypoints[0] for finger in fingers]
    down = np.array([0.0, -1.0, 0.0])
    sleeve = shade((200.0, 200.0, 200.0), rng.uniform(0.2, 1.2))
    arm = 0.095 * girth
    hand.add([(0.3 * down, 1.15 * arm), (0.5 * down, 1.2 * arm)], sleeve, depth=-0.3)
    hand.add([(wrist, arm), (0.32 * down, 1.05 * arm)], skin, ["wrist"], -0.2)
    balls: list[Ball] = [(finger.points[0], 1.1 * finger.radii[0]) for finger in fingers]
    depth = hand.add([(wrist, arm), *balls], skin, ["wrist", *knuckles], 0.0)
    if hand.depth_of(np.array([0.0, 0.0, 1.0])) > 0:  # the lines of the palm
        heart = [np.array([x, y, 0.05]) for x, y in ((-0.19, 0.33), (0.0, 0.37), (0.1, 0.42))]
        life = [np.array([x, y, 0.05]) for x, y in ((0.14, 0.36), (0.05, 0.24), (0.04, 0.1))]
        for line in (heart, life):
            for a, b in pairwise(line):
                hand.add([(a, 0.007), (b, 0.007)], shade(skin, 0.75), ["wrist", *knuckles], depth + DETAIL)


def _add_finger(hand: Builder, finger: _Finger, skin: Colour) -> None:
    names = finger.keypoints
    for name, point in zip(names, finger.points, strict=True):
        hand.place(name, point)
    for i in range(3):
        ends: list[Ball] = [(finger.points[j], finger.radii[j]) for j in (i, i + 1)]
        # A stretched finger has the depth of the palm. It gets a larger one, to be painted later.
        depth = hand.depth_of((finger.points[i] + finger.points[i + 1]) / 2) + 0.01 * (i + 1)
        hand.add(ends, skin, names[i : i + 2], depth)
    tip, before, radius = finger.points[3], finger.points[2], finger.radii[3]
    along = (tip - before) / np.linalg.norm(tip - before)
    across = np.cross([1.0, 0.0, 0.0] if finger.name != "thumb" else [0.5, -0.5, 0.7], along)
    out = -across / np.linalg.norm(across) if finger.name != "thumb" else across / np.linalg.norm(across)
    if hand.depth_of(out) > 0.2:
        nail: list[Ball] = [(tip + 0.6 * radius * out - step * radius * along, 0.5 * radius) for step in (-0.2, 0.5)]
        hand.add(nail, shade(skin, 1.18), names[2:], depth + DETAIL)
