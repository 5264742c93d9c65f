"""Tracking: people keep their ids from frame to frame, by the places and the motion of their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bpnet_cli.pose.options import TrackOptions
from bpnet_cli.pose.person import Person

Array = NDArray[np.float64]
# The area of a person, for OKS, is the square of this share of the longer side of the box around the keypoints.
_ROOT_AREA = 0.5
# Similarities are sums over the common keypoints, divided by their number, or by this number where they are fewer.
_FEWEST = 4
# A person that was not seen for this many seconds may have stopped.
_STAYS_AFTER = 0.3


@dataclass
class _Track:
    """One person over time. Times are in seconds of the tracker's clock, lengths in pixels.

    keypoints: (K, 3) x, y, score as last seen. A keypoint that is not found moves along with the person. NaN: never
        found. velocity: (2,) pixels per second. id: None until the person has its id.
    """

    keypoints: Array
    seen: float
    velocity: Array
    sightings: int = 1
    id: int | None = None


class Tracker:
    """Gives people ids, frame by frame. A person's id is an integer from 1; no other person gets it later.

    sigmas: K OKS constants of the skeleton.
    """

    def __init__(self, sigmas: Sequence[float], options: TrackOptions | None = None) -> None:
        self._sigmas = sigmas
        self._options = options or TrackOptions()
        self._tracks: list[_Track] = []
        self._last_id = 0
        self._clock = 0.0
        self._last_seconds: float | None = None

    def update(self, persons: Sequence[Person], seconds: float, weak: Sequence[Person] = ()) -> list[Person]:
        """The people of the next frame with their ids: all of `persons` in their order, then some of `weak`.

        A person's id is None in its first sightings (`TrackOptions.start_sightings`). People in `weak` continue tracks
        that no one in `persons` continues; those that match no track are left out.
        seconds: the frame's time stamp. Where it is not larger than the last one, no time passes.
        """
        if self._last_seconds is not None:
            self._clock += max(seconds - self._last_seconds, 0.0)
        self._last_seconds = seconds
        tracks = self._match(persons, self._tracks)
        followed = [self._follow(track, person) for track, person in zip(tracks, persons, strict=True)]
        taken = {id(track) for track in followed}
        free = [track for track in self._tracks if id(track) not in taken and track.id is not None]
        self._tracks = [*followed, *free]
        result = [replace(person, id=track.id) for person, track in zip(persons, followed, strict=True)]
        for person, track in zip(weak, self._match(weak, free), strict=True):
            if track is not None:
                result.append(replace(person, id=self._follow(track, person).id))
        self._tracks = [track for track in self._tracks if self._clock - track.seen < self._options.lost_seconds]
        return result

    def _match(self, persons: Sequence[Person], tracks: Sequence[_Track]) -> list[_Track | None]:
        """The track that each person continues, or None."""
        matched: list[_Track | None] = [None] * len(persons)
        if not persons or not tracks:
            return matched
        similarity = self._similarities(persons, tracks)
        for p, t in zip(*linear_sum_assignment(similarity, maximize=True), strict=True):
            if similarity[p, t] > 0:
                matched[p] = tracks[t]
        return matched

    def _similarities(self, persons: Sequence[Person], tracks: Sequence[_Track]) -> Array:
        """(P, T) 0 to 1: how well people fit to tracks; 0 where they can't belong together."""
        options = self._options
        labels = np.stack([track.keypoints for track in tracks])
        found = np.stack([person.keypoints for person in persons])
        sizes = np.array([_size(track.keypoints) for track in tracks])
        gaps = np.array([self._clock - track.seen for track in tracks])
        moved, shape = _moves(found, labels)
        area = (_ROOT_AREA * sizes * (1 + np.minimum(gaps, 1)))[:, None] ** 2
        alike = np.exp(-(shape**2).sum(axis=-1) / (8 * area * np.asarray(self._sigmas) ** 2))
        common = (~np.isnan(alike)).sum(axis=-1)
        alike = np.nan_to_num(alike, nan=0.0).sum(axis=-1) / np.maximum(common, _FEWEST)
        reach = options.drift + options.drift_rate * np.minimum(gaps, options.drift_seconds)
        way = options.velocity_seconds * (1 - np.exp(-gaps / options.velocity_seconds))
        goes = moved - np.stack([track.velocity for track in tracks]) * way[:, None]
        spread = 2 * (sizes * reach) ** 2
        near = np.exp(-(goes**2).sum(axis=-1) / spread)
        stays = options.stay * np.exp(-(moved**2).sum(axis=-1) / spread) * (gaps > _STAYS_AFTER)
        score = alike * np.maximum(near, stays)
        return np.where(score < options.least_similarity, 0, score * (options.drift / reach) ** options.power)

    def _follow(self, track: _Track | None, person: Person) -> _Track:
        """The track after it has seen this person; a new one for None."""
        keypoints = person.keypoints.astype(np.float64)
        if track is None:
            track = _Track(keypoints, self._clock, np.zeros(2), sightings=0)
        else:
            self._move(track, keypoints)
        track.seen = self._clock
        track.sightings += 1
        if track.id is None and track.sightings >= self._options.start_sightings:
            self._last_id += 1
            track.id = self._last_id
        return track

    def _move(self, track: _Track, keypoints: Array) -> None:
        """Take over new keypoints, and learn from them how fast the person moves."""
        shifts = keypoints[:, :2] - track.keypoints[:, :2]
        shift = np.median(shifts[~np.isnan(shifts[:, 0])], axis=0)
        gap = self._clock - track.seen
        if gap > 0:
            gain = max(1 - np.exp(-gap / self._options.smooth_seconds), 1 / track.sightings)
            track.velocity = track.velocity + gain * (shift / gap - track.velocity)
        absent = np.isnan(keypoints[:, 2])
        keypoints[absent] = track.keypoints[absent]
        keypoints[absent, :2] += shift
        track.keypoints = keypoints


def _moves(found: NDArray[np.floating[Any]], labels: Array) -> tuple[Array, Array]:
    """How far people are from tracks, as (P, T, 2) medians over keypoints, and (P, T, K, 2) the rest of each keypoint.

    found: (P, K, 3), labels: (T, K, 3). The rest is NaN where one of both lacks the keypoint. The median is infinite
    where they have no keypoint in common.
    """
    difference = found[:, None, :, :2] - labels[None, :, :, :2]
    count = (~np.isnan(difference[..., 0])).sum(axis=-1)
    place = np.maximum(count - 1, 0)[..., None, None] // 2
    middle = np.take_along_axis(np.sort(difference, axis=2), place, axis=2)
    return np.nan_to_num(middle[:, :, 0], nan=np.inf), difference - middle


def _size(keypoints: Array) -> float:
    """The longer side of the box around keypoints in pixels, at least 1."""
    points = keypoints[~np.isnan(keypoints[:, 2]), :2]
    return float(max(1.0, np.ptp(points, axis=0).max()))
