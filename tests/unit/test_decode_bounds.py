"""The decoder on hostile maps and in crowds: bounded, and the same people by every way."""

import numpy as np
import pytest

from bpnet_cli.pose import assemble, limbs, pairs, peaks
from bpnet_cli.pose.decode import decode
from bpnet_cli.pose.targets import render_targets
from tests.unit.people import NOWHERE, crowd, hostile, same


@pytest.mark.parametrize("size", [(46, 82), (1, 1), (1, 9), (2, 2), (3, 4)])
@pytest.mark.parametrize("kind", ["zero", "one", "noise", "plateaus", "nan", "all nan", "infinite", "huge"])
@pytest.mark.filterwarnings("error")
def test_hostile_maps_are_survived(kind, size):
    height, width = size
    for person in decode(*hostile(kind, height, width), options=NOWHERE):
        found = person.keypoints[person.found]
        assert len(found) >= 1
        assert np.isfinite(found).all()
        assert np.isfinite(person.score)
        assert found[:, 0].min() >= -0.5
        assert found[:, 0].max() <= 8 * width - 0.5
        assert found[:, 1].max() <= 8 * height - 0.5


def one_direction(height, width):
    """Noisy heatmaps, and PAFs that agree with every pair of peaks to the right of each other."""
    heatmaps, pafs = hostile("noise", height, width)
    pafs[..., 0::2], pafs[..., 1::2] = 1, 0
    return heatmaps, pafs


def test_hostile_maps_sample_a_bounded_number_of_pairs(monkeypatch):
    sampled, joined = [], []
    score, close = limbs._limb_scores, assemble._close_pairs
    monkeypatch.setattr(
        limbs, "_limb_scores", lambda v, limb, *rest: sampled.append(len(limb)) or score(v, limb, *rest)
    )
    monkeypatch.setattr(assemble, "_close_pairs", lambda boxes, *rest: joined.append(len(boxes)) or close(boxes, *rest))
    decode(*one_direction(46, 82))
    assert sampled == [limbs._MOST_PAIRS]
    assert joined == [assemble._MOST_FRAGMENTS]


def test_a_crowd_is_below_the_bounds(monkeypatch):
    maps = render_targets(crowd(100), 736, 1312)
    expected = decode(*maps)
    monkeypatch.setattr(limbs, "_MOST_PAIRS", 10**9)
    monkeypatch.setattr(assemble, "_MOST_FRAGMENTS", 10**9)
    assert same(decode(*maps), expected)


def people_in_a_mess(count):
    """`count` people on a 736 x 1312 input whose keypoints are where nobody has them."""
    rng = np.random.default_rng(count)
    return crowd(count) + np.append(rng.normal(0, 12, (count, 18, 2)), np.zeros((count, 18, 1)), axis=2)


@pytest.mark.parametrize("people", [crowd(37), people_in_a_mess(40)], ids=["crowd", "mess"])
@pytest.mark.parametrize(
    ("module", "name", "other"),
    [
        (assemble, "_MANY_LIMBS", 0),
        (assemble, "_BITS_OF_A_FLOAT", 0),
        (pairs, "_MANY_PEAKS", 10**9),
        (pairs, "_MANY_PEAKS", 0),
        (limbs, "_MANY_PAIRS", 10**9),
        (limbs, "_MANY_PAIRS", 0),
        (pairs, "_BLOCK", 1),
        (pairs, "_FAR", 0),
        (peaks, "_MANY", 10**9),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_shortcuts_change_nothing(monkeypatch, people, module, name, other):
    maps = render_targets(people, 736, 1312)
    expected = decode(*maps)
    assert getattr(module, name) != other
    monkeypatch.setattr(module, name, other)
    assert same(decode(*maps), expected)


@pytest.mark.parametrize("corner", [0, 4000])
def test_in_a_crowd_two_peaks_in_one_place_are_a_limb_wherever_they_are(corner):
    points = np.full((1, 2, 30), corner * (1 + 1j), np.complex64) + np.arange(30, dtype=np.float32)
    units = np.ones((1, 2, 30), np.complex64) * 1j
    marked = np.zeros(points.shape, np.bool_)
    np.testing.assert_array_equal(pairs._foreseen_in_crowd(points, units, marked), 31 * np.arange(30))
    # Half as far from each other: without a mark at either end, neighbours are a limb too.
    near, limbs = pairs._foreseen_in_crowd(points / 2, units, ~marked), np.add.outer(np.arange(30), np.zeros(30, int))
    assert near.tolist() == np.flatnonzero(np.abs(limbs - limbs.T) <= 1).tolist()


def test_indices_in_a_mask_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 8, 9, 1001):
        mask = rng.random(size) < 0.1
        np.testing.assert_array_equal(pairs._flat_indices(mask), np.flatnonzero(mask))
