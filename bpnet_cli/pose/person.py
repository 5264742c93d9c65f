"""One detected person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Person:
    """A person and how sure the decoder is of it.

    keypoints: (K, 3) float32 rows x, y, score in the skeleton's order; pixel centres at integers; a keypoint that was
        not found is NaN in all three.
    score: ranks people for AP; larger is surer, not a probability.
    """

    keypoints: NDArray[np.float32]
    score: float

    @property
    def found(self) -> NDArray[np.bool_]:
        """(K,) bool: which keypoints were found."""
        return ~np.isnan(self.keypoints[:, 2])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the tight box around the found keypoints, in the keypoints' pixels."""
        points = self.keypoints[self.found, :2]
        x, y = points.min(axis=0)
        width, height = points.max(axis=0) - (x, y)
        return float(x), float(y), float(width), float(height)
