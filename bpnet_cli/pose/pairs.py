"""Pairs of peaks that may be a limb, by the PAFs at both of them.

PAF vectors are complex numbers like points: the dot product of two is the real part of one conjugate times the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Two peaks closer than this many cells are in one place, and count as a perfect limb.
SHORTEST = np.float32(0.125)
# A limb shorter than this many cells may leave no mark in the PAF: no cell's centre need lie beside it.
UNMARKED = np.float32(1)
# PAF vectors shorter than this are no mark.
MARK = np.float32(0.03)
# The PAFs at a pair's ends may foresee this many cells less than its length.
_SHORTFALL = np.float32(5)
# Where slots without a peak are; nothing compares with it.
_NOWHERE = np.complex64(complex(np.nan, np.nan))
# From so many peaks of one keypoint on, see `_foreseen`.
_MANY_PEAKS = 24
# In a crowd, pairs are compared in blocks of about so many; larger ones would leave the processor's cache.
_BLOCK = 131072
# Farther than this many cells from the origin, squares of single precision can't tell `SHORTEST` from nothing.
_FAR = 256
_FAR_AWAY = np.float32(1e9)
_HALF = np.float32(0.5)
_CENTRE = np.complex64(0.5 + 0.5j)


def _bilinear_forms() -> NDArray[np.float32]:
    """(2, 1, 8, 8) matrices F: t(s)^T F t(e) is a number that `_foreseen_in_crowd` needs of a start s and an end e.

    t(p) = (x, y, ux, uy, u . p, p . p, 1, n) of a peak p whose PAF has the unit vector u; n is 1 where the PAF has no
    mark, else 0. Both numbers are sums of products of an entry of t(s) and one of t(e):
        (us + ue) / 2 . (e - s) = (us . e - us . s + ue . e - ue . s) / 2, the length that the PAFs foresee;
        (e - s) . (e - s) - spared^2 = e . e - 2 s . e + s . s - spared^2,
    where spared^2 = SHORTEST^2 + ns ne (UNMARKED^2 - SHORTEST^2).
    """
    forms = np.zeros((2, 1, 8, 8), np.float32)
    foreseen, squared = forms[:, 0]
    x, y, ux, uy, along, square, one, unmarked = range(8)
    foreseen[[ux, uy, one], [x, y, along]] = 0.5
    foreseen[[x, y, along], [ux, uy, one]] = -0.5
    squared[[x, y], [x, y]] = -2
    squared[[square, one], [one, square]] = 1
    squared[one, one] = -(SHORTEST**2)
    squared[unmarked, unmarked] = SHORTEST**2 - UNMARKED**2
    return forms


_FORMS = _bilinear_forms()


def aligned_pairs(
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
    cell[:-1] = nearest_cell(points, vectors)
    at_peak = cell[peak]
    at_peak += np.arange(limbs)[:, None, None]
    unit = vectors.reshape(-1)[at_peak]
    length = np.abs(unit)
    unmarked = (length < MARK).reshape(-1).nonzero()[0]
    if len(unmarked) and absent:
        between = _between_cells(points, peak.reshape(-1)[unmarked], unmarked // (2 * most), vectors)
        unit.reshape(-1)[unmarked], length.reshape(-1)[unmarked] = between, np.abs(between)
    unit *= 1 / np.maximum(length, SHORTEST)
    place = _foreseen(at[peak], unit, length < MARK)
    start = place // most
    limb = start // most
    end = place - (start - limb) * most
    starts, ends = peak[:, 0].reshape(-1), peak[:, 1].reshape(-1)
    return limb, starts[start], ends[end]


def _between_cells(
    points: NDArray[np.complex64], peak: NDArray[np.intp], limb: NDArray[np.intp], vectors: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """(M,) mean vectors of limbs (M,) in the four cells around peaks (M,) whose nearest cell has no mark.

    Some networks learn limbs that are marked strictly between their ends (Cao et al., CVPR 2017, section 2.3). Such a
    limb may leave out the cell nearest to its keypoint, and then goes on in the others.
    peak: indices of points (N,), at least one; an index behind the last is an empty slot, and gives anything.
    """
    _, width, limbs = vectors.shape
    corner = points.imag.astype(np.intp)
    corner *= width
    corner += points.real.astype(np.intp)
    cells = (corner.take(peak, mode="clip") + np.array([[0], [1], [width], [width + 1]])) * limbs + limb
    total: NDArray[np.complex64] = np.add.reduce(vectors.reshape(-1)[cells])
    total /= np.float32(4)
    return total


def _foreseen(
    points: NDArray[np.complex64], units: NDArray[np.complex64], unmarked: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Flat indices into (L, n, n) of the starts and ends that may be joined, by the PAFs' unit vectors at both.

    The unit vectors' mean . (end - start) is the length that the PAFs foresee. It must be more than half of the length
    (they are within 60 degrees of the segment, on the average), and of a long segment more than the length less
    `_SHORTFALL`. Of the squared length, `SHORTEST` squared is taken off, or `UNMARKED` squared where there is no mark
    at either end: two peaks that close may be joined whatever the PAFs say.
    points, units, unmarked: (L, 2, n), the starts and the ends.
    """
    if points.size and points.shape[2] > _MANY_PEAKS:
        return _foreseen_in_crowd(points, units, unmarked)
    vector = points[:, 1, None, :] - points[:, 0, :, None]
    unit = units[:, 1, None, :] + units[:, 0, :, None]
    foreseen = _HALF * (unit.conj() * vector).real
    longest = np.minimum(foreseen, _SHORTFALL) + foreseen
    length = np.abs(vector)
    spared = np.where(unmarked[:, 1, None, :] & unmarked[:, 0, :, None], UNMARKED**2, SHORTEST**2)
    joined = longest * np.abs(longest) > length * length - spared
    place: NDArray[np.intp] = joined.reshape(-1).nonzero()[0]
    return place


def _foreseen_in_crowd(
    points: NDArray[np.complex64], units: NDArray[np.complex64], unmarked: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """`_foreseen` by products of matrices, see `_bilinear_forms`.

    `aligned_pairs` of a hundred people takes half of the time like this, a third of their whole decoding; of ten people
    it would take 1.3 times as long. `bpnet benchmark decode` has both numbers of people.
    """
    limbs, _, most = points.shape
    if np.fmax.reduce(np.abs(points), axis=None) > _FAR:
        points, units = points.astype(np.complex128), units.astype(np.complex128)
    terms = np.ones((limbs, 2, most, 8), points.real.dtype)
    pairs = terms.view(points.dtype)
    pairs[..., 0], pairs[..., 1] = points, units
    conjugate = points.conj()
    terms[..., 4] = (units * conjugate).real
    terms[..., 5] = (points * conjugate).real
    terms[..., 7] = unmarked
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


def nearest_cell(points: NDArray[np.complex64], vectors: NDArray[np.complex64]) -> NDArray[np.intp]:
    """Flat index, in the vectors of all limbs, of the first limb in the cells nearest to points inside the map."""
    _, width, limbs = vectors.shape
    corner = points + _CENTRE
    cell = corner.imag.astype(np.intp)
    cell *= width
    cell += corner.real.astype(np.intp)
    cell *= limbs
    return cell
