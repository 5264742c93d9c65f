"""Every threshold of the decoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodeOptions:
    """Thresholds of `decode`; the spec's `inference.decode` has the same fields.

    peak_threshold: a peak's heatmap value must be above this (0..1).
    max_peaks: largest number of peaks per keypoint; the highest are kept. This limits the time on noisy maps.
    limb_samples: number of points at which a candidate limb reads the PAF, both ends included.
    limb_threshold: a limb's weight must be above this (0..1). The weight is the limb score (mean of PAF . direction)
        x the root of the product of its two peaks' scores.
    merge_distance: two fragments can be joined without a limb where the gap between them is smaller than this many
        times the size of the larger one; 0 joins none.
    person_threshold: smallest sum of a person's keypoint scores.
    min_keypoints: smallest number of a person's keypoints.
    """

    peak_threshold: float = 0.05
    max_peaks: int = 128
    limb_samples: int = 8
    limb_threshold: float = 0.01
    merge_distance: float = 0.8
    person_threshold: float = 0.5
    min_keypoints: int = 1


@dataclass(frozen=True)
class TrackOptions:
    """Thresholds of `Tracker`."""

    lost_seconds: float = 3.0
    start_sightings: int = 2
    least_similarity: float = 0.1
    velocity_seconds: float = 3.0
    smooth_seconds: float = 0.4
    drift: float = 0.1
    drift_rate: float = 0.3
    drift_seconds: float = 2.0
    stay: float = 0.7
    power: float = 0.5
