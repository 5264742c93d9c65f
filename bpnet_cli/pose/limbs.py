"""Limb candidates: pairs of peaks that a PAF joins.

PAF vectors are complex numbers like points: the dot product of two is the real part of one conjugate times the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.peaks import Peaks, sane

# Two peaks closer than this many cells leave no mark in the PAF and count as a perfect limb.
_SHORTEST = np.float32(0.125)
# Stands for minus infinity in matrix products, where infinities would meet zeros.
_NEVER = np.float32(-1e9)


@dataclass(frozen=True, eq=False)
class LimbCandidates:
    """M pairs of peaks, best first.

    start, end: (M,) indices of peaks. weight: (M,) float32, 0..1.
    """

    start: NDArray[np.intp]
    end: NDArray[np.intp]
    weight: NDArray[np.float32]


def find_limbs(
    pafs: NDArray[np.floating], peaks: Peaks, limb_indices: NDArray[np.intp], threshold: float, samples: int
) -> LimbCandidates:
    """Pairs of peaks whose weight is above `threshold`, best first.

    The weight is the limb score x the root of the product of the peaks' scores: a limb is as good as its PAF and its
    ends. pafs: (h, w, 2L). limb_indices: (L, 2) keypoints. samples: points along each segment.
    """
    vectors = _vectors(pafs)
    x, y = peaks.points.real.copy(), peaks.points.imag.copy()
    limb, start, end = _aligned_pairs(vectors, x, y, peaks.counts, limb_indices)
    agrees = np.flatnonzero(_middle_agrees(vectors, limb, (x[start], y[start]), (x[end], y[end])))
    limb, start, end = limb[agrees], start[agrees], end[agrees]
    score = _limb_scores(vectors, limb, peaks.points[start], peaks.points[end], samples)
    weight = score * np.sqrt(peaks.score[start] * peaks.score[end])
    order = np.argsort(-weight, kind="stable")[: np.count_nonzero(weight > threshold)]
    return LimbCandidates(start[order], end[order], weight[order])


def _vectors(pafs: NDArray[np.floating]) -> NDArray[np.complex64]:
    """(h, w, L) complex PAFs, at least 2 x 2, without NaN or infinities, which count as 0."""
    array = sane(pafs)
    if min(array.shape[:2]) < 2:
        array = np.pad(array, ((0, 1), (0, 1), (0, 0)), mode="edge")
    return array.view(np.complex64)


def _aligned_pairs(
    vectors: NDArray[np.complex64],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    counts: NDArray[np.intp],
    limb_indices: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """limb, start, end of the pairs of peaks with PAFs at both ends within 60 degrees of the segment, on the average.

    u . (end - start), with u the sum of the two unit vectors, is a sum of products of a term of the start and a term of
    the end. So is the squared length. Two matrix products per limb thus test all pairs: for a hundred people they are
    ten thousand, of which few need be sampled.
    """
    height, width, limbs = vectors.shape
    most = int(counts.max())
    slots = np.arange(most)
    absent = slots >= counts[:, None]
    first = np.cumsum(counts) - counts
    ends = np.where(absent, 0, first[:, None] + slots)[limb_indices]
    unit = vectors.reshape(-1)[(_cells(x, y, height, width) * limbs)[ends] + np.arange(limbs)[:, None, None]]
    unit /= np.maximum(np.abs(unit), _SHORTEST)
    ux, uy = unit.real, unit.imag
    x, y = x[ends], y[ends]
    own = x * ux + y * uy
    own[:, 0] *= -1
    own[absent[limb_indices]] = _NEVER
    square = x * x + y * y
    one = np.ones_like(x)
    along = _products([ux, uy, own, one, -x, -y], [x, y, one, own, ux, uy])
    squared = _products([x, y, square, one], [-2 * x, -2 * y, one, square])
    along *= np.abs(along)
    squared -= _SHORTEST**2
    pair, end = np.divmod(np.flatnonzero(along > squared).astype(np.int32), most)
    limb, start = np.divmod(pair, most)
    first_start, first_end = first[limb_indices].T
    return limb, first_start[limb] + start, first_end[limb] + end


def _products(start: list[NDArray[np.float32]], end: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(L, n, n) sums of start terms x end terms; terms (L, 2, n) hold both ends, row 0 the start."""
    limbs, _, count = start[0].shape
    left = np.empty((limbs, count, len(start)), np.float32)
    right = np.empty((limbs, len(end), count), np.float32)
    for i, (a, b) in enumerate(zip(start, end, strict=True)):
        left[:, :, i] = a[:, 0]
        right[:, i] = b[:, 1]
    products: NDArray[np.float32] = left @ right
    return products


def _cells(x: NDArray[np.float32], y: NDArray[np.float32], height: int, width: int) -> NDArray[np.intp]:
    """Flat index of the map cells nearest to points; outside the map its border counts."""
    column = np.minimum(np.maximum(x + np.float32(0.5), 0), width - 1).astype(np.intp)
    row = np.minimum(np.maximum(y + np.float32(0.5), 0), height - 1).astype(np.intp)
    cells: NDArray[np.intp] = row * width + column
    return cells


def _middle_agrees(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: tuple[NDArray[np.float32], NDArray[np.float32]],
    end: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.bool_]:
    """(M,) bool: the PAF in the cell nearest to the middle points along the segment.

    start, end: x and y, (M,) each. Where they are one point there is nothing to ask.
    """
    height, width, limbs = vectors.shape
    dx, dy = end[0] - start[0], end[1] - start[1]
    half = np.float32(0.5)
    paf = vectors.reshape(-1)[_cells(start[0] + half * dx, start[1] + half * dy, height, width) * limbs + limb]
    agrees: NDArray[np.bool_] = (paf.real * dx + paf.imag * dy > 0) | (dx * dx + dy * dy < _SHORTEST**2)
    return agrees


def _limb_scores(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: NDArray[np.complex64],
    end: NDArray[np.complex64],
    samples: int,
) -> NDArray[np.float32]:
    """(M,) mean of PAF . direction at `samples` points of the segments, both ends included.

    0 where one of the points in the middle half disagrees: a limb has no gap.
    """
    t = np.arange(samples, dtype=np.float32) / np.float32(max(samples - 1, 1))
    vector = end - start
    length = np.abs(vector)
    direction = vector / np.maximum(length, _SHORTEST)
    paf = _sample(vectors, limb, start + t[:, None] * vector)
    along = (paf * direction.conj()).real
    middle = along[samples // 4 : samples - samples // 4]
    score: NDArray[np.float32] = np.where((middle > 0).all(axis=0), along.mean(axis=0), 0)
    score[length < _SHORTEST] = 1
    return score


def _sample(
    vectors: NDArray[np.complex64], limb: NDArray[np.intp], points: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Bilinear PAF vectors (S, M) of limbs (M,) at points (S, M); outside the map its border counts."""
    height, width, limbs = vectors.shape
    x = np.minimum(np.maximum(points.real, 0), width - 1)
    y = np.minimum(np.maximum(points.imag, 0), height - 1)
    column = np.minimum(x.astype(np.intp), width - 2)
    row = np.minimum(y.astype(np.intp), height - 2)
    x -= column
    y -= row
    flat = vectors.reshape(-1)
    corner = (row * width + column) * limbs + limb
    left, right = flat[corner], flat[corner + limbs]
    upper = left + (right - left) * x
    corner += width * limbs
    left, right = flat[corner], flat[corner + limbs]
    lower = left + (right - left) * x
    result: NDArray[np.complex64] = upper + (lower - upper) * y
    return result
