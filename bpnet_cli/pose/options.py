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
    """Options of `Tracker`. A body size is the longer side of the box around a person's keypoints.

    lost_seconds: a track ends where its person was not seen for this long.
    start_sightings: number of frames in a row after which a new person gets an id.
    weak_seconds: weak people only continue tracks that were seen within the last so many seconds. Otherwise parts of
        other people would take over the tracks of hidden people.
    weak_similarity: weak people must be at least this similar to the expected person (0..1).
    least_similarity: a person can continue a track if the similarity to the expected person is at least this (0..1).
    drift: how far people may be from where they are expected, in body sizes; a standard deviation.
    drift_rate: growth of `drift` for each second without a sighting, for at most `drift_seconds`.
    drift_seconds: see `drift_rate`.
    velocity_seconds: people who are not seen walk on, slower and slower; their speed falls to 37 % in this time.
    smooth_seconds: velocities are means over about this time.
    stay: similarity of people who are where they were seen last, relative to those who walked on as expected (0..1).
        It brings back people who turn round while they are hidden.
    colour_difference: difference of colours that still counts as alike, a standard deviation; 0 to 255 in L, a, b.
    least_likeness: people of wholly different colours are this likely the same person (0..1), as light changes.
    same_colours: up to this difference, colours over the last frames are taken for those of the same person.
    alike_colours: a new person within this difference of somebody who is gone or hidden is that person.
    strange_colours: beyond this difference, the person of a track is another one than before, and gets a new id.
    clear_difference: an id goes to another person if its colours fit better there by more than this.
    remember_seconds: the colours of people who are gone are remembered for this long.
    most_covered: colours are learnt from people of whose box others cover less than this share.
    """

    lost_seconds: float = 3.0
    start_sightings: int = 2
    weak_seconds: float = 0.3
    weak_similarity: float = 0.5
    least_similarity: float = 0.1
    drift: float = 0.1
    drift_rate: float = 0.3
    drift_seconds: float = 2.0
    velocity_seconds: float = 3.0
    smooth_seconds: float = 0.3
    stay: float = 0.7
    colour_difference: float = 15.0
    least_likeness: float = 0.01
    same_colours: float = 15.0
    alike_colours: float = 30.0
    strange_colours: float = 55.0
    clear_difference: float = 15.0
    remember_seconds: float = 60.0
    most_covered: float = 0.7


@dataclass(frozen=True)
class SmoothOptions:
    """Options of `Smoother`, the one-euro filter's parameters.

    min_cutoff: cutoff frequency at rest, hertz; smaller values remove more jitter.
    speed_factor: growth of the cutoff frequency, hertz for each body size per second; larger values give less lag.
    speed_cutoff: cutoff frequency of the velocity, hertz.
    gap_seconds: the filters of a person start anew where the person was not seen for longer than this.
    """

    min_cutoff: float = 1.0
    speed_factor: float = 8.0
    speed_cutoff: float = 1.0
    gap_seconds: float = 0.5
