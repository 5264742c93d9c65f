"""Limb precision and recall: what people see in the drawn photos, and AP hardly counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels, People
from bpnet_cli.data.photos import people_of
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# A limb is right if both ends lie within this share of the root of the labelled person's area.
TOLERANCE = 0.2


@dataclass(frozen=True, eq=False)
class LimbScores:
    """Limbs over all photos, (L,) by limb of the skeleton.

    drawn: with both ends found, of the people that `infer` draws. right: of these, those whose ends both lie near the
    same labelled person's. labelled: with both ends labelled. found: of these, those that some right limb covers.
    """

    drawn: NDArray[np.intp]
    right: NDArray[np.intp]
    labelled: NDArray[np.intp]
    found: NDArray[np.intp]

    @property
    def precision(self) -> float:
        """Share of drawn limbs that are right; -1 where none is drawn."""
        return _share(self.right, self.drawn)

    @property
    def recall(self) -> float:
        """Share of labelled limbs that are found; -1 where none is labelled."""
        return _share(self.found, self.labelled)


def score_limbs(truth: Labels, persons: Mapping[int, Sequence[Person]], skeleton: Skeleton) -> LimbScores:
    """Limbs of the people that `infer` draws, by image id, in photo pixels, against the labels.

    truth: labels keypoints of the skeleton only, see `evaluation.coco.restrict`. Limbs that the file never labels don't
    count, nor wrong ones that lie in the box of a crowd or of a person without keypoints.
    """
    starts, ends = skeleton.limb_indices.T
    counts = np.zeros((4, len(starts)), np.intp)
    for image_id, detected in persons.items():
        found = np.array([person.keypoints for person in detected], np.float64).reshape(-1, len(skeleton.keypoints), 3)
        labels = people_of(truth, image_id, skeleton).astype(np.float64)
        entries = truth.people_of(image_id)
        reach = TOLERANCE * np.sqrt(entries.known_areas[~entries.crowds])
        labelled = labels[..., 2] > 0
        distance = np.hypot(*(found[:, None, :, :2] - labels[None, ..., :2]).transpose(3, 0, 1, 2))
        near = (distance <= reach[None, :, None]) & labelled  # NaN, not found, is not near
        right = near[..., starts] & near[..., ends]
        seen = ~np.isnan(found[..., 2])
        drawn = seen[:, starts] & seen[:, ends]
        ignored = drawn & ~right.any(axis=1) & _in_ignored_box(entries, found, starts, ends)
        counts[0] += (drawn & ~ignored).sum(axis=0)
        counts[1] += right.any(axis=1).sum(axis=0)
        counts[2] += (labelled[:, starts] & labelled[:, ends]).sum(axis=0)
        counts[3] += right.any(axis=0).sum(axis=0)
    counts[:2, counts[2] == 0] = 0
    return LimbScores(*counts)


def _in_ignored_box(
    entries: People,
    found: NDArray[np.float64],
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """(D, L) whether both ends of the limbs of people (D, K, 3) lie in one box of a crowd or of somebody unlabelled."""
    result = np.zeros((len(found), len(starts)), np.bool_)
    for box in entries.boxes[~entries.labelled]:
        low, high = box[:2], box[:2] + box[2:]
        points = found[..., :2]
        inside = np.asarray(((points >= low) & (points <= high)).all(axis=-1))
        result |= inside[:, starts] & inside[:, ends]
    return result


def _share(part: NDArray[np.intp], whole: NDArray[np.intp]) -> float:
    total = int(whole.sum())
    return float(part.sum() / total) if total else -1.0
