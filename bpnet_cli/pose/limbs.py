"""Limb candidates: pairs of peaks that a PAF joins.

PAF vectors are complex numbers like points: the dot product of two is the real part of one conjugate times the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.peaks import Peaks, highest_first, sane

# Two peaks closer than this many cells leave no mark in the PAF and count as a perfect limb.
_SHORTEST = np.float32(0.125)
# The PAFs at a pair's ends may foresee this many cells less than its length.
_SHORTFALL = np.float32(5)
# Only so many pairs, those that agree best with the PAFs, are sampled; bounds the time on noisy maps.
_MOST_PAIRS = 16384
# Where slots without a peak are; nothing compares with it.
_NOWHERE = np.complex64(complex(np.nan, np.nan))
# Pairs are compared in blocks of about so many; larger ones would leave the processor's cache.
_BLOCK = 131072
# From so many peaks of one keypoint on, see `_foreseen`.
_MANY_PEAKS = 24
_FAR_AWAY = np.float32(1e9)
# Farther than this many cells from the origin, squares of single precision can't tell `_SHORTEST` from nothing.
_FAR = 256
_HALF = np.float32(0.5)
# From so many pairs on, most are sorted out by a cheaper look before they are sampled, at hardly any loss.
_MANY_PAIRS = 2048
_CENTRE = np.complex64(0.5 + 0.5j)


def _bilinear_forms() -> NDArray[np.float32]:
    """(2, 1, 8, 8) matrices that take what is known of a start s and an end e to two numbers of `_foreseen_in_crowd`.

    Known are x, y, ux, uy, u . p, p . p, 1 (and another 1); wanted the mean of us and ue . (e - s), and (e - s) .
    (e - s) less `_SHORTEST` squared.
    """
    forms = np.zeros((2, 1, 8, 8), np.float32)
    foreseen, squared = forms[:, 0]
    x, y, ux, uy, along, square, one = range(7)
    foreseen[[ux, uy, one], [x, y, along]] = 0.5
    foreseen[[x, y, along], [ux, uy, one]] = -0.5
    squared[[x, y], [x, y]] = -2
    squared[[square, one], [one, square]] = 1
    squared[one, one] = -(_SHORTEST**2)
    return forms


_FORMS = _bilinear_forms()


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
    shares = _shares(samples)
    limb, start, end = _aligned_pairs(vectors, inside, peaks.counts, limb_indices)
    if len(limb) > _MANY_PAIRS:
        for share in shares[[samples // 4, -1 - samples // 4]]:
            agrees = _agreeing(vectors, limb, inside[start], inside[end], share)
            limb, start, end = limb[agrees], start[agrees], end[agrees]
    vector = peaks.points[end] - peaks.points[start]
    score = _limb_scores(vectors, limb, (inside[start], inside[end]), vector, shares)
    weight = score * np.sqrt(peaks.score[start] * peaks.score[end])
    kept = (weight > threshold).nonzero()[0]
    order = kept[highest_first(weight[kept])]
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
    limbs, most, absent = len(limb_indices), max(*counts.tolist(), 1), len(points)
    slots = np.arange(most)
    first = counts.cumsum() - counts
    peak = np.where(slots < counts[:, None], first[:, None] + slots, absent).take(limb_indices, axis=0)
    at = np.full(absent + 1, _NOWHERE)
    at[:-1] = points
    cell = np.zeros(absent + 1, np.intp)
    cell[:-1] = _nearest_cell(points, vectors)
    unit = vectors.reshape(-1)[cell[peak] + np.arange(limbs)[:, None, None]]
    unit *= 1 / np.maximum(np.abs(unit), _SHORTEST)
    place = _foreseen(at[peak], unit)
    start = place // most
    limb = start // most
    end = place - (start - limb) * most
    starts, ends = peak[:, 0].reshape(-1), peak[:, 1].reshape(-1)
    return limb, starts[start], ends[end]


def _foreseen(points: NDArray[np.complex64], units: NDArray[np.complex64]) -> NDArray[np.intp]:
    """Flat indices into (L, n, n) of the starts and ends that may be joined, by the PAFs' unit vectors at both.

    The unit vectors' mean . (end - start) is the length that the PAFs foresee. It must be more than half of the length
    (they are within 60 degrees of the segment, on the average), and of a long segment more than the length less
    `_SHORTFALL`. Of squares, `_SHORTEST` is taken off: two peaks in one place may be joined whatever the PAFs say.
    points, units: (L, 2, n), the starts and the ends.
    """
    if points.size and points.shape[2] > _MANY_PEAKS:
        return _foreseen_in_crowd(points, units)
    vector = points[:, 1, None, :] - points[:, 0, :, None]
    unit = units[:, 1, None, :] + units[:, 0, :, None]
    foreseen = _HALF * (unit.conj() * vector).real
    longest = np.minimum(foreseen, _SHORTFALL) + foreseen
    length = np.abs(vector)
    joined = longest * np.abs(longest) > length * length - _SHORTEST**2
    place: NDArray[np.intp] = joined.reshape(-1).nonzero()[0]
    return place


def _foreseen_in_crowd(points: NDArray[np.complex64], units: NDArray[np.complex64]) -> NDArray[np.intp]:
    """`_foreseen` by products of matrices: for a hundred people, ten thousand pairs per limb in a third of the time."""
    limbs, _, most = points.shape
    if np.fmax.reduce(np.abs(points), axis=None) > _FAR:
        points, units = points.astype(np.complex128), units.astype(np.complex128)
    terms = np.ones((limbs, 2, most, 8), points.real.dtype)
    pairs = terms.view(points.dtype)
    pairs[..., 0], pairs[..., 1] = points, units
    conjugate = points.conj()
    terms[..., 4] = (units * conjugate).real
    terms[..., 5] = (points * conjugate).real
    starts, ends = terms[:, 0] @ _FORMS, terms[:, 1].transpose(0, 2, 1)
    step = max(_BLOCK // most**2, 1)
    found = []
    for first in range(0, limbs, step):
        foreseen, squared = starts[:, first : first + step] @ ends[first : first + step]
        # In place, as new memory costs more time than the sums. `clip` takes a third of the time of `minimum`.
        longest = np.clip(foreseen, -_FAR_AWAY, _SHORTFALL)
        longest += foreseen
        longest *= np.abs(longest, out=foreseen)
        places = _flat_indices(longest > squared)
        places += first * most**2
        found.append(places)
    return np.concatenate(found)


def _flat_indices(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """np.flatnonzero of a large mask with few True in less than half of its time: eight places are tested at once."""
    flat = mask.reshape(-1)
    words = flat[: flat.size & ~7].view(np.uint64)
    used = np.flatnonzero(words != 0)
    place = np.flatnonzero(words[used].view(np.bool_))
    index = used[place >> 3]
    index <<= 3
    place &= 7
    index += place
    rest = np.flatnonzero(flat[8 * len(words) :])
    return np.append(index, rest + 8 * len(words)) if len(rest) else index


def _nearest_cell(points: NDArray[np.complex64], vectors: NDArray[np.complex64]) -> NDArray[np.intp]:
    """Flat index, in the vectors of all limbs, of the first limb in the cells nearest to points inside the map."""
    _, width, limbs = vectors.shape
    corner = points + _CENTRE
    cell = corner.imag.astype(np.intp)
    cell *= width
    cell += corner.real.astype(np.intp)
    cell *= limbs
    return cell


def _agreeing(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: NDArray[np.complex64],
    end: NDArray[np.complex64],
    share: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Indices of the segments (M,) that the PAF in the cell nearest to one of their points agrees with.

    A cheap look before sampling, where many pairs would be sampled in vain. Where start and end are one point there is
    nothing to ask. share: of the way from start to end. At most `_MOST_PAIRS`, those that agree best.
    """
    vector = end - start
    cell = _nearest_cell(start + share * vector, vectors)
    cell += limb
    along = (vectors.reshape(-1)[cell] * vector.conj()).real
    length = np.abs(vector)
    agrees = np.flatnonzero((along > 0) | (length < _SHORTEST))
    if len(agrees) > _MOST_PAIRS:
        agreement = along[agrees] / np.maximum(length[agrees], _SHORTEST)
        agrees = agrees[np.sort(np.argpartition(-agreement, _MOST_PAIRS)[:_MOST_PAIRS])]
    return agrees


@lru_cache(maxsize=16)
def _shares(samples: int) -> NDArray[np.float32]:
    """(S, 1) where samples lie on the way from start to end, both included; closer together towards the ends.

    In a row of people, even samples a person apart would all hit the same limb of different people.
    """
    even = np.arange(samples) / max(samples - 1, 1)
    return (even / 2 + (1 - np.cos(np.pi * even)) / 4).astype(np.float32)[:, None]


def _limb_scores(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    ends: tuple[NDArray[np.complex64], NDArray[np.complex64]],
    vector: NDArray[np.complex64],
    shares: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(M,) mean of PAF . direction at points of the segments.

    0 where one of them between the ends disagrees: a limb has no gap.
    ends: start and end, (M,) each, inside the map. vector: (M,) end - start before they were moved there.
    shares: (S, 1) of the way from start to end.
    """
    length = np.abs(vector)
    direction = vector / np.maximum(length, _SHORTEST)
    along = (_sample(vectors, limb, ends[0] + shares * (ends[1] - ends[0])) * direction.conj()).real
    gap = np.minimum.reduce(along[1:-1], initial=1) <= 0
    score: NDArray[np.float32] = np.add.reduce(along) / np.float32(len(shares))
    score[gap] = 0
    score[length < _SHORTEST] = 1
    return score


def _sample(
    vectors: NDArray[np.complex64], limb: NDArray[np.intp], points: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Bilinear PAF vectors (S, M) of limbs (M,) at points (S, M) inside the map."""
    _, width, limbs = vectors.shape
    flat = vectors.reshape(-1)
    column, cell = points.real.astype(np.intp), points.imag.astype(np.intp)
    x = np.subtract(points.real, column, dtype=np.float32)
    y = np.subtract(points.imag, cell, dtype=np.float32)
    cell *= width
    cell += column
    cell *= limbs
    cell += limb
    upper = _between(flat[cell], flat[cell + limbs], x)
    cell += width * limbs
    return _between(upper, _between(flat[cell], flat[cell + limbs], x), y)


def _between(
    first: NDArray[np.complex64], second: NDArray[np.complex64], share: NDArray[np.float32]
) -> NDArray[np.complex64]:
    """first + share * (second - first); second is overwritten, as new memory costs more time than the sums."""
    second -= first
    second *= share
    second += first
    return second
