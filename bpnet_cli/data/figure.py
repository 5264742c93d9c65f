"""The body of a synthetic person: convex hulls of balls, placed along a pose, with exact keypoints.

The unit of length is the standing height. As in a photo, only the body itself tells left from right (face, neckline,
feet, which limb is nearer). So a flipped photo with the sides renamed shows another valid person, which training relies
on.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

from bpnet_cli.data.parts import DETAIL, Builder, Colour, Figure, Vector, shade, sided
from bpnet_cli.data.poses import Pose, sample_pose
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS

HEAD_KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
SKINS = ((255, 219, 188), (241, 194, 155), (224, 172, 120), (198, 134, 86), (141, 85, 50), (94, 58, 38))
HAIRS = ((28, 22, 20), (62, 40, 26), (110, 72, 40), (196, 156, 88), (150, 60, 30), (170, 168, 165))
SHOES = ((30, 30, 34), (90, 60, 40), (225, 225, 225), (150, 40, 40))
NECK = 0.29  # from the hips up to the line between the shoulders


@dataclass
class _Body(Builder):
    """A person while it is built. The own axes are those of the pose, with the pelvis at the origin.

    girth: factor of the thickness of torso and limbs. outfit: RGB 0..255 of skin, hair and clothes by name.
    """

    pose: Pose = field(kw_only=True)
    girth: float = field(kw_only=True)
    outfit: dict[str, Colour] = field(kw_only=True)


@dataclass(frozen=True)
class Looks:
    """What stays the same of a person in all poses.

    girth: factor of the thickness of torso and limbs. outfit: RGB 0..255 of skin, hair and clothes by name. shoulders,
    hips, head: half of their widths.
    """

    girth: float
    outfit: dict[str, Colour]
    shoulders: float
    hips: float
    head: float
    long_hair: bool


def sample_looks(rng: np.random.Generator) -> Looks:
    """A random build and outfit."""
    return Looks(
        girth=rng.uniform(0.9, 1.25),
        outfit=_sample_outfit(rng),
        shoulders=rng.uniform(0.1, 0.122),
        hips=rng.uniform(0.066, 0.08),
        head=0.051 * rng.uniform(1.0, 1.3),
        long_hair=rng.uniform() < 0.35,
    )


def sample_figure(rng: np.random.Generator) -> Figure:
    """A person in a random pose, build, outfit and direction."""
    pose = sample_pose(rng)
    return build_figure(pose, sample_looks(rng))


def build_figure(pose: Pose, looks: Looks) -> Figure:
    """A person of these looks in this pose."""
    body = _Body(pose.view, pose=pose, girth=looks.girth, outfit=looks.outfit)
    shoulders, hips = _add_torso(body, looks.shoulders, looks.hips)
    for side in (1, -1):
        _add_leg(body, side, hips[side])
        _add_arm(body, side, shoulders[side])
    hidden = _add_head(body, looks.head, looks.long_hair)
    return body.figure(COCO_KEYPOINTS, hidden)


def _sample_outfit(rng: np.random.Generator) -> dict[str, Colour]:
    skin, hair, shoe = (
        shade(colours[rng.choice(len(colours))], rng.uniform(0.85, 1)) for colours in (SKINS, HAIRS, SHOES)
    )
    shirt, trousers = _sample_cloth(rng, 0.75), _sample_cloth(rng, 0.5)
    sleeves, legs = rng.uniform(size=2)
    seen = {"skin": skin, "hair": hair, "shoe": shoe, "shirt": shirt, "trousers": trousers}
    seen["sleeve"] = skin if sleeves < 0.15 else shirt
    seen["cuff"] = skin if sleeves < 0.6 else shirt
    seen["shin"] = skin if legs < 0.35 else trousers
    return seen


def _sample_cloth(rng: np.random.Generator, brightness: float) -> Colour:
    value = min(max(brightness + rng.uniform(-0.4, 0.25), 0.15), 0.95)
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.1, 0.9), value)
    return 255 * red, 255 * green, 255 * blue


def _add_torso(body: _Body, half_width: float, half_hips: float) -> tuple[dict[int, Vector], dict[int, Vector]]:
    """Add pelvis and shirt, with a neckline and buttons in front. Returns shoulders and hips by side (1: left)."""
    left, up, forward = body.pose.torso.T
    shoulders = {side: NECK * up + side * half_width * left for side in (1, -1)}
    hips = {side: np.array([side * half_hips, 0.0, 0.0]) for side in (1, -1)}
    shows = []
    for name, points in (("shoulder", shoulders), ("hip", hips)):
        for side, point in points.items():
            body.place(sided(side, name), point)
            if body.depth_of(point - points[-side]) > -0.12:  # seen from the side, the torso hides the far keypoint
                shows.append(sided(side, name))
    waist = [(0.07 * up + side * 0.8 * half_hips * left, 0.05 * body.girth) for side in (1, -1)]
    body.add([*((hip, 0.054 * body.girth) for hip in hips.values()), *waist], body.outfit["trousers"], shows)
    chest = [(0.7 * NECK * up, 0.08 * body.girth), *((point - 0.012 * up, 0.036) for point in shoulders.values())]
    depth = body.add([*chest, *waist], body.outfit["shirt"], shows) + DETAIL
    if body.depth_of(forward) > 0.25:
        front = 0.08 * body.girth * forward
        neckline = [(NECK * up + 0.5 * front, 0.022), (0.8 * NECK * up + front, 0.005)]
        buttons = [(0.75 * NECK * up + front, 0.006), (0.2 * NECK * up + 0.7 * front, 0.006)]
        body.add(neckline, body.outfit["skin"], shows, depth)
        body.add(buttons, shade(body.outfit["shirt"], 1.6 if sum(body.outfit["shirt"]) < 380 else 0.55), shows, depth)
    return shoulders, hips


def _add_leg(body: _Body, side: int, hip: Vector) -> None:
    thigh, shin, foot = body.pose.legs[side]
    knee = hip + 0.245 * thigh
    ankle = knee + 0.245 * shin
    names = [sided(side, name) for name in ("hip", "knee", "ankle")]
    body.place(names[1], knee)
    body.place(names[2], ankle)
    g = body.girth
    body.add([(hip, 0.052 * g), (knee, 0.036 * g)], body.outfit["trousers"], names[:2])
    body.add([(knee, 0.034 * g), (knee + 0.08 * shin, 0.036 * g), (ankle, 0.022 * g)], body.outfit["shin"], names[1:])
    sole = ankle + 0.028 * shin
    body.add([(sole - 0.015 * foot, 0.02), (sole + 0.085 * foot, 0.014)], body.outfit["shoe"], names[2:])


def _add_arm(body: _Body, side: int, shoulder: Vector) -> None:
    upper, fore = body.pose.arms[side]
    elbow = shoulder + 0.17 * upper
    wrist = elbow + 0.145 * fore
    names = [sided(side, name) for name in ("shoulder", "elbow", "wrist")]
    body.place(names[1], elbow)
    body.place(names[2], wrist)
    g = body.girth
    # An arm that hangs beside the torso has the same depth as the torso. It gets a larger one, to be painted later.
    lifted = 0.02 + body.depth_of((shoulder + elbow) / 2)
    body.add([(shoulder, 0.032 * g), (elbow, 0.026 * g)], body.outfit["sleeve"], names[:2], lifted)
    lifted = 0.02 + body.depth_of((elbow + wrist) / 2)
    body.add([(elbow, 0.025 * g), (wrist, 0.018 * g)], body.outfit["cuff"], names[1:], lifted)
    hand = [(wrist + 0.01 * fore, 0.016 * g), (wrist + 0.045 * fore, 0.019 * g)]
    body.add(hand, body.outfit["skin"], names[2:], lifted + DETAIL)


def _add_head(body: _Body, r: float, long_hair: bool) -> frozenset[str]:
    """Add neck, hair and face; r: half the width of the head. Returns the head keypoints that are on the far side."""
    left, up, forward = body.pose.head.T
    base = NECK * body.pose.torso[:, 1]
    c = base + 0.03 * body.pose.torso[:, 1] + 1.75 * r * up
    depth = body.add([(base, 0.03 * body.girth), (c, 0.03 * body.girth)], body.outfit["skin"])
    depth = max(depth, body.depth_of(c))
    face = [(c + 0.25 * r * up, r), (c + r * (0.12 * forward - 0.4 * up), 0.8 * r)]
    hair = [(c + r * (0.38 * up - 0.25 * forward), 1.02 * r), (c - r * (0.3 * up + 0.35 * forward), 0.85 * r)]
    if long_hair:
        fall = [(c - r * (side * 0.6 * left + 1.6 * up + 0.5 * forward), 0.45 * r) for side in (1, -1)]
        body.add([*hair, *fall], body.outfit["hair"], HEAD_KEYPOINTS, depth - np.sign(body.depth_of(forward)) * 0.1)
    layers = [(hair, "hair"), (face, "skin")] if body.depth_of(forward) > 0 else [(face, "skin"), (hair, "hair")]
    for i, (balls, colour) in enumerate(layers, 1):
        body.add(balls, body.outfit[colour], HEAD_KEYPOINTS, depth + i * DETAIL)
    fringe = [(c + r * (0.85 * up + 0.3 * forward + side * 0.45 * left), 0.42 * r) for side in (1, -1)]
    body.add(fringe, body.outfit["hair"], HEAD_KEYPOINTS, depth + 3 * DETAIL)
    return _add_face(body, c, r, depth + 4 * DETAIL)


def _add_face(body: _Body, c: Vector, r: float, depth: float) -> frozenset[str]:
    left, up, forward = body.pose.head.T
    dark = shade(body.outfit["skin"], 0.72)
    hidden = set()
    for side in (1, -1):
        ear, eye = c + side * r * left, c + r * (0.1 * up + side * 0.42 * left + 0.88 * forward)
        body.place(sided(side, "ear"), ear)
        body.place(sided(side, "eye"), eye)
        if body.depth_of(side * left) > -0.4:
            body.add([(ear + 0.1 * r * up, 0.2 * r), (ear - 0.12 * r * up, 0.15 * r)], dark, HEAD_KEYPOINTS, depth)
        else:
            hidden.add(sided(side, "ear"))
        if body.depth_of(0.9 * forward + side * 0.42 * left) > 0.1:
            body.add([(eye, 0.2 * r)], (245, 245, 245), HEAD_KEYPOINTS, depth)
            body.add([(eye, 0.11 * r)], (25, 20, 20), HEAD_KEYPOINTS, depth + DETAIL)
        else:
            hidden.add(sided(side, "eye"))
    nose = c + r * (1.1 * forward - 0.2 * up)
    body.place("nose", nose)
    if body.depth_of(forward) > -0.15:
        body.add([(nose, 0.15 * r), (nose + 0.25 * r * (up - 0.5 * forward), 0.08 * r)], dark, HEAD_KEYPOINTS, depth)
        mouth = [(c + r * (0.85 * forward - 0.62 * up + x * left), 0.08 * r) for x in (-0.25, 0.25)]
        body.add(mouth, (150, 60, 60), HEAD_KEYPOINTS, depth)
    else:
        hidden.add("nose")
    return frozenset(hidden)
