import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.decode import DecodeOptions, decode
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.pose.targets import render_targets
from tests.unit.people import FISH, SWIMMING, assert_same_people, crowd, people_at, same

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TWO = people_at((150, 120, 1.0), (400.3, 180.7, 1.7))


class TestPeopleComeBack:
    def test_separate_people(self):
        assert_same_people(decode(*render_targets(TWO, 368, 656)), TWO)

    @pytest.mark.parametrize("shift", [(0, 0), (1, 3), (2.5, 6.5), (-40, 0), (0, 50)])
    def test_shifted_people(self, shift):
        people = TWO + np.array([*shift, 0], np.float32)
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_keypoints_on_the_border(self):
        people = people_at((23, 60, 1.0), (655 - 23, 367 - 60, 1.0))
        assert people[..., :2].min() == 0
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_a_crowd(self):
        people = crowd(100)
        assert_same_people(decode(*render_targets(people, 736, 1312)), people)

    def test_a_person_smaller_than_two_cells_between_its_eyes(self):
        people = people_at((150, 120, 0.6))
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_keypoints_in_one_spot_are_one_person(self):
        people = people_at((150, 120, 1.0))
        people[0, [14, 15], :2] = people[0, 0, :2]
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_a_person_without_its_middle_keypoint(self):
        people = TWO.copy()
        people[0, 1] = 0
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_fragments_that_no_limb_joins(self):
        people = TWO.copy()
        people[0, [1, 3, 6]] = 0
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_people_whose_limbs_cross(self):
        people = people_at((200, 150, 1.5), (245, 165, 1.5))
        assert_same_people(decode(*render_targets(people, 368, 656)), people)

    def test_another_skeleton_and_stride(self):
        people = people_at((60, 60, 1.0), (160, 90, 1.3), shape=SWIMMING)
        maps = render_targets(people, 160, 240, skeleton=FISH, stride=4)
        assert_same_people(decode(*maps, skeleton=FISH, stride=4), people)

    @pytest.mark.parametrize("count", [2, 40])
    def test_a_skeleton_without_limbs(self, count):
        dot = Skeleton("dot", ("point",), (), (), (0.05,))
        places = [(40 + 30 * (i % 10), 30 + 40 * (i // 10), 1.0) for i in range(count)]
        people = people_at(*places, shape=np.zeros((1, 2), np.float32))
        assert_same_people(decode(*render_targets(people, 240, 400, skeleton=dot), skeleton=dot), people)

    def test_order_of_people_changes_nothing(self):
        people = crowd(20)
        shuffled = people[np.random.default_rng(0).permutation(20)]
        assert same(decode(*render_targets(people, 736, 1312)), decode(*render_targets(shuffled, 736, 1312)))

    def test_memory_order_and_type_of_the_maps_change_nothing(self):
        maps = [np.ascontiguousarray(m) for m in render_targets(TWO, 368, 656)]
        expected = decode(*maps)
        assert same(decode(*[np.asfortranarray(m) for m in maps]), expected)
        assert same(decode(*[m.astype(np.float64) for m in maps]), expected)


def test_absent_keypoints_are_nan_and_scores_are_peak_heights():
    people = TWO[:1].copy()
    people[0, 4] = 0
    heatmaps, pafs = render_targets(people, 368, 656)
    (person,) = decode(heatmaps, pafs)
    assert np.isnan(person.keypoints[4]).all()
    assert person.keypoints.dtype == np.float32
    np.testing.assert_array_equal(person.keypoints[person.found, 2], heatmaps.max(axis=(0, 1))[:-1][person.found])


def test_best_person_first():
    heatmaps, pafs = render_targets(TWO, 368, 656)
    heatmaps[:, :40] *= 0.6
    found = decode(heatmaps, pafs)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert found[0].box[0] > found[1].box[0]


def noisy_maps():
    """Two people, one in pieces, one faint, among noise; every option has something to decide."""
    people = people_at((150, 120, 1.0), (250, 140, 1.1), (400, 180, 1.7), (545, 180, 1.5))
    people[0, [1, 3, 6]] = 0
    people[3, 4:] = 0
    heatmaps, pafs = render_targets(people, 368, 656)
    rng = np.random.default_rng(5)
    heatmaps[:, 40:60] *= 0.2
    heatmaps = heatmaps + rng.uniform(0, 0.08, heatmaps.shape).astype(np.float32)
    return heatmaps, pafs * 0.6 + rng.normal(0, 0.15, pafs.shape).astype(np.float32)


@pytest.mark.parametrize(
    "change",
    [
        {"peak_threshold": 0.3},
        {"max_peaks": 2},
        {"limb_samples": 3},
        {"limb_threshold": 0.3},
        {"merge_distance": 0.0},
        {"person_threshold": 4.0},
        {"min_keypoints": 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_changes_the_people(change):
    maps = noisy_maps()
    assert set(change) <= set(DecodeOptions.__dataclass_fields__)
    assert not same(decode(*maps), decode(*maps, options=replace(DecodeOptions(), **change)))


def test_every_option_is_tested():
    changed = {name for mark in test_every_option_changes_the_people.pytestmark for row in mark.args[1] for name in row}
    assert changed == set(DecodeOptions.__dataclass_fields__)


def test_values_that_are_not_finite_count_as_zero():
    heatmaps, pafs = render_targets(TWO, 368, 656)
    far = (heatmaps[..., :-1].max(axis=2) == 0) & (np.abs(pafs).max(axis=2) == 0)
    broken = np.where(far[..., None], np.nan, heatmaps), np.where(far[..., None], np.inf, pafs)
    assert same(decode(*broken), decode(heatmaps, pafs))


def test_no_people():
    assert decode(*render_targets([], 368, 656)) == []


@pytest.mark.parametrize(
    ("heatmaps", "pafs", "message"),
    [
        ((46, 82, 18), (46, 82, 38), r"heatmaps must have shape \(height, width, 19\) .*body_18, got \(46, 82, 18\)"),
        ((46, 82, 19), (46, 82, 36), r"pafs must have shape \(height, width, 38\) .*body_18, got \(46, 82, 36\)"),
        ((46, 19), (46, 82, 38), r"got \(46, 19\)"),
        ((0, 82, 19), (0, 82, 38), r"got \(0, 82, 19\)"),
        ((46, 82, 19), (92, 164, 38), r"same height and width, got \(46, 82\) and \(92, 164\)"),
    ],
)
def test_wrong_shapes_are_told(heatmaps, pafs, message):
    with pytest.raises(BpnetError, match=message):
        decode(np.zeros(heatmaps), np.zeros(pafs))


def test_real_maps_find_most_labelled_keypoints():
    path = SHARED / "real_maps" / "dev.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    labels = json.loads((SHARED / "coco-dev" / "annotations" / "person_keypoints.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in labels["images"]}
    nose = BODY_18.keypoints.index("nose")
    hits = total = 0
    with np.load(path) as maps:
        for name in maps.files[:40]:
            heatmaps, pafs = np.split(maps[name], [BODY_18.heatmap_channels], axis=2)
            found = np.array([p.keypoints[nose, :2] for p in decode(heatmaps, pafs)]).reshape(-1, 2)
            height, width = sizes[int(name)]
            scale = np.array([8 * heatmaps.shape[1] / width, 8 * heatmaps.shape[0] / height])
            for label in labels["annotations"]:
                if label["image_id"] == int(name) and label["keypoints"][2] > 0 and label["area"] > 2000:
                    distance = np.hypot(*(found - np.array(label["keypoints"][:2]) * scale).T)
                    hits, total = hits + (distance < 12).any(), total + 1
    assert total > 20
    assert hits > 0.9 * total
