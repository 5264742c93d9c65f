"""Object keypoint similarity (OKS): COCO's measure of how near a person's keypoints are to the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Areas in COCO's files are larger than 0. This value avoids a division by 0 for others.
_LEAST_AREA = np.spacing(1.0)


def keypoint_similarities(
    found: NDArray[np.floating], labels: NDArray[np.floating], areas: NDArray[np.floating], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """(D, P, K) similarities, 0 to 1: exp(-d^2 / (2 area (2 sigma)^2)).

    d is the distance in pixels between a keypoint and its label. The similarity is 0 for a keypoint that was not found,
    and NaN for one that is not labelled.
    found: (D, K, 3) x, y, score; NaN where not found. labels: (P, K, 3) x, y, visibility; visibility 0: not labelled.
    areas: (P,) of the labelled people, square pixels. sigmas: K OKS constants. Source: COCO's keypoint evaluation.
    """
    distance = np.asarray(found, np.float64)[:, None, :, :2] - np.asarray(labels, np.float64)[None, :, :, :2]
    spread = 2 * (np.asarray(areas, np.float64)[:, None] + _LEAST_AREA) * (2 * np.asarray(sigmas, np.float64)) ** 2
    similarity = np.nan_to_num(np.exp(-(distance**2).sum(axis=-1) / spread), nan=0.0)
    return np.where(np.asarray(labels)[..., 2] > 0, similarity, np.nan)


def oks(
    found: NDArray[np.floating], labels: NDArray[np.floating], areas: NDArray[np.floating], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """(D, P) mean of `keypoint_similarities` over the labelled keypoints; 0 for a person without labelled keypoints."""
    return mean_similarity(keypoint_similarities(found, labels, areas, sigmas))


def mean_similarity(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, P) OKS from what `keypoint_similarities` returns, (D, P, K)."""
    labelled = ~np.isnan(similarity)
    return np.asarray(np.where(labelled, similarity, 0).sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1))
