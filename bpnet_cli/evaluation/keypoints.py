"""Scores of each keypoint: how many are right, how many are missed, and how far they are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels
from bpnet_cli.data.photos import people_of
from bpnet_cli.pose.oks import keypoint_similarities, mean_similarity
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# A keypoint is right where its similarity is at least this, the smallest OKS threshold of AP.
RIGHT = 0.5
# A detection with a lower OKS belongs to another person.
_FITS = 0.1


@dataclass(frozen=True, eq=False)
class KeypointScores:
    """Keypoints over all photos, (K,) each, in the skeleton's order.

    Each labelled person is compared with the detection that fits it best (largest OKS).
    labelled: number of labelled keypoints.
    right: number of these whose similarity is at least `RIGHT`.
    missed: number of these that are missing in the detection, or whose person has no detection that fits.
    distance: median distance of the keypoints that are not missed, divided by the root of the person's area; NaN where
        there are none.
    """

    labelled: NDArray[np.intp]
    right: NDArray[np.intp]
    missed: NDArray[np.intp]
    distance: NDArray[np.float64]


def score_keypoints(truth: Labels, persons: Mapping[int, Sequence[Person]], skeleton: Skeleton) -> KeypointScores:
    """Compare the keypoints of all detected people with the labels.

    truth: see `score_limbs`. persons: by image id, the detected people, keypoints in photo pixels.
    """
    right: list[NDArray[np.bool_]] = []
    distances: list[NDArray[np.float64]] = []
    known: list[NDArray[np.bool_]] = []
    for image_id, detected in persons.items():
        labels = people_of(truth, image_id, skeleton).astype(np.float64)
        entries = truth.people_of(image_id)
        areas = entries.known_areas[~entries.crowds]
        # A detection without keypoints, for labelled people whom no detection fits.
        nobody = np.full((1, len(skeleton.keypoints), 3), np.nan)
        found = np.concatenate([nobody, *(person.keypoints[None] for person in detected)])
        similarity = keypoint_similarities(found, labels, areas, skeleton.sigmas)
        fit = mean_similarity(similarity)
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
