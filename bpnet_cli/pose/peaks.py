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
# The border around the maps is lower than any peak.
_OUTSIDE = -1.0
_AROUND = np.ones((3, 3), np.uint8)
# OpenCV refuses more channels than its build allows (128 in version 5).
_MOST_CHANNELS = 64


def find_peaks(heatmaps: NDArray[np.floating], threshold: float, max_peaks: int) -> Peaks:
    """Local maxima above `threshold` (>= 0) of keypoint heatmaps (h, w, K), at most `max_peaks` per keypoint."""
    channels = heatmaps.shape[2]
    padded = _pad(heatmaps)
    flat = padded.reshape(-1)
    cell = _local_maxima(padded, threshold)
    keypoint, score = cell % channels, flat[cell]
    order = np.lexsort((-score, keypoint))
    counts = np.bincount(keypoint, minlength=channels)
    if counts.max() > max_peaks:
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order, counts = order[rank < max_peaks], np.minimum(counts, max_peaks)
    return Peaks(keypoint[order], counts, _refine(padded, cell[order]), score[order])


def _pad(heatmaps: NDArray[np.floating]) -> NDArray[np.float32]:
    """(h + 2, w + 2, K) float32 with a border and without NaN or infinities, which count as 0."""
    height, width, channels = heatmaps.shape
    padded = np.full((height + 2, width + 2, channels), _OUTSIDE, np.float32)
    padded[1:-1, 1:-1] = heatmaps
    # The norm is a cheap pass that meets every value.
    if not np.isfinite(cv2.norm(padded.reshape(-1), cv2.NORM_L1)):
        np.nan_to_num(padded, copy=False, nan=0, posinf=0, neginf=0)
    return padded


def _local_maxima(padded: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Flat indices of cells no lower than their eight neighbours; of neighbours that tie, the first in reading order."""
    _, width, channels = padded.shape
    parts = [padded] if channels <= _MOST_CHANNELS else np.split(padded, range(_MOST_CHANNELS, channels, _MOST_CHANNELS), 2)
    highest = [cv2.dilate(np.ascontiguousarray(part), _AROUND).reshape(part.shape) for part in parts]
    around = highest[0] if len(highest) == 1 else np.concatenate(highest, axis=2)
    cell = np.flatnonzero((padded >= around) & (padded > threshold))
    flat = padded.reshape(-1)
    before = np.array([[1], [width - 1], [width], [width + 1]]) * channels
    first = flat[cell] > flat[cell - before].max(axis=0)
    return cell[first]


def _refine(padded: NDArray[np.float32], cell: NDArray[np.intp]) -> NDArray[np.complex64]:
    """(N,) tops of the Gaussians whose highest cells have the flat indices `cell`; x + iy in cells without the border.

    A Gaussian is a parabola in logarithms, so three cells give its top exactly, along x and y alike. At the map's
    border they lie on the inner side. A top is at most half a cell from the centre of its highest cell.
    """
    height, width, channels = padded.shape
    position = np.empty((2, len(cell)), np.intp)
    np.divmod(cell // channels, width, out=(position[1], position[0]))
    size = np.array([[width], [height]])
    margin = np.where(size < 5, 1, 2)
    inner = np.minimum(np.maximum(position, margin), size - 1 - margin)
    step = np.array([[channels], [channels * width]])
    middle = cell + (inner - position) * step
    values = padded.reshape(-1)[np.stack([middle - step, middle, middle + step])]
    before, centre, after = np.log(np.maximum(values, _FLOOR))
    curvature = np.minimum(before - 2 * centre + after, np.float32(-1e-6))
    top = inner + 0.5 * (before - after) / curvature
    top = np.minimum(np.maximum(top, position - 0.5), position + 0.5) - 1
    points: NDArray[np.complex64] = (top[0] + 1j * top[1]).astype(np.complex64)
    return points
