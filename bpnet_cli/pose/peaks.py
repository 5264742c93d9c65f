"""Peaks: the positions of keypoints in the heatmaps, more precise than a cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.geometry import pixel_to_cell


@dataclass(frozen=True, eq=False)
class Peaks:
    """N candidates for keypoints, grouped by keypoint; in each group the highest score comes first.

    keypoint: (N,) index of the keypoint, ascending.
    counts: (K,) number of peaks of each keypoint.
    points: (N,) complex64 x + iy in cells: one complex array instead of two arrays.
    score: (N,) float32 value of the heatmap at the peak.
    """

    keypoint: NDArray[np.intp]
    counts: NDArray[np.intp]
    points: NDArray[np.complex64]
    score: NDArray[np.float32]


# Smaller values are raised to this before a logarithm. Rendered targets have the same floor.
FLOOR = np.float32(1e-3)
# No network outputs larger values. Squares of larger values could overflow.
_ABSURD = 1e3
# A plateau (neighbouring cells of equal height) that touches a higher cell is not a peak. The search for such a touch
# goes this many cells along the plateau, not counting the cell next to the higher one. Exported models with peaks in
# the graph take the same number of steps.
PLATEAU_STEPS = 2
# Three equal heights have no top. A curvature above this (a flatter curve) is replaced by it.
STRAIGHT = np.float32(-1e-6)
_HALF = np.float32(0.5)
_AROUND = np.ones((3, 3), np.uint8)
# Of a cell's eight neighbours, those that come before it in reading order.
_BEFORE = 4
# From this number of scores on, `highest_first` sorts integers.
_MANY = 256
# OpenCV refuses more channels than its build allows (128 in version 5).
_MOST_CHANNELS = 64


def find_peaks(heatmaps: NDArray[np.float32], threshold: float, max_peaks: int) -> Peaks:
    """Local maxima above `threshold`, at most `max_peaks` per keypoint.

    heatmaps: (h, w, K + 1), the background last; contiguous and finite, as `sane` returns them.
    """
    channels = heatmaps.shape[2]
    cell = _peak_cells(heatmaps, threshold)
    keypoint, score = cell % channels, heatmaps.reshape(-1)[cell]
    order = highest_first(score, keypoint)
    counts = np.bincount(keypoint, minlength=channels - 1)
    if max(counts.tolist()) > max_peaks:
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order, counts = order[rank < max_peaks], np.minimum(counts, max_peaks)
    return Peaks(keypoint[order], counts, _refine(heatmaps, cell[order]), score[order])


def read_peaks(rows: NDArray[np.float32], stride: int, threshold: float, max_peaks: int) -> Peaks:
    """The peaks in `rows` (K, P, 3): x, y in network-input pixels and score; for each keypoint the highest score first.

    Only the first `max_peaks` rows of a keypoint are read. Rows whose score is not above `threshold` are left out, and
    so are rows with values that are not finite. stride: input pixels per map cell.
    """
    rows = rows[:, :max_peaks]
    used = np.isfinite(rows).all(axis=2) & (rows[..., 2] > np.float32(threshold))
    keypoint, _ = np.nonzero(used)
    found = rows[used]
    points = np.ascontiguousarray(pixel_to_cell(found[:, :2], stride), np.float32).view(np.complex64).reshape(-1)
    return Peaks(keypoint, used.sum(axis=1), points, np.minimum(found[:, 2], np.float32(_ABSURD)))


def sane(maps: NDArray[np.floating]) -> NDArray[np.float32]:
    """Contiguous float32 maps. NaN and infinities become 0; absurdly large values are clipped to +-`_ABSURD`."""
    array: NDArray[np.float32] = np.ascontiguousarray(maps, dtype=np.float32)
    # The norm is a cheap pass over all values: NaN and infinities show in it.
    if cv2.norm(array.reshape(-1), cv2.NORM_L1) <= _ABSURD * array.size:
        return array
    clipped: NDArray[np.float32] = np.nan_to_num(array, nan=0, posinf=0, neginf=0).clip(-_ABSURD, _ABSURD)
    return clipped


def highest_first(score: NDArray[np.float32], group: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """(N,) indices that sort by group, and within a group by score, the highest first. The sort is stable.

    score: (N,) float32, contiguous. group: (N,) integers >= 0, or None for one group.
    """
    if len(score) < _MANY or score.min() < 0:
        return (-score).argsort(kind="stable") if group is None else np.lexsort((-score, group))
    # The bits of positive floats, read as integers, have the same order as the floats. So group, score and position fit
    # into one integer. Sorting thousands of integers takes a tenth of the time of a stable sort by two keys.
    bits = len(score).bit_length()
    key = ((0 if group is None else group << 32) - score.view(np.int32).astype(np.int64)) << bits
    key += np.arange(len(score))
    key.sort()
    key &= (1 << bits) - 1
    return key


def _peak_cells(heatmaps: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """(N,) flat indices, ascending, of cells that are above `threshold` and have no higher neighbour.

    Neighbouring cells of equal height are a plateau. A plateau is one peak, at its first cell in reading order. It is
    no peak where it touches a higher cell, see `PLATEAU_STEPS`. The background channel has no peaks.
    """
    steps, on_map = _neighbours(*heatmaps.shape)
    peak: NDArray[np.bool_] = heatmaps > np.float32(threshold)
    peak &= heatmaps == _highest_around(heatmaps)
    peak[..., -1] = False
    cell = peak.reshape(-1).nonzero()[0]
    flat = heatmaps.reshape(-1)
    tied = flat.take(cell + steps, mode="clip") == flat[cell]
    if np.count_nonzero(tied):
        tied &= on_map[:, cell // heatmaps.shape[2]]
        cell = cell[~(_leaning(tied, cell, steps, peak.reshape(-1)) | np.logical_or.reduce(tied[:_BEFORE]))]
    return cell


def _leaning(
    tied: NDArray[np.bool_], cell: NDArray[np.intp], steps: NDArray[np.intp], peak: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(N,) bool: True for cells on a plateau that touches a higher cell, see `PLATEAU_STEPS`.

    tied: (8, N) True for neighbours that are on the map and equally high. cell: (N,) flat indices.
    steps: (8, 1) flat index steps to the neighbours.
    peak: flat, True for cells without a higher neighbour. Cells on such a plateau are set to False in-place.
    """
    (on_plateau,) = np.logical_or.reduce(tied).nonzero()
    cells, tied = cell[on_plateau], tied[:, on_plateau]
    neighbours = cells + steps
    leaning = np.zeros(len(cell), np.bool_)
    for _ in range(PLATEAU_STEPS):
        beside = np.logical_or.reduce(tied & ~peak.take(neighbours, mode="clip"))
        peak[cells[beside]] = False
        leaning[on_plateau[beside]] = True
    return leaning


@lru_cache(maxsize=16)
def _neighbours(height: int, width: int, channels: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(8, 1) flat index steps to a cell's neighbours in reading order; (8, h * w) True where they are on the map."""
    down, right = np.array([[-1, -1, -1, 0, 0, 1, 1, 1], [-1, 0, 1, -1, 1, -1, 0, 1]])[..., None]
    row, column = np.divmod(np.arange(height * width), width)
    on_map = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
    return channels * (width * down + right), on_map


def _highest_around(heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, C) maximum of each cell and its neighbours on the map."""
    channels = heatmaps.shape[2]
    if channels <= _MOST_CHANNELS:
        return np.asarray(cv2.dilate(heatmaps, _AROUND), np.float32).reshape(heatmaps.shape)
    parts = np.split(heatmaps, range(_MOST_CHANNELS, channels, _MOST_CHANNELS), axis=2)
    return np.concatenate([_highest_around(np.ascontiguousarray(part)) for part in parts], axis=2)


def _refine(heatmaps: NDArray[np.float32], cell: NDArray[np.intp]) -> NDArray[np.complex64]:
    """(N,) tops of the Gaussians whose highest cells have the flat indices `cell`; x + iy in cells.

    The logarithm of a Gaussian is a parabola, so three cells in a row give its top exactly. This is done along x and
    along y. At the map's border, the highest cell is the first or last of the three. A top is at most half a cell from
    the centre of its highest cell.
    """
    height, width, channels = heatmaps.shape
    steps, last, reach = _grid(height, width, channels)
    position = np.array(np.divmod(cell // channels, width)[::-1])
    inward = np.minimum(np.maximum(position, 1), last) - position
    three = cell + inward * steps[2] + steps
    before, centre, after = np.log(np.maximum(heatmaps.reshape(-1)[three], FLOOR))
    curvature = np.minimum(before - 2 * centre + after, STRAIGHT)
    top = inward + _HALF * (before - after) / curvature
    points = np.empty((len(cell), 2), np.float32)
    points.T[:] = position + np.minimum(np.maximum(top, -reach), reach)
    return points.view(np.complex64).reshape(-1)


@lru_cache(maxsize=16)
def _grid(height: int, width: int, channels: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """What `_refine` needs for maps of this size, for x and y. It is cached because most photos have the same size.

    (3, 2, 1) flat index steps to the cell before, to the cell itself and to the cell after;
    (2, 1) the last position that has a cell after it;
    (2, 1) how far a top may lie from its cell's centre, cells.
    Along an axis of one or two cells no three cells are in a row: there the steps and the distance are 0.
    """
    last = np.array([[max(width - 2, 0)], [max(height - 2, 0)]])
    step = np.where(last > 0, [[channels], [channels * width]], 0)
    return np.array([-step, 0 * step, step]), last, np.where(last > 0, 0.5, 0)
