"""Peaks: where the heatmaps say that keypoints are, with sub-cell precision."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


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
_FLOOR = np.float32(1e-3)
# No network answers more than this; squares of larger values could overflow.
_ABSURD = 1e3
_AROUND = np.ones((3, 3), np.uint8)
# OpenCV refuses more channels than its build allows (128 in version 5).
_MOST_CHANNELS = 64


def find_peaks(heatmaps: NDArray[np.float32], threshold: float, max_peaks: int) -> Peaks:
    """Local maxima above `threshold` of heatmaps (h, w, K + 1), the background last; at most `max_peaks` per keypoint.

    heatmaps: contiguous and sane, see `sane`.
    """
    channels = heatmaps.shape[2]
    flat = heatmaps.reshape(-1)
    cell = np.flatnonzero((heatmaps >= _highest_around(heatmaps)) & (heatmaps > threshold))
    cell = cell[~_ties_with_earlier(heatmaps, cell)]
    keypoint, score = cell % channels, flat[cell]
    order = np.lexsort((-score, keypoint))
    counts = np.bincount(keypoint, minlength=channels - 1)
    if counts.max() > max_peaks:
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order, counts = order[rank < max_peaks], np.minimum(counts, max_peaks)
    return Peaks(keypoint[order], counts, _refine(heatmaps, cell[order]), score[order])


def sane(maps: NDArray[np.floating]) -> NDArray[np.float32]:
    """Contiguous float32 maps; NaN and infinities count as 0 and absurd values are clipped."""
    array: NDArray[np.float32] = np.ascontiguousarray(maps, dtype=np.float32)
    # The norm is a cheap pass that meets every value.
    if cv2.norm(array.reshape(-1), cv2.NORM_L1) <= _ABSURD * array.size:
        return array
    clipped: NDArray[np.float32] = np.nan_to_num(array, nan=0, posinf=0, neginf=0).clip(-_ABSURD, _ABSURD)
    return clipped


def _highest_around(heatmaps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, K + 1) maximum of each cell and its neighbours; infinite for the background, which has no peaks."""
    channels = heatmaps.shape[2]
    highest: NDArray[np.float32]
    if channels <= _MOST_CHANNELS:
        highest = np.asarray(cv2.dilate(heatmaps, _AROUND), np.float32).reshape(heatmaps.shape)
    else:
        parts = np.split(heatmaps, range(_MOST_CHANNELS, channels, _MOST_CHANNELS), axis=2)
        dilated = [cv2.dilate(np.ascontiguousarray(part), _AROUND).reshape(part.shape) for part in parts]
        highest = np.concatenate(dilated, axis=2)
    highest[..., -1] = np.inf
    return highest


def _ties_with_earlier(heatmaps: NDArray[np.float32], cell: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(N,) bool: a neighbour before the cell in reading order is as high. A plateau is one peak, at its first cell."""
    _, width, channels = heatmaps.shape
    row, column = np.divmod(cell // channels, width)
    row, column = row + np.array([[-1], [-1], [-1], [0]]), column + np.array([[-1], [0], [1], [-1]])
    inside = (row >= 0) & (column >= 0) & (column < width)
    flat = heatmaps.reshape(-1)
    earlier = cell + np.array([[-width - 1], [-width], [1 - width], [-1]]) * channels
    ties: NDArray[np.bool_] = ((flat.take(earlier, mode="clip") == flat[cell]) & inside).any(axis=0)
    return ties


def _refine(heatmaps: NDArray[np.float32], cell: NDArray[np.intp]) -> NDArray[np.complex64]:
    """(N,) tops of the Gaussians whose highest cells have the flat indices `cell`; x + iy in cells.

    A Gaussian is a parabola in logarithms, so three cells give its top exactly, along x and y alike. At the map's
    border they lie on the inner side. A top is at most half a cell from the centre of its highest cell.
    """
    height, width, channels = heatmaps.shape
    position = np.empty((2, len(cell)), np.intp)
    np.divmod(cell // channels, width, out=(position[1], position[0]))
    last = np.array([[width - 1], [height - 1]])
    inner = np.maximum(np.minimum(position, last - 1), 1)
    step = np.array([[channels], [channels * width]])
    middle = np.minimum(cell + (inner - position) * step, heatmaps.size - 1)
    flat = heatmaps.reshape(-1)
    neighbours = np.stack([middle - step, middle, middle + step])
    before, centre, after = np.log(np.maximum(flat.take(neighbours, mode="clip"), _FLOOR))
    curvature = np.minimum(before - 2 * centre + after, np.float32(-1e-6))
    top = inner + 0.5 * (before - after) / curvature
    top = np.minimum(np.maximum(top, position - 0.5), position + 0.5)
    top[last[:, 0] < 2] = position[last[:, 0] < 2]
    points: NDArray[np.complex64] = (top[0] + 1j * top[1]).astype(np.complex64)
    return points
