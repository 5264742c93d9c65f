"""People in a batch: whoever leaves a mark is there, and one crowded photo does not set the size of all batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.padding import pad, people_near, places_for
from bpnet_cli.data.photos import Photo, load_photos
from bpnet_cli.data.pipeline import SampleLoader, make_loader
from bpnet_cli.data.samples import list_samples
from bpnet_cli.pose.targets import reach_px, render_target_batch
from tests.conftest import COCO_NAMES, coco_person, write_coco

SIGMA, HALF_WIDTH = 7.0, 8.0
REACH = reach_px(SIGMA, HALF_WIDTH)
HERE = np.eye(3)[None, :2]


def photo_of(directory: Path, *people: dict[str, tuple[float, float]]) -> Photo:
    """A photo of 400 x 400 pixels with people who have these keypoints."""
    annotations = []
    for i, points in enumerate(people, start=1):
        keypoints = [value for name in COCO_NAMES for value in (*points.get(name, (0, 0)), 2 * (name in points))]
        annotations.append(coco_person(i, keypoints=keypoints, num_keypoints=len(points)))
    (photo,) = load_photos(directory / "images", write_coco(directory, annotations, ((400, 400),)), BODY_18)
    return photo


def targets(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sizes = {"stride": 8, "heatmap_sigma_px": SIGMA, "paf_half_width_px": HALF_WIDTH}
    return render_target_batch(keypoints, 8, 8, BODY_18.limb_indices, **sizes)


def kept(photo: Photo, reach: float = REACH) -> tuple[np.ndarray, int]:
    """Padded people of the upper left 64 x 64 pixels, and how many."""
    people, counts = people_near([photo], HERE, np.array([False]), BODY_18.flip_permutation, (64, 64), reach)
    return pad(people, counts, max(1, len(people))), len(people)


@pytest.mark.parametrize("sigma", [2.0, 7.0, 20.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_reach_is_where_marks_end(sigma: float, axis: int) -> None:
    far = reach_px(sigma, HALF_WIDTH)
    marked = []
    for distance in (far - 0.1, far + 0.1):
        keypoints = np.zeros((1, 1, 18, 3), np.float32)
        # 60 - 0.5 is the centre of the last cell.
        keypoints[0, 0, 0] = [27.5, 27.5, 2]
        keypoints[0, 0, 0, axis] = 59.5 + distance
        heatmaps, _ = render_target_batch(
            keypoints, 8, 8, BODY_18.limb_indices, stride=8, heatmap_sigma_px=sigma, paf_half_width_px=HALF_WIDTH
        )
        marked.append(bool(heatmaps[..., :-1].any()))
    assert marked == [far > HALF_WIDTH, False]


def test_who_is_out_of_reach_is_left_out(tmp_path: Path) -> None:
    near, far = {"nose": (64 + REACH - 1, 30)}, {"nose": (64 + REACH + 1, 30), "left_eye": (300, 300)}
    assert kept(photo_of(tmp_path, near, far, far))[1] == 1
    assert kept(photo_of(tmp_path, far))[1] == 0
    assert kept(photo_of(tmp_path, near, far, far), np.inf)[1] == 3


def test_a_limb_across_the_crop_is_kept_though_both_ends_are_outside(tmp_path: Path) -> None:
    photo = photo_of(tmp_path, {"left_hip": (120, 0), "left_knee": (0, 120)})
    keypoints, count = kept(photo)
    assert count == 1
    heatmaps, pafs = targets(keypoints)
    assert not heatmaps[..., :-1].any()
    assert pafs.any()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> SampleLoader:
    """Crops of 64 x 64 of a photo with forty people and of twenty-three with one to three."""
    rng = np.random.default_rng(0)
    directory = tmp_path_factory.mktemp("crowd")
    annotations: list[dict] = []
    for image_id in range(1, 25):
        for _ in range(40 if image_id == 9 else image_id % 3 + 1):
            x, y, size = *rng.uniform(0, 320, 2), rng.uniform(10, 80)
            points = np.c_[rng.uniform((x, y), (x + size, y + size), (17, 2)), rng.choice([0, 1, 2], 17)]
            box = [x, y, size, size]
            annotations.append(coco_person(len(annotations) + 1, image_id, keypoints=points.ravel().tolist(), bbox=box))
    photos = load_photos(directory / "images", write_coco(directory, annotations, ((400, 400),) * 24), BODY_18)
    samples = list_samples(photos, crop="person", min_keypoints=1, min_area_px=0, min_distance_ratio=0)
    augmentation = Augmentation(crop="person")
    return make_loader(samples, BODY_18, augmentation, height=64, width=64, stride=8, seed=1, reach_px=REACH)


def test_targets_are_those_of_all_people(crowd: SampleLoader) -> None:
    everybody = replace(crowd, reach_px=np.inf)
    places = []
    for start in range(0, 160, 8):
        _, few, *others = crowd.load_batch(8, start)
        _, all_, *same = everybody.load_batch(8, start)
        places.append((few.shape[1], all_.shape[1]))
        for ours, theirs in zip((*targets(few), *others), (*targets(all_), *same), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert crowd.max_people == 40
    assert {most for _, most in places} == {40}
    assert max(least for least, _ in places) < 40


def test_hosts_that_share_a_batch_pad_alike(crowd: SampleLoader) -> None:
    """Each host loads its part alone; a batch begins at a multiple of the step, also where a run goes on."""
    differ = 0
    for start in range(24, 24 + 10 * 8, 8):
        whole = crowd.load_batch(8, start, 8)[1]
        parts = [crowd.load_batch(2, start + offset, 8)[1] for offset in (0, 2, 4, 6)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        differ += len({crowd.load_batch(2, start + offset)[1].shape for offset in (0, 2, 4, 6)}) > 1
    assert differ


def test_few_sizes_are_enough_for_all() -> None:
    sizes = [places_for(people, 50) for people in range(51)]
    assert all(people <= size for people, size in enumerate(sizes))
    assert all(size <= max(1, 1.5 * people) for people, size in enumerate(sizes))
    assert sorted(set(sizes)) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 50]
    assert places_for(5, 5) == 5
