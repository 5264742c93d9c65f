"""Skeletons: the keypoints, the limbs between them, and which keypoints swap when an image is mirrored.

Everything that depends on the number or order of keypoints is derived from a `Skeleton`. No other module states these
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import SpecError


@dataclass(frozen=True)
class Skeleton:
    """Keypoints, directed limbs and flip pairs by name. Raises SpecError where they don't fit together.

    name: the skeleton's name in specs and result files.
    keypoints: K names in channel order.
    limbs: L pairs (from, to); limb l has the PAF channels 2l (x) and 2l + 1 (y).
    flip_pairs: pairs of names that swap when the image is mirrored. A keypoint in no pair stays the same.
    sigmas: K OKS constants, one per keypoint (COCO's convention: k_i = 2 * sigma_i).
    midpoints: (keypoint, a, b): a keypoint that data sets don't label (the neck of body_18). It is placed halfway
        between a and b where both are labelled.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    flip_pairs: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]
    midpoints: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise SpecError(f"skeleton {self.name}: {problem}")

    @cached_property
    def limb_indices(self) -> NDArray[np.intp]:
        """(L, 2) keypoint indices of each limb's start and end."""
        index = {name: i for i, name in enumerate(self.keypoints)}
        return np.array([(index[a], index[b]) for a, b in self.limbs], dtype=np.intp).reshape(-1, 2)

    @cached_property
    def neighbours(self) -> tuple[int, ...]:
        """K integers: for each keypoint, the keypoints that share a limb with it, as bits."""
        bits = [0] * len(self.keypoints)
        for a, b in self.limb_indices.tolist():
            bits[a] |= 1 << b
            bits[b] |= 1 << a
        return tuple(bits)

    @property
    def groups(self) -> list[list[str]]:
        """The keypoints in groups that limbs join, the largest first. Several groups become people of their own."""
        groups = groups_of(len(self.keypoints), self.limb_indices.tolist())
        return [[self.keypoints[k] for k in group] for group in groups]

    @cached_property
    def flip_permutation(self) -> NDArray[np.intp]:
        """(K,) index of the keypoint that each keypoint becomes in a mirrored image; applied twice, nothing changes."""
        index = {name: i for i, name in enumerate(self.keypoints)}
        permutation = np.arange(len(self.keypoints))
        for a, b in self.flip_pairs:
            permutation[index[a]], permutation[index[b]] = index[b], index[a]
        return permutation

    @property
    def heatmap_channels(self) -> int:
        """Number of heatmaps: one per keypoint, then the background."""
        return len(self.keypoints) + 1

    @property
    def paf_channels(self) -> int:
        """Number of PAF channels: x and y of each limb."""
        return 2 * len(self.limbs)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, as stored in model files and written in skeleton files."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "limbs": [list(limb) for limb in self.limbs],
            "flip_pairs": [list(pair) for pair in self.flip_pairs],
            "sigmas": list(self.sigmas),
            "midpoints": {keypoint: [a, b] for keypoint, a, b in self.midpoints},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Skeleton:
        """The inverse of `to_dict`. Raises SpecError where the keys don't fit together."""
        return cls(
            name=values["name"],
            keypoints=tuple(values["keypoints"]),
            limbs=tuple((a, b) for a, b in values["limbs"]),
            flip_pairs=tuple((a, b) for a, b in values["flip_pairs"]),
            sigmas=tuple(values["sigmas"]),
            midpoints=tuple((keypoint, a, b) for keypoint, (a, b) in values.get("midpoints", {}).items()),
        )


def groups_of(count: int, limbs: Iterable[Sequence[int]]) -> list[list[int]]:
    """The groups of keypoints that limbs join, the largest first; keypoints are numbers below `count`."""
    marks = joined(count, limbs)
    groups = [np.flatnonzero(marks == mark).tolist() for mark in np.unique(marks)]
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def joined(count: int, limbs: Iterable[Sequence[int]]) -> NDArray[np.intp]:
    """(K,) a number for each keypoint, the same for keypoints that limbs join."""
    marks = np.arange(count)
    for a, b in limbs:
        marks[marks == marks[b]] = marks[a]
    return marks


def _problems(skeleton: Skeleton) -> list[str]:
    """The faults of a skeleton as texts; empty when there are none."""
    known = set(skeleton.keypoints)
    problems = []
    if not skeleton.keypoints:
        problems.append("has no keypoints")
    if len(known) != len(skeleton.keypoints):
        problems.append(f"has the keypoint {_repeated(skeleton.keypoints)} twice")
    groups: dict[str, Sequence[Sequence[str]]] = {
        "limbs": skeleton.limbs,
        "flip_pairs": skeleton.flip_pairs,
        "midpoints": skeleton.midpoints,
    }
    for key, rows in groups.items():
        for row in rows:
            for name in row:
                if name not in known:
                    problems.append(f"{key} {list(row)}: {name!r} is not one of its keypoints")
            if len(set(row)) != len(row):
                problems.append(f"{key} {list(row)}: the keypoints must be different")
    if len(set(skeleton.limbs)) != len(skeleton.limbs):
        problems.append(f"has the limb {_repeated(skeleton.limbs)} twice")
    paired = [name for pair in skeleton.flip_pairs for name in pair]
    if len(set(paired)) != len(paired):
        problems.append(f"flip_pairs: {_repeated(paired)} is in two pairs")
    if len(skeleton.sigmas) != len(skeleton.keypoints):
        problems.append(f"has {len(skeleton.sigmas)} sigmas, but {len(skeleton.keypoints)} keypoints")
    if any(not sigma > 0 for sigma in skeleton.sigmas):
        problems.append("sigmas must be positive")
    return problems


def _repeated(items: Sequence[object]) -> object:
    return next(item for i, item in enumerate(items) if item in items[:i])


BODY_18 = Skeleton(
    # The order and the limbs are those of BodyPoseNet and of OpenPose's COCO model, so that maps of their networks fit.
    # The sigmas are COCO's. COCO has none for the neck: it has the sigma of the shoulders.
    name="body_18",
    keypoints=(
        "nose",
        "neck",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ),
    limbs=(
        ("neck", "right_hip"),
        ("right_hip", "right_knee"),
        ("right_knee", "right_ankle"),
        ("neck", "left_hip"),
        ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"),
        ("neck", "right_shoulder"),
        ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"),
        ("right_shoulder", "right_ear"),
        ("neck", "left_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("left_elbow", "left_wrist"),
        ("left_shoulder", "left_ear"),
        ("neck", "nose"),
        ("nose", "right_eye"),
        ("nose", "left_eye"),
        ("right_eye", "right_ear"),
        ("left_eye", "left_ear"),
    ),
    flip_pairs=(
        ("left_shoulder", "right_shoulder"),
        ("left_elbow", "right_elbow"),
        ("left_wrist", "right_wrist"),
        ("left_hip", "right_hip"),
        ("left_knee", "right_knee"),
        ("left_ankle", "right_ankle"),
        ("left_eye", "right_eye"),
        ("left_ear", "right_ear"),
    ),
    sigmas=(
        0.026,
        0.079,
        0.079,
        0.072,
        0.062,
        0.079,
        0.072,
        0.062,
        0.107,
        0.087,
        0.089,
        0.107,
        0.087,
        0.089,
        0.025,
        0.025,
        0.035,
        0.035,
    ),
    midpoints=(("neck", "left_shoulder", "right_shoulder"),),
)

# The order of the keypoints in COCO's annotation and result files.
COCO_KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
