"""A synthetic four-legged animal with the 17 keypoints of AP-10K.

Own axes: (left, up, forward), with the hips at the origin. The unit of length is the way from the hips to the
shoulders. As in a photo, only the body tells left from right: the head, the tail, and which legs are nearer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bpnet_cli.data.parts import DETAIL, SIZE, Ball, Builder, Colour, Figure, Vector, shade, sided
from bpnet_cli.data.poses import Range, rotation

ANIMAL_KEYPOINTS = (
    *("left_eye", "right_eye", "nose", "neck", "root_of_tail"),
    *("left_shoulder", "left_elbow", "left_f_paw", "right_shoulder", "right_elbow", "right_f_paw"),
    *("left_hip", "left_knee", "left_b_paw", "right_hip", "right_knee", "right_b_paw"),
)
_HEAD = ("left_eye", "right_eye", "nose")
_COATS = ((60, 42, 30), (120, 84, 52), (176, 134, 88), (222, 200, 166), (236, 232, 226), (48, 46, 48), (150, 146, 142))
# Probability; ranges in degrees: the swing of the leading and the trailing legs, the bend of their lower parts, and the
# rise of the neck above the back.
_GAITS: tuple[tuple[float, Range, Range, Range, Range], ...] = (
    (0.4, (-6, 8), (-6, 8), (0, 10), (25, 65)),
    (0.25, (10, 28), (-28, -8), (0, 25), (15, 55)),
    (0.15, (25, 50), (-45, -20), (10, 50), (5, 35)),
    (0.2, (-4, 12), (-10, 4), (0, 12), (-50, -15)),
)
_TURNS: tuple[tuple[float, Range], ...] = (
    (0.4, (50, 130)),
    (0.4, (230, 310)),
    (0.12, (-50, 50)),
    (0.08, (130, 230)),
)


@dataclass
class _Animal(Builder):
    """An animal while it is built. girth: factor of its thickness. leg, neck: lengths. coat, dark: its colours."""

    girth: float = field(kw_only=True)
    leg: float = field(kw_only=True)
    neck: float = field(kw_only=True)
    head: float = field(kw_only=True)
    coat: Colour = field(kw_only=True)
    dark: Colour = field(kw_only=True)
    feet: Colour = field(kw_only=True)


def sample_animal(rng: np.random.Generator) -> Figure:
    """An animal of a random build, coat, gait and direction."""
    coat = shade(_COATS[rng.choice(len(_COATS))], rng.uniform(0.8, 1.1))
    animal = _Animal(
        _sample_view(rng),
        girth=rng.uniform(0.8, 1.25),
        leg=rng.uniform(0.62, 1.0),
        neck=rng.uniform(0.25, 0.5),
        head=rng.uniform(0.1, 0.14),
        coat=coat,
        dark=shade(coat, rng.uniform(0.55, 0.85)),
        feet=shade(coat, rng.choice([0.5, 0.8, 1.0, 1.6])),
    )
    _, leading, trailing, bend, rise = _GAITS[rng.choice(len(_GAITS), p=[gait[0] for gait in _GAITS])]
    first = 1 if rng.uniform() < 0.5 else -1
    _add_torso(animal, rng)
    for side in (1, -1):
        # Diagonal legs swing alike.
        front, hind = (leading, trailing) if side == first else (trailing, leading)
        _add_leg(animal, side, "front", rng.uniform(*front), rng.uniform(*bend))
        _add_leg(animal, side, "hind", rng.uniform(*hind), rng.uniform(*bend))
    hidden = _add_head(animal, rng, np.radians(rng.uniform(*rise)))
    return animal.figure(ANIMAL_KEYPOINTS, hidden).of_size(SIZE)


def _sample_view(rng: np.random.Generator) -> Vector:
    _, turn = _TURNS[rng.choice(len(_TURNS), p=[weight for weight, _ in _TURNS])]
    turned = rotation(2, rng.normal(0, 3)) @ rotation(0, rng.uniform(0, 18)) @ rotation(1, rng.uniform(*turn))
    view: Vector = np.diag([1.0, -1.0, 1.0]) @ turned
    return view


def _add_torso(animal: _Animal, rng: np.random.Generator) -> None:
    g = animal.girth
    tail, neck = np.array([0.0, 0.1, -0.13]), np.array([0.0, 0.12, 1.06])
    animal.place("root_of_tail", tail)
    animal.place("neck", neck)
    shows = ["root_of_tail", "neck"]
    for side in (1, -1):
        for name, z in (("hip", 0.0), ("shoulder", 1.0)):
            point = np.array([side * 0.1 * g, 0.0, z])
            animal.place(sided(side, name), point)
            # The torso hides the far side, as it does with people.
            if animal.depth_of(np.array([side * 1.0, 0.0, 0.0])) > -0.25:
                shows.append(sided(side, name))
    belly: list[Ball] = [(np.array([0.0, -0.02, 0.45]), 0.2 * g)]
    rump: list[Ball] = [(np.array([0.0, 0.0, -0.02]), 0.17 * g), (np.array([0.0, 0.02, 0.02]), 0.18 * g)]
    chest: list[Ball] = [(np.array([0.0, -0.02, 0.96]), 0.19 * g), (np.array([0.0, 0.04, 1.0]), 0.16 * g)]
    depth = animal.add([*rump, *belly, *chest], animal.coat, shows)
    for _ in range(int(rng.integers(0, 5))):  # spots
        side = 1 if animal.depth_of(np.array([1.0, 0.0, 0.0])) > 0 else -1
        spot = np.array([side * 0.15 * g, rng.uniform(-0.06, 0.1), rng.uniform(0.15, 0.8)])
        animal.add([(spot, rng.uniform(0.03, 0.07))], animal.dark, shows, depth + DETAIL)
    lift, length = np.radians(rng.uniform(-70, 40)), rng.uniform(0.2, 0.5)
    end = tail + length * np.array([0.0, np.sin(lift), -np.cos(lift)])
    animal.add([(tail, 0.04), (end, 0.025)], animal.dark, ["root_of_tail"], animal.depth_of((tail + end) / 2))


def _add_leg(animal: _Animal, side: int, pair: str, swing: float, bend: float) -> None:
    """swing: forwards, bend: of the lower part; degrees. Elbows bend forwards, knees of hind legs backwards."""
    front = pair == "front"
    names = [sided(side, name) for name in (("shoulder", "elbow", "f_paw") if front else ("hip", "knee", "b_paw"))]
    top = np.array([side * 0.1 * animal.girth, 0.0, 1.0 if front else 0.0])
    upper, lower = np.radians([swing - 8, swing - bend + 4] if front else [swing + 14, swing - bend - 8])
    middle = top + 0.45 * animal.leg * np.array([0.0, -np.cos(upper), np.sin(upper)])
    paw = middle + 0.55 * animal.leg * np.array([0.0, -np.cos(lower), np.sin(lower)])
    animal.place(names[1], middle)
    animal.place(names[2], paw)
    g = animal.girth
    # A leg on the near side is painted after the torso, one on the far side before it.
    away = 0.12 * np.sign(animal.depth_of(np.array([side * 1.0, 0.0, 0.0])))
    depth = animal.depth_of((top + middle) / 2) + away
    animal.add([(middle, 0.058 * g), (paw, 0.04 * g)], animal.dark, names[1:], depth - DETAIL)
    animal.add([(top, 0.12 * g), (middle, 0.062 * g)], animal.coat, names[:2], depth)
    toe = paw + np.array([0.0, -0.02, 0.05])
    animal.add([(paw, 0.045 * g), (toe, 0.035 * g)], animal.feet, names[2:], depth + DETAIL)


def _add_head(animal: _Animal, rng: np.random.Generator, rise: float) -> frozenset[str]:
    """Add neck and head. Returns the keypoints on the far side of the head."""
    g, r = animal.girth, animal.head
    base = np.array([0.0, 0.06, 1.0])
    centre = base + animal.neck * np.array([0.0, np.sin(rise), np.cos(rise)]) + np.array([0.0, 0.06, 0.08])
    depth = animal.depth_of((base + centre) / 2) + 0.05
    animal.add([(base, 0.14 * g), (centre, 0.75 * r)], animal.coat, ["neck"], depth)
    drop = rise - np.radians(rng.uniform(45, 75)) if rise > 0 else np.radians(rng.uniform(-75, -50))
    head = rotation(1, rng.uniform(-25, 25)) @ rotation(0, -np.degrees(drop))
    left, up, forward = head.T
    snout = rng.uniform(1.4, 2.2) * r
    nose = centre + snout * forward - 0.25 * r * up
    depth += 0.1
    animal.add([(centre, r), (nose - 0.2 * r * forward, 0.55 * r)], animal.coat, _HEAD, depth)
    pointed, fall = rng.uniform(0.8, 2.0), rng.uniform(-0.8, 1.0)
    for side in (1, -1):
        ear = centre + r * (side * 0.6 * left + 0.6 * up - 0.2 * forward)
        tip = ear + pointed * r * (fall * up + 0.5 * side * left - 0.3 * forward)
        animal.add(
            [(ear, 0.35 * r), (tip, 0.12 * r)], animal.dark, _HEAD, depth + 0.05 * np.sign(animal.depth_of(side * left))
        )
    return _add_face(animal, centre, nose, head, depth + 0.06)


def _add_face(animal: _Animal, centre: Vector, nose: Vector, head: Vector, depth: float) -> frozenset[str]:
    left, up, forward = head.T
    r, hidden = animal.head, set()
    for side in (1, -1):
        eye = centre + r * (side * 0.75 * left + 0.4 * up + 0.5 * forward)
        animal.place(sided(side, "eye"), eye)
        if animal.depth_of(0.85 * side * left + 0.3 * up + 0.4 * forward) > 0.05:
            animal.add([(eye, 0.24 * r)], (240, 240, 235), _HEAD, depth)
            animal.add([(eye, 0.15 * r)], (20, 18, 18), _HEAD, depth + DETAIL)
        else:
            hidden.add(sided(side, "eye"))
    animal.place("nose", nose)
    if animal.depth_of(forward) > -0.6:
        animal.add([(nose, 0.32 * r)], (35, 28, 28), _HEAD, depth)
    else:
        hidden.add("nose")
    return frozenset(hidden)
