"""What can be drawn: people, hands and animals, and which of them has the keypoints of a skeleton."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.animal import ANIMAL_KEYPOINTS, sample_animal
from bpnet_cli.data.figure import sample_figure
from bpnet_cli.data.hand import HAND_KEYPOINTS, sample_hand
from bpnet_cli.data.parts import Figure
from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS, Skeleton
from bpnet_cli.sides import match_names

# The limbs in COCO's own category: pairs of keypoint numbers, counted from 1, in COCO's order.
COCO_LIMBS = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9)),
    *((8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)


class Drawing(NamedTuple):
    """A kind of figure, and the category of its labels.

    sample: draws one. name, plural: of the category. keypoints: K names in the label file. columns: (K,) index of each
    of them among the figure's keypoints. limbs: pairs of numbers of keypoints, counted from 1.
    """

    sample: Callable[[np.random.Generator], Figure]
    name: str
    plural: str
    keypoints: tuple[str, ...]
    columns: NDArray[np.intp]
    limbs: tuple[tuple[int, int], ...] = ()


PEOPLE = Drawing(sample_figure, "person", "people", COCO_KEYPOINTS, np.arange(len(COCO_KEYPOINTS)), COCO_LIMBS)
_DRAWINGS = (
    PEOPLE,
    Drawing(sample_hand, "hand", "hands", HAND_KEYPOINTS, np.arange(len(HAND_KEYPOINTS))),
    Drawing(sample_animal, "animal", "animals", ANIMAL_KEYPOINTS, np.arange(len(ANIMAL_KEYPOINTS))),
)


def drawing_of(skeleton: Skeleton) -> Drawing:
    """The drawing that has all keypoints of a skeleton, by their names in any spelling, in the skeleton's order.

    Midpoints are left out, because label files don't have them. Raises BpnetError if no drawing has all the others.
    """
    computed = {name for name, _, _ in skeleton.midpoints}
    names = tuple(name for name in skeleton.keypoints if name not in computed)
    found = {drawing.name: match_names(names, drawing.keypoints) for drawing in _DRAWINGS}
    best = max(_DRAWINGS, key=lambda drawing: len(found[drawing.name]))
    matched = found[best.name]
    if missing := [name for name in names if name not in matched]:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise BpnetError(
            f"skeleton {skeleton.name}: no drawing has the keypoints {', '.join(missing[:4])}{more}; people, hands and"
            " animals can be drawn, with the keypoints of coco_17, hand_21 and animal_17 or some of them"
        )
    numbers = {name: i for i, name in enumerate(names, 1)}
    limbs = tuple((numbers[a], numbers[b]) for a, b in skeleton.limbs if a in numbers and b in numbers)
    columns = np.array([best.keypoints.index(matched[name]) for name in names])
    return best._replace(keypoints=names, columns=columns, limbs=limbs)
