"""One detected person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.geometry import apply_affine


@dataclass(frozen=True, eq=False)
class Person:
    """A person and its score.

    keypoints: (K, 3) float32 rows x, y, score in the skeleton's order. x and y are in pixels, pixel centres are at
        integers. A keypoint that was not found is NaN in all three.
    score: ranks people for AP; larger is surer. It is not a probability.
    id: a number that a tracked person keeps from frame to frame; None without tracking.
    """

    keypoints: NDArray[np.float32]
    score: float
    id: int | None = None

    @property
    def found(self) -> NDArray[np.bool_]:
        """(K,) bool: True for keypoints that were found."""
        return ~np.isnan(self.keypoints[:, 2])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the smallest box around the found keypoints, in the same pixels as the keypoints."""
        points = self.keypoints[self.found, :2]
        x, y = points.min(axis=0)
        width, height = points.max(axis=0) - (x, y)
        return float(x), float(y), float(width), float(height)

    def clipped(self, width: int, height: int) -> Person:
        """The same person; keypoints outside of a photo of this size (pixels) are moved to its edge."""
        keypoints = self.keypoints.copy()
        keypoints[:, :2] = np.clip(keypoints[:, :2], 0, (width - 1, height - 1))
        return replace(self, keypoints=keypoints)

    def without_weak(self, least: float) -> Person:
        """The same person without the keypoints whose score is below `least`: they become NaN."""
        weak = self.keypoints[:, 2:] < least
        return replace(self, keypoints=np.where(weak, np.float32(np.nan), self.keypoints)) if weak.any() else self

    def moved(self, matrix: NDArray[np.float64]) -> Person:
        """The same person with its keypoints transformed by a 2 x 3 matrix."""
        keypoints = self.keypoints.copy()
        keypoints[:, :2] = apply_affine(matrix, self.keypoints[:, :2].astype(np.float64))
        return replace(self, keypoints=keypoints)


def body_size(keypoints: NDArray[np.floating[Any]]) -> float:
    """The longer side of the box around (K, 3) keypoints in pixels, at least 1. NaN: a keypoint that was not found."""
    points = keypoints[~np.isnan(keypoints[:, 2]), :2]
    return max(1.0, float(np.ptp(points, axis=0).max())) if len(points) else 1.0


def labelled_persons(keypoints: NDArray[np.float32]) -> list[Person]:
    """Labels (P, K, 3) x, y, visibility as `Person` objects; the score of a keypoint is its visibility.

    People without a labelled keypoint (visibility 0 for all, as in padding) are left out.
    """
    points = np.where(keypoints[..., 2:] > 0, keypoints, np.nan).astype(np.float32)
    return [Person(person, 1.0) for person in points if not np.isnan(person).all()]
