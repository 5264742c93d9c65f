"""Poses of synthetic people who stand, walk, run, sit, squat, kick or bend, as directions of their limbs.

Body axes are (left, up, forward), right-handed; camera axes are (x right, y down, z towards the viewer). All random
choices are symmetric: a mirrored pose with left and right exchanged is as likely as the pose itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bpnet_cli.data.parts import Vector

Range = tuple[float, float]

# Ranges in degrees for an arm: flexion (forwards), abduction (sideways), elbow, and inward turn of the forearm.
ARMS: dict[str, tuple[Range, Range, Range, Range]] = {
    "hang": ((-12, 15), (4, 20), (5, 35), (0, 25)),
    "bent": ((-15, 30), (5, 25), (50, 110), (0, 50)),
    "hip": ((-25, -5), (35, 50), (85, 105), (70, 95)),
    "forward": ((50, 100), (0, 20), (0, 60), (0, 40)),
    "out": ((-10, 20), (70, 105), (0, 60), (-40, 20)),
    "up": ((150, 180), (5, 30), (0, 50), (0, 50)),
    "wave": ((-10, 15), (95, 140), (10, 90), (-110, -80)),
    "swing_forward": ((20, 50), (3, 12), (30, 90), (5, 30)),
    "swing_back": ((-50, -15), (3, 15), (10, 60), (5, 30)),
    "lap": ((20, 45), (5, 18), (35, 70), (10, 40)),
}
# Ranges in degrees for the leading and the trailing leg: flexion (forwards), abduction (sideways), knee.
LEGS: dict[str, tuple[tuple[Range, Range, Range], tuple[Range, Range, Range]]] = {
    "stand": (((-5, 8), (1, 10), (0, 8)), ((-5, 8), (1, 10), (0, 8))),
    "astride": (((-5, 8), (12, 28), (0, 10)), ((-5, 8), (12, 28), (0, 10))),
    "walk": (((12, 32), (0, 6), (0, 15)), ((-25, -8), (0, 6), (5, 30))),
    "run": (((40, 75), (0, 8), (50, 100)), ((-30, -5), (0, 8), (20, 80))),
    "sit": (((75, 95), (3, 20), (75, 100)), ((75, 95), (3, 20), (65, 100))),
    "squat": (((70, 105), (8, 30), (90, 125)), ((70, 105), (8, 30), (90, 125))),
    "kick": (((40, 85), (0, 20), (0, 40)), ((-8, 8), (0, 8), (0, 15))),
}
_ANY_ARM = ("hang", "hang", "bent", "hip", "out", "wave", "forward")
# Probability, legs, range of the forward lean in degrees, possible arms of the leading side and of the trailing side.
ACTIONS: tuple[tuple[float, str, Range, tuple[str, ...], tuple[str, ...]], ...] = (
    (0.24, "stand", (-4, 8), _ANY_ARM, _ANY_ARM),
    (0.08, "astride", (-4, 12), _ANY_ARM, _ANY_ARM),
    (0.18, "walk", (0, 10), ("swing_back",), ("swing_forward",)),
    (0.08, "run", (8, 22), ("swing_back",), ("swing_forward",)),
    (0.14, "stand", (-6, 8), ("up", "wave", "out"), ("up", "wave", "hang")),
    (0.14, "sit", (-8, 15), ("lap", "bent", "hang"), ("lap", "bent", "up")),
    (0.05, "squat", (15, 40), ("forward", "lap"), ("forward", "lap")),
    (0.06, "stand", (35, 85), ("forward", "lap"), ("forward", "hang")),
    (0.03, "kick", (-15, 5), ("out", "bent"), ("out", "swing_forward")),
)
# Probability and range of the turn in degrees. 0 faces the viewer, 90 faces the photo's right edge, 180 shows the back.
FACINGS: tuple[tuple[float, Range], ...] = (
    (0.5, (-45, 45)),
    (0.2, (135, 225)),
    (0.15, (45, 135)),
    (0.15, (225, 315)),
)


@dataclass(frozen=True)
class Pose:
    """The directions of the parts of a body. All arrays are float64.

    view: (3, 3), body axes to camera axes. torso, head: (3, 3); the columns are the part's left, up and forward
    directions in body axes. arms, legs: by side (1 left, -1 right), unit vectors (3,) in body axes. An arm has upper
    arm and forearm; a leg has thigh, shin and foot.
    """

    view: Vector
    torso: Vector
    head: Vector
    arms: dict[int, tuple[Vector, Vector]]
    legs: dict[int, tuple[Vector, Vector, Vector]]


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose with plausible joint angles. The viewer is on any side of the person, and slightly above."""
    weights = [action[0] for action in ACTIONS]
    _, legs, lean_range, *arms = ACTIONS[rng.choice(len(ACTIONS), p=weights)]
    lean, leading = rng.uniform(*lean_range), int(rng.choice([1, -1]))
    torso = rotation(0, lean) @ rotation(2, rng.uniform(-6, 6)) @ rotation(1, rng.uniform(-15, 15))
    head = rotation(0, 0.6 * lean + rng.uniform(-12, 18)) @ rotation(1, rng.uniform(-35, 35))
    arm_names = {side: str(rng.choice(arms[side != leading])) for side in (1, -1)}
    return Pose(
        view=_sample_view(rng),
        torso=torso,
        head=head,
        arms={side: bend_arm(torso, side, *_sample(rng, ARMS[name])) for side, name in arm_names.items()},
        legs={side: bend_leg(side, *_sample(rng, LEGS[legs][side != leading])) for side in (1, -1)},
    )


def rotation(axis: int, degrees: float) -> Vector:
    """(3, 3) float64 rotation about a body axis.

    axis: 0 turns about left (up moves to forward), 1 about up (forward to left), 2 about forward (left to up).
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[j, i], matrix[i, j] = cosine, cosine, sine, -sine
    return matrix


def _sample(rng: np.random.Generator, ranges: tuple[Range, ...]) -> Vector:
    low, high = np.radians(ranges).T
    angles: Vector = rng.uniform(low, high)
    return angles


def _sample_view(rng: np.random.Generator) -> Vector:
    _, facing = FACINGS[rng.choice(len(FACINGS), p=[weight for weight, _ in FACINGS])]
    turned = rotation(2, rng.normal(0, 4)) @ rotation(0, rng.uniform(0, 18)) @ rotation(1, rng.uniform(*facing))
    view: Vector = np.diag([1.0, -1.0, 1.0]) @ turned
    return view


def bend_arm(
    torso: Vector, side: int, flexion: float, abduction: float, elbow: float, inward: float
) -> tuple[Vector, Vector]:
    """Directions of upper arm and forearm in body axes. side: 1 left, -1 right. Angles: radians, as in `ARMS`."""
    left, up, forward = torso.T
    swing = np.sin(flexion) * forward - np.cos(flexion) * up
    upper = np.cos(abduction) * swing + np.sin(abduction) * side * left
    ahead = np.cos(flexion) * forward + np.sin(flexion) * up
    inside = np.sin(abduction) * swing - np.cos(abduction) * side * left
    bend = np.cos(inward) * ahead + np.sin(inward) * inside
    return upper, np.cos(elbow) * upper + np.sin(elbow) * bend


def bend_leg(side: int, flexion: float, abduction: float, knee: float) -> tuple[Vector, Vector, Vector]:
    """Directions of thigh, shin and foot in body axes. side: 1 left, -1 right. Angles: radians, as in `LEGS`."""
    left, up, forward = np.eye(3)
    swing = np.sin(flexion) * forward - np.cos(flexion) * up
    thigh = np.cos(abduction) * swing + np.sin(abduction) * side * left
    ahead = np.cos(flexion) * forward + np.sin(flexion) * up
    return thigh, np.cos(knee) * thigh - np.sin(knee) * ahead, np.sin(knee) * thigh + np.cos(knee) * ahead
