from __future__ import annotations

import numpy as np
import pytest

from bpnet_cli import BODY_18, Predictor, Skeleton, render_targets
from bpnet_cli.inference.predictor import InputSize
from bpnet_cli.pose.averaging import average_maps, resample_maps, unflip_maps
from bpnet_cli.pose.geometry import apply_affine, resize_affine
from tests.unit.test_predictor import PerfectBackend, standing_person


def people(width: int) -> np.ndarray:
    """Two people who differ from their mirror images."""
    keypoints = np.stack([standing_person(60, 10, 100), standing_person(130, 20, 80)])
    keypoints[0, 4, :2] += (-10, -30)
    return keypoints


def mirrored(keypoints: np.ndarray, width: int) -> np.ndarray:
    flipped = keypoints[:, BODY_18.flip_permutation].copy()
    flipped[..., 0] = width - 1 - flipped[..., 0]
    return flipped


def test_maps_of_the_mirrored_people_come_back_as_those_of_the_people() -> None:
    keypoints = people(192)
    for expected, got in zip(
        render_targets(keypoints, 128, 192),
        unflip_maps(*render_targets(mirrored(keypoints, 192), 128, 192), BODY_18),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_unflipping_twice_is_the_identity() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((4, 6, 19), dtype=np.float32), rng.random((4, 6, 38), dtype=np.float32)
    for a, b in zip(maps, unflip_maps(*unflip_maps(*maps, BODY_18), BODY_18), strict=True):
        np.testing.assert_array_equal(a, b)


def test_limbs_that_point_the_other_way_and_limbs_without_a_mirror_image() -> None:
    skeleton = Skeleton(
        "s", ("left", "right", "tip"), (("left", "right"), ("left", "tip")), (("left", "right"),), (0.1, 0.1, 0.1)
    )
    keypoints = np.array([[[20, 30, 2], [50, 40, 2], [90, 20, 2]]], float)
    flipped = keypoints[:, [1, 0, 2]].copy()
    flipped[..., 0] = 127 - flipped[..., 0]
    _, expected = render_targets(keypoints, 64, 128, skeleton)
    _, got = unflip_maps(*render_targets(flipped, 64, 128, skeleton), skeleton)
    np.testing.assert_allclose(got[..., :2], expected[..., :2], atol=1e-5)
    assert np.isnan(got[..., 2:]).all()
    _, mean = average_maps([(expected[..., :1], expected), (expected[..., :1], got)])
    np.testing.assert_allclose(mean, expected, atol=1e-5)


def test_resampling_follows_the_grid() -> None:
    """Maps of a scene rendered twice as large, read back on the small grid, peak where the small ones do."""
    keypoints = people(192)
    heatmaps, _ = render_targets(keypoints, 128, 192)
    large = keypoints.copy()
    matrix = resize_affine(2.0, 2.0)
    large[..., :2] = apply_affine(matrix, keypoints[..., :2])
    large_heatmaps, _ = render_targets(large, 256, 384, heatmap_sigma_px=14.0)
    resampled = resample_maps(large_heatmaps, 16, 24, matrix, 8)
    np.testing.assert_allclose(resampled[..., :18], heatmaps[..., :18], atol=0.03)


@pytest.mark.parametrize(
    ("scales", "flip", "runs"), [((1.0,), True, 2), ((1.0, 0.5), False, 2), ((1.0, 1.5, 0.75), True, 6)]
)
def test_people_are_found_on_averaged_maps(scales: tuple[float, ...], flip: bool, runs: int) -> None:
    photo = np.zeros((300, 400, 3), np.uint8)
    keypoints = np.stack([standing_person(120, 20, 250), standing_person(300, 60, 200)])

    class Flippable(PerfectBackend):
        """Knows a mirrored input by the order of its calls."""

        def maps(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            heatmaps, pafs = super().maps(images)
            if flip and len(self.shapes) % 2 == 0:
                heatmaps, pafs = unflip_maps(heatmaps[0], pafs[0], BODY_18)
                return heatmaps[None], pafs[None]
            return heatmaps, pafs

    backend = Flippable(keypoints, photo)
    predictor = Predictor(backend, InputSize(256, 384), scales=scales, flip=flip)
    found = predictor.predict(photo)
    assert len(backend.shapes) == runs
    assert len(found) == 2
    for person in found:
        expected = min(keypoints, key=lambda p: abs(p[0, 0] - person.keypoints[0, 0]))
        assert np.linalg.norm(person.keypoints[:, :2] - expected[:, :2], axis=1).max() < 2.5
