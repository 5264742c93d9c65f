"""Smoothing of tracked people's keypoints: less jitter at rest, little lag in fast motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.options import SmoothOptions
from bpnet_cli.pose.person import Person, body_size

Array = NDArray[np.float64]


@dataclass
class _State:
    """The filters of one person. NaN for a keypoint without a filter.

    points: (K, 2) smoothed, pixels. speeds: (K, 2) smoothed, pixels per second. seen: seconds, of the last frame with
    this person.
    """

    points: Array
    speeds: Array
    seen: float


class Smoother:
    """A one-euro filter for each keypoint of each id (Casiez, Roussel, Vogel: 1 euro filter, CHI 2012).

    The cutoff frequency is min_cutoff + speed_factor * speed, in hertz. Speed is the length of the smoothed velocity in
    body sizes per second, so near and far people are smoothed alike. The body size is the longer side of the box around
    the keypoints.
    """

    def __init__(self, options: SmoothOptions | None = None) -> None:
        self._options = options or SmoothOptions()
        self._states: dict[int, _State] = {}
        self._last_seconds = -math.inf

    def update(self, persons: Sequence[Person], seconds: float) -> list[Person]:
        """The people of the next frame with smoothed keypoints; scores and missing keypoints stay.

        People without an id stay as they are. A filter starts anew where its keypoint was missing in the last frame of
        the person, and where the person was missing for `gap_seconds`.
        seconds: the frame's time stamp. All filters start anew where it is smaller than the last one.
        """
        if seconds < self._last_seconds:
            self._states.clear()
        self._last_seconds = seconds
        oldest = seconds - self._options.gap_seconds
        self._states = {key: state for key, state in self._states.items() if state.seen >= oldest}
        return [self._smooth(person, person.id, seconds) for person in persons]

    def _smooth(self, person: Person, key: int | None, seconds: float) -> Person:
        if key is None:
            return person
        points = person.keypoints[:, :2].astype(np.float64)
        state = self._states.get(key)
        if state is None:
            state = _State(points, np.where(np.isnan(points), np.nan, 0.0), seconds)
        elif seconds > state.seen:
            state = self._filter(state, points, body_size(person.keypoints), seconds)
        self._states[key] = state
        # At a repeated time stamp, other keypoints may be missing than those that the filters know.
        shown = np.where(np.isnan(points) | np.isnan(state.points), points, state.points)
        return replace(person, keypoints=np.column_stack([shown, person.keypoints[:, 2]]).astype(np.float32))

    def _filter(self, state: _State, points: Array, size: float, seconds: float) -> _State:
        passed = seconds - state.seen
        speeds = (points - state.points) / passed
        speeds = state.speeds + _share(self._options.speed_cutoff, passed) * (speeds - state.speeds)
        pace = np.linalg.norm(speeds, axis=1, keepdims=True) / size
        cutoffs = self._options.min_cutoff + self._options.speed_factor * pace
        smooth = state.points + _share(cutoffs, passed) * (points - state.points)
        new = np.isnan(state.points)
        return _State(np.where(new, points, smooth), np.where(new & ~np.isnan(points), 0.0, speeds), seconds)


def _share(cutoff: float | Array, passed: float) -> float | Array:
    """The share of a new value in a low-pass filter. cutoff: hertz; passed: seconds since the last value."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * passed))
