"""People who walk: their paths over the ground, and the poses of their bodies on the way.

Lengths are in body heights, as in `figure`, times in seconds. Ground axes: x to the right of the picture's middle,
z away from the camera. A heading is the turn of a pose's view in degrees: 0 comes towards the viewer, 90 walks to the
right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bpnet_cli.data.poses import Pose, bend_arm, bend_leg, rotation

HIP_SWING = 25.0  # degrees to both sides
STRIDE = 4 * 0.49 * np.sin(np.radians(HIP_SWING))  # way of two steps, with legs of this length
SPEEDS = (0.5, 0.95)  # heights per second
TURN = 150.0  # fastest turn, degrees per second
ARRIVED = 0.15  # a way point is reached within this distance
CAMERA_TILT = 9.0  # degrees from above

# Draws the next way point from (random generator, own depth): x, z, seconds to stand there. None: the person is gone.
NextPoint = Callable[[np.random.Generator, float], "tuple[float, float, float] | None"]


@dataclass(frozen=True)
class Gait:
    """How a person moves. swing: factor of the swing of the arms. lean, look, abduction: degrees."""

    swing: float
    lean: float
    look: float
    abduction: float


@dataclass(frozen=True)
class Step:
    """A walking person at one moment. phase: radians, 2 pi for two steps. stride: 0 stands, 1 walks."""

    x: float
    z: float
    heading: float
    phase: float
    stride: float


def sample_gait(rng: np.random.Generator) -> Gait:
    """A random way to walk."""
    return Gait(rng.uniform(0.85, 1.15), rng.uniform(-1, 6), rng.uniform(-15, 15), rng.uniform(4, 12))


def walk(
    rng: np.random.Generator, start: tuple[float, float], next_point: NextPoint, count: int, rate: float
) -> list[Step]:
    """Up to `count` steps in time, 1 / rate seconds apart, from way point to way point; fewer if the person leaves.

    start: x, z. Paths are smooth: speed and heading change slowly, and people slow down in turns.
    """
    (x, z), (speed, phase, wait) = start, (0.0, rng.uniform(0, 2 * np.pi), 0.0)
    target = next_point(rng, z)
    steps: list[Step] = []
    heading = 0.0 if target is None else _direction(target[0] - x, target[1] - z)
    pace = rng.uniform(*SPEEDS)
    while target is not None and len(steps) < count:
        stride = min(1.0, 1.5 * speed / SPEEDS[1])
        steps.append(Step(x, z, heading, phase, stride))
        far = np.hypot(target[0] - x, target[1] - z) > ARRIVED
        turn = (_direction(target[0] - x, target[1] - z) - heading + 180) % 360 - 180 if far else 0.0
        wish = pace * max(0.1, np.cos(np.radians(turn))) if far else 0.0
        heading += float(np.clip(4 * turn, -TURN, TURN)) / rate
        speed += 4 * (wish - speed) / rate
        x += speed * np.sin(np.radians(heading)) / rate
        z -= speed * np.cos(np.radians(heading)) / rate
        phase += 2 * np.pi * speed / (STRIDE * max(stride, 0.3)) / rate
        wait = 0.0 if far else wait + 1 / rate
        if not far and wait > target[2]:
            target, pace, wait = next_point(rng, z), rng.uniform(*SPEEDS), 0.0
    return steps


def walking_pose(step: Step, gait: Gait) -> Pose:
    """The pose of a person at this moment: legs and arms swing in turns; the standing foot stays in its place."""
    swing = gait.swing * step.stride
    torso = rotation(0, gait.lean) @ rotation(1, 6 * swing * np.sin(step.phase))
    legs, arms = {}, {}
    for side, phase in ((1, step.phase), (-1, step.phase + np.pi)):
        # The knee bends while the leg swings forwards. With half of it in the hip, the foot stays on the hip's arc.
        knee = 5 + 50 * step.stride * max(0.0, np.cos(phase))
        legs[side] = bend_leg(side, *np.radians([HIP_SWING * step.stride * _even_swing(phase) + knee / 2, 2.0, knee]))
        back = 2 - 24 * swing * np.sin(phase)
        arms[side] = bend_arm(torso, side, *np.radians([back, gait.abduction, 14 + 0.6 * swing * (back + 22), 12.0]))
    return Pose(
        view=np.diag([1.0, -1.0, 1.0]) @ rotation(0, CAMERA_TILT) @ rotation(1, step.heading),
        torso=torso,
        head=rotation(0, gait.lean) @ rotation(1, gait.look),
        arms=arms,
        legs=legs,
    )


def _even_swing(phase: float) -> float:
    """-1 to 1 with little change of speed: the standing foot goes backwards as fast as the body goes on."""
    return float((np.sin(phase) - np.sin(3 * phase) / 9) * 0.9)


def _direction(x: float, z: float) -> float:
    """The heading of a way on the ground."""
    return float(np.degrees(np.arctan2(x, -z)))
