"""Pairs of peaks that may be the ends of a limb, chosen by the PAFs at both peaks.

Points and PAF vectors are complex numbers x + iy. The dot product of a and b is the real part of conj(a) * b.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Two peaks closer than this many cells are at the same place and count as a perfect limb.
SHORTEST = np.float32(0.125)
# A limb shorter than this many cells may leave no mark in the PAF, because no cell's centre has to lie beside it.
UNMARKED = np.float32(1)
# PAF vectors shorter than this count as no mark.
MARK = np.float32(0.03)
# For a long limb, the length that the PAFs at its ends predict must be less than this many cells too short.
_SHORTFALL = np.float32(5)
# Position of slots without a peak. Every comparison with it is False.
_NOWHERE = np.complex64(complex(np.nan, np.nan))
# Above this number of peaks of one keypoint, `_foreseen` uses `_foreseen_in_crowd`.
_MANY_PEAKS = 24
# In a crowd, pairs are compared in blocks of about this many. Larger blocks would not fit into the processor's cache.
_BLOCK = 131072
# Farther than this many cells from the origin, squares in float32 are too coarse for a distance as small as `SHORTEST`.
_FAR = 256
_FAR_AWAY = np.float32(1e9)
_HALF = np.float32(0.5)
_CENTRE = np.complex64(0.5 + 0.5j)


def _bilinear_forms() -> NDArray[np.float32]:
    """(2, 1, 8, 8) matrices F: for a start s and an end e, t(s)^T F t(e) gives the numbers of `_foreseen_in_crowd`.

    t(p) = (x, y, ux, uy, u . p, p . p, 1, n) for a peak p. u is the unit vector of its PAF; n is 1 where the PAF has no
    mark, else 0. Both numbers are sums of products of an entry of t(s) and an entry of t(e):
        (us + ue) / 2 . (e - s) = (us . e - us . s + ue . e - ue . s) / 2, the length that the PAFs predict;
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
    """Three (M,) arrays: limb, start and end of the pairs of peaks that the PAFs at both ends predict (`_foreseen`).

    start and end are indices of peaks.
    vectors: (h, w, L) PAFs. points: (N,) peaks in cells, inside the map, grouped by keypoint. counts: (K,) number of
    peaks of each keypoint. limb_indices: (L, 2) keypoint indices.
    """
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
    """(M,) mean PAF vectors of limbs (M,) in the four cells around peaks (M,) whose nearest cell has no mark.

    Some networks learn limbs that are marked strictly between their ends (Cao et al., CVPR 2017, section 2.3). The cell
    nearest to the keypoint may then be without a mark, but one of the other three cells has it.
    points: (N,), at least one. peak: indices of points; N stands for an empty slot, whose result has no meaning.
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
    """Flat indices into (L, n, n) of the pairs (start, end) that may be a limb, judged by the PAFs at both ends.

    The PAFs predict a length: (mean of the unit vectors at both ends) . (end - start). A pair is kept where
    1. the predicted length is more than half of the true length (on average, the vectors are within 60 degrees of the
       segment), and
    2. the predicted length is more than the true length minus `_SHORTFALL`, which matters for long segments.
    `SHORTEST` squared is subtracted from the squared true length, or `UNMARKED` squared where neither end has a mark:
    peaks that are so close may be joined whatever the PAFs say.
    points, units, unmarked: (L, 2, n); the second axis is start and end.
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
    """The same as `_foreseen`, by matrix products; see `_bilinear_forms`.

    For 100 people, this halves the time of `aligned_pairs`, which then is a third of the whole decoding. For 10 people
    it would take 1.3 times as long. `bpnet benchmark decode` measures both numbers of people.
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
        # In-place, because new memory costs more time than the sums. `clip` takes a third of the time of `minimum`.
        longest = np.clip(foreseen, -_FAR_AWAY, _SHORTFALL)
        longest += foreseen
        longest *= np.abs(longest, out=foreseen)
        places = _flat_indices(longest > squared)
        places += first * most**2
        found.append(places)
    return np.concatenate(found)


def _flat_indices(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """np.flatnonzero for a large mask with few True, in less than half of the time: it tests eight entries at once."""
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
    """Flat index into `vectors` (h, w, L) of the first limb in the cell nearest to each point inside the map."""
    _, width, limbs = vectors.shape
    corner = points + _CENTRE
    cell = corner.imag.astype(np.intp)
    cell *= width
    cell += corner.real.astype(np.intp)
    cell *= limbs
    return cell
