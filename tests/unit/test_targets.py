import numpy as np
import pytest

from bpnet_cli import BODY_18, BpnetError, Skeleton, render_targets
from bpnet_cli.pose.targets import render_target_batch

PAIR = Skeleton("pair", ("a", "b"), (("a", "b"),), (), (0.05, 0.05))


def people(rng: np.random.Generator, count: int, size: int = 128) -> np.ndarray:
    keypoints = rng.uniform(-10, size + 10, (count, 18, 3))
    keypoints[..., 2] = rng.integers(0, 3, (count, 18))
    return keypoints.astype(np.float32)


def render_slowly(keypoints: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The definition, cell by cell."""
    rows, columns = height // 8, width // 8
    heatmaps, pafs = np.zeros((rows, columns, 19)), np.zeros((rows, columns, 38))
    for i in range(rows):
        for j in range(columns):
            cell = np.array([8 * j + 3.5, 8 * i + 3.5])
            for person in keypoints:
                for k in range(18):
                    if person[k, 2] > 0:
                        value = np.exp(-np.sum((cell - person[k, :2]) ** 2) / (2 * 7.0**2))
                        heatmaps[i, j, k] = max(heatmaps[i, j, k], value if value >= 0.001 else 0)
            heatmaps[i, j, 18] = 1 - heatmaps[i, j, :18].max()
            for limb, (a, b) in enumerate(BODY_18.limb_indices):
                vectors = [v for person in keypoints if (v := limb_vector(person[a], person[b], cell)) is not None]
                if vectors:
                    pafs[i, j, 2 * limb : 2 * limb + 2] = np.mean(vectors, axis=0)
    return heatmaps, pafs


def limb_vector(start: np.ndarray, end: np.ndarray, cell: np.ndarray) -> np.ndarray | None:
    if start[2] <= 0 or end[2] <= 0:
        return None
    length = np.linalg.norm(end[:2] - start[:2])
    direction = (end[:2] - start[:2]) / length
    nearest = start[:2] + np.clip((cell - start[:2]) @ direction, 0, length) * direction
    return direction if np.linalg.norm(cell - nearest) <= 8 else None


def test_matches_the_definition_cell_by_cell() -> None:
    keypoints = people(np.random.default_rng(0), 3)
    heatmaps, pafs = render_targets(keypoints, 96, 128)
    expected_heatmaps, expected_pafs = render_slowly(keypoints, 96, 128)
    np.testing.assert_allclose(heatmaps, expected_heatmaps, atol=1e-5)
    np.testing.assert_allclose(pafs, expected_pafs, atol=1e-5)


def test_shapes_types_and_ranges() -> None:
    heatmaps, pafs = render_targets(people(np.random.default_rng(1), 4, 368), 368, 656)
    assert heatmaps.shape == (46, 82, 19)
    assert pafs.shape == (46, 82, 38)
    assert heatmaps.dtype == pafs.dtype == np.float32
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1
    assert np.hypot(pafs[..., 0::2], pafs[..., 1::2]).max() <= 1 + 1e-6


def test_no_people_is_all_background() -> None:
    for nobody in (np.zeros((0, 18, 3)), []):
        heatmaps, pafs = render_targets(nobody, 64, 64)
        assert (heatmaps[..., :-1] == 0).all()
        assert (heatmaps[..., -1] == 1).all()
        assert (pafs == 0).all()


def test_a_point_at_a_cell_centre_lights_that_cell_fully() -> None:
    keypoints = np.zeros((1, 18, 3))
    keypoints[0, 4] = (8 * 5 + 3.5, 8 * 2 + 3.5, 2)
    heatmaps, _ = render_targets(keypoints, 64, 64)
    assert heatmaps[2, 5, 4] == 1
    assert heatmaps[2, 5, -1] == 0
    assert np.unravel_index(heatmaps[..., 4].argmax(), (8, 8)) == (2, 5)


def test_overlapping_limbs_average_and_heatmaps_take_the_maximum() -> None:
    right = [[4, 32, 2], [60, 32, 2]]
    down = [[32, 4, 2], [32, 60, 2]]
    heatmaps, pafs = render_targets(np.array([right, down]), 64, 64, PAIR)
    crossing = pafs[3:5, 3:5]
    np.testing.assert_allclose(crossing, 0.5, atol=1e-6)
    np.testing.assert_allclose(pafs[3:5, 0], [[1, 0], [1, 0]], atol=1e-6)
    alone, _ = render_targets(np.array([right]), 64, 64, PAIR)
    assert (heatmaps[..., :2] >= alone[..., :2]).all()


def test_a_limb_shorter_than_a_cell_still_leaves_a_mark() -> None:
    for x in np.linspace(20, 28, 9):
        _, pafs = render_targets(np.array([[[x, 24, 2], [x + 1, 24, 2]]]), 64, 64, PAIR)
        assert (pafs[..., 0] == 1).any()


def test_order_of_people_changes_nothing() -> None:
    keypoints = people(np.random.default_rng(2), 5)
    for a, b in zip(render_targets(keypoints, 128, 128), render_targets(keypoints[::-1], 128, 128), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_keras_and_numpy_render_the_same(keras_loaded: None) -> None:
    from keras import ops

    keypoints = np.stack([people(np.random.default_rng(i), 3) for i in range(2)])
    arguments = {"stride": 8, "heatmap_sigma_px": 7.0, "paf_half_width_px": 8.0}
    expected = render_target_batch(keypoints, 16, 16, BODY_18.limb_indices, **arguments)
    tensors = render_target_batch(ops.convert_to_tensor(keypoints), 16, 16, BODY_18.limb_indices, **arguments, xp=ops)
    for a, b in zip(expected, tensors, strict=True):
        np.testing.assert_allclose(a, ops.convert_to_numpy(b), atol=1e-5)


@pytest.mark.parametrize(
    ("keypoints", "size", "message"),
    [
        (np.zeros((1, 17, 3)), (64, 64), r"must have shape \(people, 18, 3\), got \(1, 17, 3\)"),
        (np.zeros((18, 3)), (64, 64), r"got \(18, 3\)"),
        (np.zeros((1, 18, 3)), (60, 64), "positive multiples of 8, got 60 x 64"),
    ],
)
def test_refuses_wrong_shapes(keypoints: np.ndarray, size: tuple[int, int], message: str) -> None:
    with pytest.raises(BpnetError, match=message):
        render_targets(keypoints, *size)
