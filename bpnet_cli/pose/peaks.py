"""Peaks: where the heatmaps say that keypoints are, with sub-cell precision."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.geometry import pixel_to_cell


@dataclass(frozen=True, eq=False)
class Peaks:
    """N candidates for keypoints, grouped by keypoint, in each group the highest first.

    keypoint: (N,) index of the keypoint, ascending.
    counts: (K,) number of peaks of each keypoint.
    points: (N,) complex64 x + iy in cells. A complex number is one array instead of two.
    score: (N,) float32 height of the heatmap.
    """

    keypoint: NDArray[np.intp]
    counts: NDArray[np.intp]
    points: NDArray[np.complex64]
    score: NDArray[np.float32]


# Logarithms are taken of values no smaller than this, the floor of rendered targets.
FLOOR = np.float32(1e-3)
# No network answers more than this; squares of larger values could overflow.
_ABSURD = 1e3
# Three equal heights have no top: the largest curvature that counts as one.
STRAIGHT = np.float32(-1e-6)
_HALF = np.float32(0.5)
# The neighbours that come before a cell in reading order, and those that come after it.
_BEFORE = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)
_AFTER = _BEFORE[::-1, ::-1].copy()
# OpenCV refuses more channels than its build allows (128 in version 5).
_MOST_CHANNELS = 64


def find_peaks(heatmaps: NDArray[np.float32], threshold: float, max_peaks: int) -> Peaks:
    """Local maxima above `threshold` of heatmaps (h, w, K + 1), the background last; at most `max_peaks` per keypoint.

    heatmaps: contiguous and sane, see `sane`.
    """
    channels = heatmaps.shape[2]
    cell = np.flatnonzero(_is_peak(heatmaps, threshold))
    keypoint, score = cell % channels, heatmaps.reshape(-1)[cell]
    order = np.lexsort((-score, keypoint))
    counts = np.bincount(keypoint, minlength=channels - 1)
    if counts.max() > max_peaks:
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order, counts = order[rank < max_peaks], np.minimum(counts, max_peaks)
    return Peaks(keypoint[order], counts, _refine(heatmaps, cell[order]), score[order])


def read_peaks(rows: NDArray[np.float32], stride: int, threshold: float, max_peaks: int) -> Peaks:
    """The peaks in `rows` (K, P, 3): x, y in network-input pixels and score, of each keypoint the highest first.

    Rows whose score is not above `threshold` and rows that are not finite are left out.
    """
    rows = rows[:, :max_peaks]
    used = np.isfinite(rows).all(axis=2) & (rows[..., 2] > np.float32(threshold))
    keypoint, _ = np.nonzero(used)
    found = rows[used]
    points = np.ascontiguousarray(pixel_to_cell(found[:, :2], stride), np.float32).view(np.complex64).reshape(-1)
    return Peaks(keypoint, used.sum(axis=1), points, np.minimum(found[:, 2], np.float32(_ABSURD)))


def sane(maps: NDArray[np.floating]) -> NDArray[np.float32]:
    """Contiguous float32 maps; NaN and infinities count as 0 and absurd values are clipped."""
    array: NDArray[np.float32] = np.ascontiguousarray(maps, dtype=np.float32)
    # The norm is a cheap pass that meets every value.
    if cv2.norm(array.reshape(-1), cv2.NORM_L1) <= _ABSURD * array.size:
        return array
    clipped: NDArray[np.float32] = np.nan_to_num(array, nan=0, posinf=0, neginf=0).clip(-_ABSURD, _ABSURD)
    return clipped


def _is_peak(heatmaps: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """(h, w, K + 1) bool: no neighbour is higher, and none before the cell in reading order is as high.

    So a plateau is one peak, at its first cell. The background has no peaks.
    """
    peak: NDArray[np.bool_] = heatmaps > np.float32(threshold)
    peak &= heatmaps >= _highest(heatmaps, _AFTER)
    peak &= heatmaps > _highest(heatmaps, _BEFORE)
    peak[..., -1] = False
    return peak


def _highest(heatmaps: NDArray[np.float32], neighbours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, C) maximum of each cell's neighbours inside the map; neighbours: (3, 3), 1 counts."""
    channels = heatmaps.shape[2]
    if channels <= _MOST_CHANNELS:
        return np.asarray(cv2.dilate(heatmaps, neighbours), np.float32).reshape(heatmaps.shape)
    parts = np.split(heatmaps, range(_MOST_CHANNELS, channels, _MOST_CHANNELS), axis=2)
    return np.concatenate([_highest(np.ascontiguousarray(part), neighbours) for part in parts], axis=2)


def _refine(heatmaps: NDArray[np.float32], cell: NDArray[np.intp]) -> NDArray[np.complex64]:
    """(N,) tops of the Gaussians whose highest cells have the flat indices `cell`; x + iy in cells.

    A Gaussian is a parabola in logarithms, so three cells give its top exactly, along x and y alike. At the map's
    border they lie on the inner side. A top is at most half a cell from the centre of its highest cell.
    """
    height, width, channels = heatmaps.shape
    column_step, row_step = channels, channels * width
    row = cell // row_step
    position = np.array([cell // column_step - row * width, row])
    inward = np.subtract(position == 0, position == [[width - 1], [height - 1]], dtype=np.intp)
    steps = np.array([[[-column_step], [-row_step]], [[0], [0]], [[column_step], [row_step]]])
    three = cell + inward * steps[2] + steps
    before, centre, after = np.log(np.maximum(heatmaps.reshape(-1).take(three, mode="clip"), FLOOR))
    curvature = np.minimum(before - 2 * centre + after, STRAIGHT)
    top = inward + _HALF * (before - after) / curvature
    # A map of one or two cells has no inner side.
    reach = np.array([[0.5 if width > 2 else 0], [0.5 if height > 2 else 0]])
    points = np.empty((len(cell), 2), np.float32)
    points.T[:] = position + np.minimum(np.maximum(top, -reach), reach)
    return points.view(np.complex64).reshape(-1)
