"""Limb candidates: pairs of peaks that a PAF joins.

PAF vectors are complex numbers like points: the dot product of two is the real part of one conjugate times the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.pairs import MARK, SHORTEST, UNMARKED, aligned_pairs, nearest_cell
from bpnet_cli.pose.peaks import Peaks, highest_first, sane

# From so many pairs on, most are sorted out by a cheaper look before they are sampled, at hardly any loss.
_MANY_PAIRS = 2048
# Then only so many, those that agree best with the PAFs, are sampled; bounds the time on noisy maps.
_MOST_PAIRS = 16384
# A limb longer than this share of the map's shorter side needs better evidence, as in OpenPose: its score falls by
# 1 - share / length. Otherwise the noise of a very wide map would join people at its two ends.
_EASY_LENGTH = np.float32(0.5)
# Score of a limb that is too short to leave a mark: low, so that limbs with a mark come first.
_UNSEEN = np.float32(0.05)


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


def _agreeing(
    vectors: NDArray[np.complex64],
    limb: NDArray[np.intp],
    start: NDArray[np.complex64],
    end: NDArray[np.complex64],
    share: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Indices of the segments (M,) that the PAF in the cell nearest to one of their points agrees with.

    A cheap look before sampling, where many pairs would be sampled in vain. Pairs closer than `UNMARKED` are kept
    whatever it says. share: of the way from start to end. At most `_MOST_PAIRS`, those that agree best.
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
    """(M,) mean of PAF . direction at points of the segments, less what a long limb loses, see `_EASY_LENGTH`.

    0 where one of them between the ends disagrees: a limb has no gap. `_UNSEEN` where the ends are closer than
    `UNMARKED` and the PAFs say nothing.
    ends: start and end, (M,) each, inside the map. vector: (M,) end - start before they were moved there.
    shares: (S, 1) of the way from start to end.
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
