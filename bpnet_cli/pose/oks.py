"""Object keypoint similarity (OKS): how near a person's keypoints are to a labelled person's, as COCO counts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# COCO's areas are larger than zero; this keeps an area of zero from being divided by.
_LEAST_AREA = np.spacing(1.0)


def keypoint_similarities(
    found: NDArray[np.floating], labels: NDArray[np.floating], areas: NDArray[np.floating], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """(D, P, K) exp(-d^2 / (2 area (2 sigma)^2)), d the distance in pixels between a keypoint and its label; 0 to 1.

    found: (D, K, 3) x, y, score, NaN where not found, which counts 0. labels: (P, K, 3) x, y, visibility; NaN comes out
    where that is 0, not labelled. areas: (P,) square pixels. sigmas: K. Source: COCO's keypoint evaluation.
    """
    distance = np.asarray(found, np.float64)[:, None, :, :2] - np.asarray(labels, np.float64)[None, :, :, :2]
    spread = 2 * (np.asarray(areas, np.float64)[:, None] + _LEAST_AREA) * (2 * np.asarray(sigmas, np.float64)) ** 2
    similarity = np.nan_to_num(np.exp(-(distance**2).sum(axis=-1) / spread), nan=0.0)
    return np.where(np.asarray(labels)[..., 2] > 0, similarity, np.nan)


def oks(
    found: NDArray[np.floating], labels: NDArray[np.floating], areas: NDArray[np.floating], sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """(D, P) mean of `keypoint_similarities` over the labelled keypoints; 0 for a person without any."""
    similarity = keypoint_similarities(found, labels, areas, sigmas)
    labelled = ~np.isnan(similarity)
    return np.asarray(np.where(labelled, similarity, 0).sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1))
