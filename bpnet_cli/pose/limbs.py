"""Limb candidates: pairs of peaks that a PAF connects.

Points and PAF vectors are complex numbers x + iy. The dot product of a and b is the real part of conj(a) * b.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.pairs import MARK, SHORTEST, UNMARKED, aligned_pairs, nearest_cell
from bpnet_cli.pose.peaks import Peaks, highest_first, sane

# Above this number of pairs, a cheap test removes most of them before sampling. It loses hardly any limbs.
_MANY_PAIRS = 2048
# Then at most this many pairs are sampled, those that agree best with the PAFs. This limits the time on noisy maps.
_MOST_PAIRS = 16384
# A limb longer than this share of the map's shorter side needs better evidence, as in OpenPose: its score is reduced by
# 1 - share * side / length. Otherwise the noise of a very wide map would connect people at its two ends.
_EASY_LENGTH = np.float32(0.5)
# Score of a limb that is too short to leave a mark in the PAF. It is low, so that limbs with a mark come first.
_UNSEEN = np.float32(0.05)


@dataclass(frozen=True, eq=False)
class LimbCandidates:
    """M pairs of peaks, the highest weight first.

    start, end: (M,) indices of peaks. weight: (M,) float32, about 0..1; 1 is a perfect limb.
    """

    start: NDArray[np.intp]
    end: NDArray[np.intp]
    weight: NDArray[np.float32]


def find_limbs(
    pafs: NDArray[np.floating], peaks: Peaks, limb_indices: NDArray[np.intp], threshold: float, samples: int
) -> LimbCandidates:
    """Pairs of peaks whose weight is above `threshold`, the highest weight first.

    weight = limb score x sqrt(start's peak score x end's peak score): a good limb has a good PAF and good ends. The
    limb score is the mean of PAF . direction at points of the segment (Cao et al., CVPR 2017, equations 10 and 11).
    pafs: (h, w, 2L). limb_indices: (L, 2) keypoint indices. samples: points along each segment, both ends included.
    """
    vectors = _vectors(pafs)
    inside = _inside(peaks.points, vectors)
    shares = _shares(samples)
    limb, start, end = aligned_pairs(vectors, inside, peaks.counts, limb_indices)
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
    """(h, w, L) complex64 PAFs, padded to at least 2 x 2 cells; NaN and infinities become 0."""
    array = sane(pafs)
    if min(array.shape[:2]) < 2:
        array = np.pad(array, ((0, 1), (0, 1), (0, 0)), mode="edge")
    return array.view(np.complex64)


def _inside(points: NDArray[np.complex64], vectors: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """(N,) points in cells; points outside the map (h, w, L) are moved to its border.

    The border is just before the centres of the last cells, so that each point has a cell to its right and one below.
    """
    height, width, _ = vectors.shape
    last = np.array([width - 1.001, height - 1.001], np.float32)
    inside = np.minimum(np.maximum(points.view(np.float32).reshape(-1, 2), 0), last)
    return inside.view(np.complex64).reshape(-1)


def _agreeing(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: NDArray[np.complex64],
    end: NDArray[np.complex64],
    share: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Indices of the M segments that agree with the PAF at one of their points; at most `_MOST_PAIRS`, the best ones.

    This is a cheap test before sampling: it reads only the cell nearest to that point. A segment agrees where PAF .
    (end - start) > 0. Segments shorter than `UNMARKED` are always kept.
    limb, start, end: (M,). share: where the point lies on the way from start (0) to end (1).
    """
    vector = end - start
    cell = nearest_cell(start + share * vector, vectors)
    cell += limb
    along = (vectors.reshape(-1)[cell] * vector.conj()).real
    length = np.abs(vector)
    agrees = np.flatnonzero((along > 0) | (length < UNMARKED))
    if len(agrees) > _MOST_PAIRS:
        agreement = along[agrees] / np.maximum(length[agrees], SHORTEST)
        agrees = agrees[np.sort(np.argpartition(-agreement, _MOST_PAIRS)[:_MOST_PAIRS])]
    return agrees


@lru_cache(maxsize=16)
def _shares(samples: int) -> NDArray[np.float32]:
    """(S, 1) float32 positions of the samples on the way from start (0) to end (1), closer together near the ends.

    The spacing is uneven because of people in a row. Evenly spaced samples, one person apart, would all hit the same
    limb of different people.
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
    """(M,) limb scores: the mean of PAF . direction at points of the segment, reduced for long limbs (`_EASY_LENGTH`).

    Special values: 0 where a point between the ends disagrees (PAF . direction <= 0), because a limb has no gap;
    `_UNSEEN` where the ends are closer than `UNMARKED` and the PAF has no mark; 1 where the ends are closer than
    `SHORTEST`.
    ends: start and end, (M,) each, inside the map. vector: (M,) end - start before the ends were moved into the map.
    shares: (S, 1), see `_shares`.
    """
    length = np.abs(vector)
    divisor = np.maximum(length, SHORTEST)
    direction = vector / divisor
    along = (_sample(vectors, limb, ends[0] + shares * (ends[1] - ends[0])) * direction.conj()).real
    gap = np.minimum.reduce(along[1:-1], initial=1) <= 0
    score: NDArray[np.float32] = np.add.reduce(along) / np.float32(len(shares))
    unseen = (length < UNMARKED) & (np.abs(score) < MARK)
    score += np.minimum(_EASY_LENGTH * min(vectors.shape[:2]) / divisor - 1, 0)
    score[gap] = 0
    score[unseen] = _UNSEEN
    score[length < SHORTEST] = 1
    return score


def _sample(
    vectors: NDArray[np.complex64], limb: NDArray[np.intp], points: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """(S, M) PAF vectors of limbs (M,) at points (S, M) inside the map, by bilinear interpolation."""
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
    """first + share * (second - first), computed in-place in `second`: new memory costs more time than the sums."""
    second -= first
    second *= share
    second += first
    return second
