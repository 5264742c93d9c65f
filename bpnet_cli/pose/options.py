"""Every threshold of the decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodeOptions:
    """Thresholds of `decode`; the spec's `inference.decode` has the same fields.

    peak_threshold: smallest heatmap value (0..1) of a peak.
    max_peaks: most peaks per keypoint, the highest are kept; bounds the time on noisy maps.
    limb_samples: points at which a candidate limb reads the PAF, both ends included.
    limb_threshold: smallest limb score (mean of PAF . direction) x root of the product of its two peaks' scores (0..1).
    merge_distance: largest gap between two fragments that are joined without a limb, in sizes of the larger one.
    person_threshold: smallest sum of the keypoint scores of a person.
    min_keypoints: fewest keypoints of a person.
    """

    peak_threshold: float = 0.05
    max_peaks: int = 128
    limb_samples: int = 8
    limb_threshold: float = 0.01
    merge_distance: float = 0.8
    person_threshold: float = 0.5
    min_keypoints: int = 1
