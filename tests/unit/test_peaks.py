import numpy as np
import pytest

from bpnet_cli.pose import peaks as module


def find_peaks(heatmaps, threshold, max_peaks):
    """Peaks of maps without a background."""
    background = np.ones_like(heatmaps[..., :1])
    return module.find_peaks(np.concatenate([heatmaps, background], axis=2), threshold, max_peaks)


def gaussians(centres, height=20, width=30, sigma=0.875):
    """(h, w, len(centres)) maps with one Gaussian at x, y (cells) each."""
    y, x = np.mgrid[:height, :width]
    maps = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres]
    return np.stack(maps, axis=-1).astype(np.float32)


def slow_peaks(heatmaps, threshold):
    """The obvious way: every cell, every neighbour; of neighbours that tie, the first in reading order.

    None where a higher cell is beside it, beside an equal neighbour, or beside an equal neighbour of that.
    """
    height, width, channels = heatmaps.shape

    def around(y, x):
        cells = [(v, u) for v in (y - 1, y, y + 1) for u in (x - 1, x, x + 1) if (v, u) != (y, x)]
        return [(v, u) for v, u in cells if 0 <= v < height and 0 <= u < width]

    def leans(y, x, k, steps):
        heights = {cell: heatmaps[(*cell, k)] for cell in around(y, x)}
        if max(heights.values()) > heatmaps[y, x, k]:
            return True
        equal = [cell for cell, height in heights.items() if height == heatmaps[y, x, k]]
        return steps > 0 and any(leans(*cell, k, steps - 1) for cell in equal)

    found = set()
    for y, x, k in np.ndindex(height, width, channels):
        value = heatmaps[y, x, k]
        first = all(heatmaps[(*cell, k)] != value for cell in around(y, x) if cell < (y, x))
        if value > threshold and first and not leans(y, x, k, module.PLATEAU_STEPS):
            found.add((k, x, y, float(value)))
    return found


@pytest.mark.parametrize("size", [(12, 17), (1, 40), (40, 1), (2, 30), (30, 2)])
@pytest.mark.parametrize("levels", [4, 256])
def test_finds_the_same_peaks_as_the_slow_oracle(levels, size):
    heatmaps = np.random.default_rng(0).integers(0, levels, (*size, 3)).astype(np.float32) / levels
    peaks = find_peaks(heatmaps, 0.3, 1000)
    found = slow_peaks(heatmaps, 0.3)
    assert len(peaks.score) == len(found)
    for keypoint, point, score in zip(peaks.keypoint, peaks.points, peaks.score, strict=True):
        near = [f for f in found if f[0] == keypoint and f[3] == score and abs(f[1] - point.real) <= 0.5]
        assert any(abs(f[2] - point.imag) <= 0.5 for f in near)


def test_a_gaussian_is_located_exactly_also_at_the_border():
    centres = [(5.0, 7.0), (5.3, 7.45), (10.5, 3.5), (-0.45, 4.2), (29.4, 19.4), (0, 0), (12.2, -0.4)]
    peaks = find_peaks(gaussians(centres), 0.1, 10)
    np.testing.assert_array_equal(peaks.keypoint, range(len(centres)))
    np.testing.assert_allclose(np.column_stack([peaks.points.real, peaks.points.imag]), centres, atol=1e-3)


def test_peaks_are_grouped_by_keypoint_and_the_highest_come_first():
    one = gaussians([(4, 4)])
    heatmaps = np.concatenate([0.4 * one + np.roll(one, 12, axis=1), np.roll(one, 9, axis=0)], axis=2)
    peaks = find_peaks(heatmaps, 0.1, 10)
    np.testing.assert_array_equal(peaks.keypoint, [0, 0, 1])
    np.testing.assert_array_equal(peaks.counts, [2, 1])
    np.testing.assert_allclose(peaks.score, [1, 0.4, 1], rtol=1e-3)


@pytest.mark.parametrize("least", [0, -8])
@pytest.mark.parametrize("count", [0, 1, 100, 1000])
def test_equal_scores_keep_their_order(count, least):
    rng = np.random.default_rng(2)
    score, group = rng.integers(least, 8, count).astype(np.float32), rng.integers(0, 200, count)
    np.testing.assert_array_equal(module.highest_first(score), np.lexsort((-score,)))
    np.testing.assert_array_equal(module.highest_first(score, group), np.lexsort((-score, group)))


def test_only_the_highest_peaks_are_kept():
    heatmaps = np.random.default_rng(1).random((40, 40, 2), np.float32)
    everything, best = find_peaks(heatmaps, 0.1, 10_000), find_peaks(heatmaps, 0.1, 7)
    np.testing.assert_array_equal(best.counts, [7, 7])
    for k in range(2):
        np.testing.assert_array_equal(best.score[best.keypoint == k], everything.score[everything.keypoint == k][:7])


def test_a_plateau_is_one_peak():
    heatmaps = np.zeros((9, 9, 1), np.float32)
    heatmaps[3:5, 4:6] = 0.5
    peaks = find_peaks(heatmaps, 0.1, 10)
    np.testing.assert_allclose(peaks.points, [4.5 + 3.5j])


@pytest.mark.parametrize("row", [[4, 4, 5], [5, 4, 4], [4, 4, 4, 5], [5, 4, 4, 4], [1, 4, 4, 5, 4, 4, 1]])
def test_a_plateau_that_leans_on_a_higher_cell_is_no_peak(row):
    heatmaps = np.array(row, np.float32)[None, :, None] / 8
    for maps in (heatmaps, heatmaps.transpose(1, 0, 2)):
        peaks = find_peaks(np.ascontiguousarray(maps), 0.1, 10)
        np.testing.assert_array_equal(peaks.score, [0.625])


def test_the_threshold_is_a_smallest_height():
    heatmaps = 0.5 * gaussians([(5, 5)])
    assert len(find_peaks(heatmaps, 0.49, 10).score) == 1
    assert len(find_peaks(heatmaps, 0.51, 10).score) == 0


def test_more_keypoints_than_opencv_has_channels():
    centres = [(5 + 0.1 * (k % 100), 5) for k in range(200)]
    peaks = find_peaks(gaussians(centres), 0.1, 10)
    np.testing.assert_allclose(peaks.points.real, [x for x, _ in centres], atol=1e-3)
