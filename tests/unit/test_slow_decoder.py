"""The decoder against the same rules written the slow way."""

import math

import numpy as np
import pytest

from bpnet_cli import render_targets
from bpnet_cli.pose.assemble import assemble
from bpnet_cli.pose.decode import DecodeOptions
from bpnet_cli.pose.limbs import find_limbs
from bpnet_cli.pose.peaks import find_peaks, sane
from bpnet_cli.pose.skeleton import BODY_18
from tests.unit.people import FISH, crowd, hostile
from tests.unit.slow_decoder import SlowDecoder
from tests.unit.test_decode import noisy_maps

DEFAULTS = DecodeOptions()


def compare(heatmaps, pafs, skeleton, options=DEFAULTS):
    """The same limbs with the same weights, and the same people; returns how many of each."""
    peaks = find_peaks(sane(heatmaps), options.peak_threshold, options.max_peaks)
    limbs = find_limbs(pafs, peaks, skeleton.limb_indices, options.limb_threshold, options.limb_samples)
    slow = SlowDecoder(pafs, peaks, skeleton.limb_indices)
    wanted = slow.candidates(options.limb_threshold, options.limb_samples)
    found = dict(zip(zip(limbs.start.tolist(), limbs.end.tolist(), strict=True), limbs.weight.tolist(), strict=True))
    # On the threshold of a rule, single precision may decide otherwise.
    assert len(found.keys() ^ wanted.keys()) <= 0.002 * len(wanted)
    both = found.keys() & wanted.keys()
    assert all(found[pair] == pytest.approx(wanted[pair], abs=1e-4) for pair in both)
    diagonal = math.hypot(*pafs.shape[:2])
    groups = assemble(peaks, limbs, skeleton.neighbours, diagonal, options.merge_distance)
    people = slow.people(found, diagonal, options.merge_distance)
    assert {frozenset(group[group >= 0].tolist()) for group in groups} == people
    return len(both), len(people)


def test_noise():
    heatmaps, pafs = (np.ascontiguousarray(maps[4:28, 10:28]) for maps in noisy_maps())
    limbs, people = compare(heatmaps, pafs, BODY_18, DecodeOptions(peak_threshold=0.078))
    assert limbs > 20
    assert people > 10


def test_a_crowd():
    maps = render_targets(crowd(15), 736, 1312)
    assert compare(*maps, BODY_18) == (15 * 19, 15)


@pytest.mark.parametrize(
    "options", [DecodeOptions(), DecodeOptions(limb_samples=3, merge_distance=0, limb_threshold=0.2)]
)
def test_random_maps_of_another_skeleton(options):
    rng = np.random.default_rng(3)
    heatmaps, pafs = (rng.uniform(low, 1, (14, 18, size)).astype(np.float32) for low, size in ((0, 5), (-1, 6)))
    limbs, _ = compare(heatmaps, pafs, FISH, options)
    assert limbs > 50


def test_hostile_maps():
    compare(*hostile("noise", 6, 8), BODY_18)


def test_real_maps(shared_data):
    path = shared_data / "real_maps" / "dev.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with np.load(path) as maps:
        counts = [
            compare(*np.split(maps[name].astype(np.float32), [BODY_18.heatmap_channels], axis=2), BODY_18)
            for name in maps.files[:20]
        ]
    assert sum(limbs for limbs, _ in counts) > 500
