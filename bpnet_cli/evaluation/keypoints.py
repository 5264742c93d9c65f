"""How well each keypoint is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels
from bpnet_cli.data.photos import people_of
from bpnet_cli.pose.oks import keypoint_similarities, oks
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# A keypoint is found right from this similarity on, AP's smallest OKS.
RIGHT = 0.5
# A detection of a lower OKS is somebody else's.
_FITS = 0.1


@dataclass(frozen=True, eq=False)
class KeypointScores:
    """Keypoints over all photos, (K,) in the skeleton's order.

    labelled: how many labels. right: of these, those whose similarity to the keypoint of the detection that fits the
    person best is at least `RIGHT`. missed: those that this detection lacks, or that no detection fits. distance:
    median distance of the others in shares of the root of the person's area, NaN where there are none.
    """

    labelled: NDArray[np.intp]
    right: NDArray[np.intp]
    missed: NDArray[np.intp]
    distance: NDArray[np.float64]


def score_keypoints(truth: Labels, persons: Mapping[int, Sequence[Person]], skeleton: Skeleton) -> KeypointScores:
    """Keypoints of all detected people, by image id, in photo pixels, against the labels; see `score_limbs`."""
    right: list[NDArray[np.bool_]] = []
    distances: list[NDArray[np.float64]] = []
    known: list[NDArray[np.bool_]] = []
    for image_id, detected in persons.items():
        labels = people_of(truth, image_id, skeleton).astype(np.float64)
        entries = truth.people_of(image_id)
        areas = entries.known_areas[~entries.crowds]
        # Somebody without keypoints, whom people fit that no detection fits.
        nobody = np.full((1, len(skeleton.keypoints), 3), np.nan)
        found = np.concatenate([nobody, *(person.keypoints[None] for person in detected)])
        similarity = keypoint_similarities(found, labels, areas, skeleton.sigmas)
        fit = oks(found, labels, areas, skeleton.sigmas)
        best = np.where(fit.max(axis=0) < _FITS, 0, fit.argmax(axis=0))
        people = np.arange(len(labels))
        apart = np.hypot(*(found[best, :, :2] - labels[..., :2]).transpose(2, 0, 1))
        right.append(similarity[best, people] >= RIGHT)
        distances.append(apart / np.sqrt(np.maximum(areas, 1))[:, None])
        known.append(labels[..., 2] > 0)
    labelled, near = np.concatenate(known), np.concatenate(right)
    distance = np.where(labelled, np.concatenate(distances), np.nan)
    median = [
        float(np.median(column[~np.isnan(column)])) if (column == column).any() else np.nan for column in distance.T
    ]
    counts = labelled.sum(axis=0)
    return KeypointScores(counts, near.sum(axis=0), counts - (distance == distance).sum(axis=0), np.array(median))
