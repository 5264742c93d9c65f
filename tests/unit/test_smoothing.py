"""Smoothing: the one-euro filter of the paper, on people."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bpnet_cli.pose.options import SmoothOptions
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.smoothing import Smoother
from tests.unit.people import STANDING


def at(keypoints: np.ndarray, key: int | None = 1) -> Person:
    """A person with these (K, 2) places."""
    return Person(np.column_stack([keypoints, np.full(len(keypoints), 0.5)]).astype(np.float32), 1.0, key)


def places(smoother: Smoother, keypoints: np.ndarray, seconds: float) -> np.ndarray:
    return smoother.update([at(keypoints)], seconds)[0].keypoints[:, :2]


class PaperFilter:
    """Algorithm 1 of the paper for one number."""

    def __init__(self, min_cutoff: float, beta: float, derivative_cutoff: float) -> None:
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self.value: float | None = None
        self.derivative = 0.0

    def alpha(self, rate: float, cutoff: float) -> float:
        tau = 1.0 / (2 * math.pi * cutoff)
        return 1.0 / (1.0 + tau * rate)

    def __call__(self, x: float, rate: float) -> float:
        if self.value is None:
            self.value = x
            return x
        a = self.alpha(rate, self.derivative_cutoff)
        self.derivative = a * (x - self.value) * rate + (1 - a) * self.derivative
        a = self.alpha(rate, self.min_cutoff + self.beta * abs(self.derivative))
        self.value = a * x + (1 - a) * self.value
        return self.value


@pytest.mark.parametrize("axis", [0, 1])
def test_it_is_the_filter_of_the_paper_at_any_frame_rate(axis: int) -> None:
    """Three keypoints: two that never move and give the person its size, and one that moves along an axis."""
    rng = np.random.default_rng(axis)
    size = 250.0
    smoother = Smoother(SmoothOptions(min_cutoff=1.2, speed_factor=5.0, speed_cutoff=0.8))
    paper = PaperFilter(1.2, 5.0 / size, 0.8)
    seconds, x = 0.0, 120.0
    for _ in range(200):
        passed = float(rng.choice([0.01, 0.04, 0.1, 0.3]))
        seconds += passed
        x = float(np.clip(x + rng.normal(0, 20), 0, size))
        points = np.array([[0, 0], [size, size], [50, 50]], np.float64)
        points[2, axis] = x
        found = places(smoother, points, seconds)
        assert found[2, axis] == pytest.approx(paper(x, 1 / passed), abs=1e-3)
        assert np.delete(found, 2, axis=0) == pytest.approx(points[:2])


def test_near_and_far_people_are_smoothed_alike() -> None:
    rng = np.random.default_rng(1)
    motion = np.cumsum(rng.normal(0, 3, (40, 18, 2)), axis=0)
    near, far = Smoother(), Smoother()
    for frame, offset in enumerate(motion):
        large = places(near, 4 * (STANDING + offset), frame / 25)
        small = places(far, STANDING + offset, frame / 25)
        np.testing.assert_allclose(large, 4 * small, rtol=1e-4, atol=1e-2)


def test_a_noisy_still_trembles_less() -> None:
    rng = np.random.default_rng(2)
    smoother = Smoother()
    noise = rng.normal(0, 2, (100, 18, 2))
    found = np.array([places(smoother, STANDING + offset, frame / 25) for frame, offset in enumerate(noise)])
    # Jitter is what changes from frame to frame.
    assert np.diff(found[10:], axis=0).std() < 0.3 * np.diff(noise[10:], axis=0).std()
    assert np.abs(found[10:].mean(axis=0) - STANDING).max() < 1


def test_a_fast_move_lags_little() -> None:
    """A person of 120 pixels who runs two body sizes in a second."""
    smoother = Smoother()
    for frame in range(50):
        true = STANDING + np.array([240 * frame / 25, 0])
        lag = true - places(smoother, true, frame / 25)
    assert 0 <= lag.min() <= lag.max() < 0.03 * 120


@pytest.mark.parametrize(
    ("option", "low", "high"), [("min_cutoff", 0.5, 5.0), ("speed_factor", 0.0, 20.0), ("speed_cutoff", 0.1, 5.0)]
)
def test_larger_options_lag_less(option: str, low: float, high: float) -> None:
    lags = []
    for value in (low, high):
        smoother = Smoother(SmoothOptions(**{option: value}))
        for frame in range(6):
            true = STANDING + np.array([100 * frame / 25, 0])
            lag = float(np.abs(true - places(smoother, true, frame / 25)).max())
        lags.append(lag)
    assert lags[1] < 0.8 * lags[0]


def test_missing_keypoints_stay_missing_and_start_anew() -> None:
    smoother = Smoother()
    points = STANDING.astype(np.float64)
    places(smoother, points, 0.0)
    hidden = points + 10
    hidden[3] = np.nan
    found = smoother.update([at(hidden)], 0.04)[0]
    assert np.isnan(found.keypoints[3, :2]).all()
    assert not np.isnan(np.delete(found.keypoints, 3, axis=0)).any()
    again = places(smoother, points + 20, 0.08)
    assert again[3] == pytest.approx(points[3] + 20)
    assert (again[4] < points[4] + 19).all()
    assert not np.isnan(places(smoother, points + 20, 0.12)).any()


def test_filters_start_anew_after_a_gap_and_only_then() -> None:
    for gap, fresh in ((0.4, False), (0.6, True)):
        smoother = Smoother(SmoothOptions(gap_seconds=0.5, min_cutoff=0.1, speed_factor=0.0))
        places(smoother, STANDING, 0.0)
        assert smoother.update([], gap / 2) == []
        assert np.allclose(places(smoother, STANDING + 10, gap), STANDING + 10) == fresh


def test_time_that_goes_back_starts_anew_and_a_repeated_time_stamp_changes_nothing() -> None:
    smoother = Smoother()
    first = places(smoother, STANDING, 5.0)
    assert places(smoother, STANDING + 10, 5.0) == pytest.approx(first)
    hidden = STANDING.astype(np.float64)
    hidden[3] = np.nan
    assert np.isnan(places(smoother, hidden, 5.0)[3]).all()
    assert places(smoother, STANDING + 10, 1.0) == pytest.approx(STANDING + 10)


def test_each_id_has_filters_of_its_own_and_people_without_an_id_stay_as_they_are() -> None:
    smoother = Smoother()
    smoother.update([at(STANDING, 1), at(STANDING + 200, 2)], 0.0)
    stranger = at(STANDING + 400, None)
    second, first, same = smoother.update([at(STANDING + 210, 2), at(STANDING, 1), stranger], 0.04)
    assert same is stranger
    assert first.keypoints[:, :2] == pytest.approx(STANDING)
    assert (second.keypoints[:, :2] < STANDING + 210).all()
    assert (second.keypoints[:, :2] > STANDING + 200).all()
    assert (second.id, second.score, second.keypoints[0, 2]) == (2, 1.0, 0.5)


def test_people_who_are_gone_are_forgotten() -> None:
    smoother = Smoother()
    for frame in range(200):
        smoother.update([at(STANDING, frame)], frame / 25)
    assert len(smoother._states) < 20
