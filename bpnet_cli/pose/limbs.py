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
# The PAFs at a pair's ends may foresee this many cells less than its length.
_SHORTFALL = np.float32(5)
# Only so many pairs, those that agree best with the PAFs, are sampled; bounds the time on noisy maps.
_MOST_PAIRS = 16384
# Slots without a peak are this far away: starts on one side of the map, ends on the other.
_FAR = np.array([[-1e6], [1e6]], np.complex64)
# Pairs are compared in blocks of about so many; larger ones leave the processor's cache.
_BLOCK = 32768
_HALF = np.float32(0.5)
# Where along a segment the nearest PAF must point along it at all, or it is no candidate. Halfway between 8 samples:
# in a row of people, samples a person apart would all hit the same limb of different people.
_CHECKED = np.array([[2.5 / 7], [4.5 / 7]], np.float32)
_CENTRE = np.complex64(0.5 + 0.5j)


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
    inside = _inside(peaks.points, vectors)
    limb, start, end = _aligned_pairs(vectors, inside, peaks.counts, limb_indices)
    agrees = _plausible(vectors, limb, inside[start], inside[end])
    limb, start, end = limb[agrees], start[agrees], end[agrees]
    vector = peaks.points[end] - peaks.points[start]
    score = _limb_scores(vectors, limb, (inside[start], inside[end]), vector, samples)
    weight = score * np.sqrt(peaks.score[start] * peaks.score[end])
    order = np.argsort(-weight, kind="stable")[: np.count_nonzero(weight > threshold)]
    return LimbCandidates(start[order], end[order], weight[order])


def _vectors(pafs: NDArray[np.floating]) -> NDArray[np.complex64]:
    """(h, w, L) complex PAFs, at least 2 x 2, without NaN or infinities, which count as 0."""
    array = sane(pafs)
    if min(array.shape[:2]) < 2:
        array = np.pad(array, ((0, 1), (0, 1), (0, 0)), mode="edge")
    return array.view(np.complex64)


def _inside(points: NDArray[np.complex64], vectors: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """(N,) points moved onto the map (h, w, L): outside it, its border counts.

    The last cells' centres are just missed, so that each point has cells to its right and below it.
    """
    height, width, _ = vectors.shape
    last = np.array([width - 1.001, height - 1.001], np.float32)
    inside = np.minimum(np.maximum(points.view(np.float32).reshape(-1, 2), 0), last)
    return inside.view(np.complex64).reshape(-1)


def _aligned_pairs(
    vectors: NDArray[np.complex64],
    points: NDArray[np.complex64],
    counts: NDArray[np.intp],
    limb_indices: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """limb, start, end of the pairs of peaks that the PAFs at both ends foresee, see `_foreseen`."""
    limbs, most = len(limb_indices), int(counts.max())
    slots = np.arange(most)
    first = np.cumsum(counts) - counts
    peak = (first[:, None] + slots)[limb_indices]
    absent = (slots >= counts[:, None])[limb_indices]
    at = points.take(peak, mode="clip")
    unit = _nearest(vectors, np.arange(limbs)[:, None, None], at)
    unit *= np.where(absent, 0, 1 / np.maximum(np.abs(unit), _SHORTEST))
    at = np.where(absent, _FAR, at)
    terms = np.array([at.real, at.imag, unit.real, unit.imag])
    size = max(most**2, 1)
    step = max(_BLOCK // size, 1)
    work = np.empty((4, min(step, limbs), most, most), np.float32)
    found = [
        np.flatnonzero(_foreseen(terms[:, i : i + step], work[:, : limbs - i])) + i * size
        for i in range(0, limbs, step)
    ]
    pair = np.concatenate(found or [slots[:0]])
    limb, start = pair // size, pair // max(most, 1)
    end = pair - start * most
    start -= limb * most
    return limb, start + first[limb_indices[:, 0]][limb], end + first[limb_indices[:, 1]][limb]


def _foreseen(terms: NDArray[np.float32], work: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(L, n, n) bool: start i and end j may be joined, by the unit vectors of the PAFs at both.

    The unit vectors' mean . (end - start) is the length that the PAFs foresee. It must be more than half of the length
    (they are within 60 degrees of the segment, on the average), and of a long segment more than the length less
    `_SHORTFALL`. For a hundred people this tests ten thousand pairs per limb, of which few need be sampled.
    terms: (4, L, 2, n) x, y and the unit vectors' x, y; row 0 of axis 2 the starts. work: (4, L, n, n) to compute in,
    as new memory costs more time than the sums.
    """
    x, y, ux, uy = terms
    dx, dy, longest, spare = work
    np.subtract(x[:, 1, None, :], x[:, 0, :, None], out=dx)
    np.subtract(y[:, 1, None, :], y[:, 0, :, None], out=dy)
    np.add(ux[:, 1, None, :], ux[:, 0, :, None], out=longest)
    np.add(uy[:, 1, None, :], uy[:, 0, :, None], out=spare)
    longest *= dx
    spare *= dy
    longest += spare
    np.multiply(longest, _HALF, out=spare)
    spare += _SHORTFALL
    np.minimum(longest, spare, out=longest)
    dx *= dx
    dy *= dy
    dx += dy
    dx -= _SHORTEST**2
    longest *= np.abs(longest, out=spare)
    foreseen: NDArray[np.bool_] = longest > dx
    return foreseen


def _nearest(
    vectors: NDArray[np.complex64], limb: NDArray[np.intp], points: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """PAF vectors of limbs at the cells nearest to points inside the map."""
    _, width, limbs = vectors.shape
    corner = points + _CENTRE
    cell = corner.imag.astype(np.intp) * width + corner.real.astype(np.intp)
    nearest: NDArray[np.complex64] = vectors.reshape(-1)[cell * limbs + limb]
    return nearest


def _plausible(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: NDArray[np.complex64],
    end: NDArray[np.complex64],
) -> NDArray[np.intp]:
    """Indices of the segments (M,) that the PAFs in the cells nearest to two of their points agree with.

    Where start and end are one point there is nothing to ask. At most `_MOST_PAIRS`.
    """
    vector = end - start
    along = (_nearest(vectors, limb, start + _CHECKED * vector) * vector.conj()).real.min(axis=0)
    length = np.abs(vector)
    agrees = np.flatnonzero((along > 0) | (length < _SHORTEST))
    if len(agrees) > _MOST_PAIRS:
        agreement = along[agrees] / np.maximum(length[agrees], _SHORTEST)
        agrees = agrees[np.sort(np.argpartition(-agreement, _MOST_PAIRS)[:_MOST_PAIRS])]
    return agrees


def _limb_scores(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    ends: tuple[NDArray[np.complex64], NDArray[np.complex64]],
    vector: NDArray[np.complex64],
    samples: int,
) -> NDArray[np.float32]:
    """(M,) mean of PAF . direction at `samples` points of the segments, both ends included.

    0 where one of the points in the middle half disagrees: a limb has no gap.
    ends: start and end, (M,) each, inside the map. vector: (M,) end - start before they were moved there.
    """
    t = (np.arange(samples, dtype=np.float32) / np.float32(max(samples - 1, 1)))[:, None]
    length = np.abs(vector)
    direction = vector / np.maximum(length, _SHORTEST)
    paf = _sample(vectors, limb, ends[0] + t * (ends[1] - ends[0]))
    along = (paf * direction.conj()).real
    middle = along[samples // 4 : samples - samples // 4]
    score: NDArray[np.float32] = np.where(middle.min(axis=0) > 0, along.sum(axis=0) / np.float32(samples), 0)
    score[length < _SHORTEST] = 1
    return score


def _sample(
    vectors: NDArray[np.complex64], limb: NDArray[np.intp], points: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Bilinear PAF vectors (S, M) of limbs (M,) at points (S, M) inside the map."""
    _, width, limbs = vectors.shape
    column, row = points.real.astype(np.intp), points.imag.astype(np.intp)
    x = np.subtract(points.real, column, dtype=np.float32)
    y = np.subtract(points.imag, row, dtype=np.float32)
    flat = vectors.reshape(-1)
    corner = (row * width + column) * limbs + limb
    left, right = flat[corner], flat[corner + limbs]
    upper = left + (right - left) * x
    corner += width * limbs
    left, right = flat[corner], flat[corner + limbs]
    lower = left + (right - left) * x
    result: NDArray[np.complex64] = upper + (lower - upper) * y
    return result
