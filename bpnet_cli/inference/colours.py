"""Colours of drawn people: by the side of the body, or one for each person. Both work for colour-blind people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

Colour = tuple[int, int, int]

# Okabe and Ito's palette for colour-blind people. The limbs of one side alternate between its two tones.
LEFT: tuple[Colour, ...] = ((0, 114, 178), (86, 180, 233))
RIGHT: tuple[Colour, ...] = ((213, 94, 0), (230, 159, 0))
MIDDLE: tuple[Colour, ...] = ((0, 158, 115), (240, 228, 66))
# Okabe and Ito's seven colours and three more, which are far from them in CIELAB, also for people who don't see red
# or green. Colours that follow each other differ most, because they often go to people beside each other.
PEOPLE: tuple[Colour, ...] = (
    *((230, 159, 0), (0, 158, 115), (90, 60, 255), (225, 240, 180), (0, 114, 178)),
    *((213, 94, 0), (86, 180, 233), (210, 0, 60), (240, 228, 66), (204, 121, 167)),
)
OUTLINE: Colour = (20, 20, 20)
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Look:
    """A person's colours: L of its limbs, K of its keypoints, and one of its label."""

    limbs: Sequence[Colour]
    keypoints: Sequence[Colour]
    label: Colour


def looks_by_side(persons: Sequence[Person], skeleton: Skeleton) -> list[Look]:
    """The same colours for everybody: the left side is blue, the right side orange, the middle green.

    The first name of each flip pair counts as left. A limb between left and right counts as middle.
    """
    sides = np.zeros(len(skeleton.keypoints), int)
    for left, right in skeleton.flip_pairs:
        sides[skeleton.keypoints.index(left)], sides[skeleton.keypoints.index(right)] = 1, -1
    limb_sides = np.sign(sides[skeleton.limb_indices].sum(axis=1))
    return [Look(_alternate(limb_sides), _alternate(sides), WHITE)] * len(persons)


def looks_by_person(persons: Sequence[Person], skeleton: Skeleton) -> list[Look]:
    """One of ten colours for each person, by its id; without ids by its place in the photo, from left to right.

    People whose ids differ by ten have the same colour, but their keypoints are in turn lighter and darker than it.
    persons: each has at least one found keypoint.
    """
    places = [float(person.keypoints[person.found, 0].mean()) for person in persons]
    ranks = np.argsort(np.argsort(places, kind="stable")).tolist()
    numbers = [rank if person.id is None else person.id for person, rank in zip(persons, ranks, strict=True)]
    return [_look(number, skeleton) for number in numbers]


def _look(number: int, skeleton: Skeleton) -> Look:
    turn, place = divmod(number, len(PEOPLE))
    own = PEOPLE[place]
    light = _mixed(own, WHITE, 0.55)
    dot = light if turn % 2 == 0 else _mixed(own, OUTLINE, 0.7)
    return Look([own] * len(skeleton.limbs), [dot] * len(skeleton.keypoints), light)


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two; share: that of the second."""
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _alternate(sides: NDArray[np.intp]) -> list[Colour]:
    tones = {1: LEFT, -1: RIGHT, 0: MIDDLE}
    used = dict.fromkeys(tones, 0)
    colours = []
    for side in sides.tolist():
        colours.append(tones[side][used[side] % len(tones[side])])
        used[side] += 1
    return colours
