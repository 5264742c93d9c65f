"""Limb precision and recall. Wrong limbs are what people see first in drawn photos, and AP hardly counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels, People
from bpnet_cli.data.photos import people_of
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# A limb is right if both ends lie within this distance of their labels: a share of the root of the person's area.
TOLERANCE = 0.2


@dataclass(frozen=True, eq=False)
class LimbScores:
    """Limbs over all photos, (L,) each, in the skeleton's order.

    drawn: number of limbs that `infer` draws (both ends found).
    right: number of these whose two ends are both near the same labelled person's ends, see `TOLERANCE`.
    labelled: number of limbs whose two ends are both labelled.
    found: number of these that match a right limb.
    """

    drawn: NDArray[np.intp]
    right: NDArray[np.intp]
    labelled: NDArray[np.intp]
    found: NDArray[np.intp]

    @property
    def precision(self) -> float:
        """Right limbs / drawn limbs, 0 to 1; -1 where none is drawn."""
        return _share(self.right, self.drawn)

    @property
    def recall(self) -> float:
        """Found limbs / labelled limbs, 0 to 1; -1 where none is labelled."""
        return _share(self.found, self.labelled)


def score_limbs(truth: Labels, persons: Mapping[int, Sequence[Person]], skeleton: Skeleton) -> LimbScores:
    """Compare the limbs that `infer` draws with the labels.

    truth: the labels; all its keypoints must be in the skeleton, see `evaluation.coco.restrict`. persons: by image id,
    the people as `infer` draws them, keypoints in photo pixels.
    Two kinds of drawn limbs don't count: limbs that the file never labels, and wrong limbs whose ends both lie in the
    box of a crowd or of a person without labelled keypoints.
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
        near = (distance <= reach[None, :, None]) & labelled  # False for NaN (not found)
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
    """(D, L) bool: True for limbs whose ends both lie in the box of one crowd or of one person without keypoints.

    found: (D, K, 3) keypoints of detected people. starts, ends: (L,) keypoint indices.
    """
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
