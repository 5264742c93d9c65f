"""Assembly: which peaks belong to one person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.limbs import LimbCandidates
from bpnet_cli.pose.peaks import Peaks

# A fragment of one keypoint has no size and a head has less than its person: this share of the map's diagonal is added.
_SIZE_PRIOR = 1 / 16
# Smallest score of a peak for which a missing limb tells something.
_SURE = 0.3
# Only so many fragments, those with the highest peaks, are compared with each other; bounds the time on noisy maps.
_MOST_FRAGMENTS = 256


def assemble(
    peaks: Peaks, limbs: LimbCandidates, limb_indices: NDArray[np.intp], diagonal: float, merge_distance: float
) -> NDArray[np.intp]:
    """(P, K) index of each person's peak for each keypoint, -1 where absent.

    First the best limb of the whole image, then the next, joins the two fragments at its ends, unless both hold the
    same keypoint: a limb may attach through either end, and no keypoint is needed to find a person. Then fragments that
    lie close are joined where the PAFs have nothing to say, that is where no limb leads from a sure keypoint of one to
    a keypoint of the other: a limb that could be there and is not tells that they are two people.
    diagonal: of the map in cells. merge_distance: see `DecodeOptions`.
    """
    keypoints = peaks.keypoint.tolist()
    fragments = _Fragments([1 << k for k in keypoints])
    fragments.join(limbs.start.tolist(), limbs.end.tolist())
    if merge_distance > 0:
        fragments.bar(keypoints, np.flatnonzero(peaks.score > _SURE).tolist(), _neighbours(peaks, limb_indices))
        fragments.join(*_close_pairs(peaks, fragments, _SIZE_PRIOR * diagonal, merge_distance))
    row: dict[int, int] = {}
    person = [row.setdefault(root, len(row)) for root in fragments.of]
    people = np.full((len(row), len(peaks.counts)), -1, np.intp)
    people[person, peaks.keypoint] = np.arange(len(person))
    return people


class _Fragments:
    """Disjoint sets of peaks, at first one of each; a fragment is known by one of its peaks, its root.

    of: the root of each peak's fragment. members: the peaks of fragments with more than one.
    held: the keypoints of the fragment as bits, for roots. barred: those that it must not be joined with.
    """

    def __init__(self, held: list[int]) -> None:
        self.of = list(range(len(held)))
        self.members: dict[int, list[int]] = {}
        self.held = held
        self.barred = held.copy()

    def bar(self, keypoints: list[int], sure: list[int], neighbours: list[int]) -> None:
        """Bar each fragment from the neighbours of its sure peaks; keypoints: of each peak."""
        for peak in sure:
            self.barred[self.of[peak]] |= neighbours[keypoints[peak]]

    def join(self, starts: list[int], ends: list[int]) -> None:
        """Unite the fragments of each pair of peaks in turn where nothing bars it."""
        of, members, held, barred = self.of, self.members, self.held, self.barred
        for start, end in zip(starts, ends, strict=True):
            a, b = of[start], of[end]
            if held[a] & barred[b] or held[b] & barred[a]:
                continue
            moved = members.pop(b, None) or [b]
            for peak in moved:
                of[peak] = a
            members.setdefault(a, [a]).extend(moved)
            held[a] |= held[b]
            barred[a] |= barred[b]


def _neighbours(peaks: Peaks, limb_indices: NDArray[np.intp]) -> list[int]:
    """For each keypoint, those that a limb joins to it, as bits."""
    neighbours = [0] * len(peaks.counts)
    for a, b in limb_indices.tolist():
        neighbours[a] |= 1 << b
        neighbours[b] |= 1 << a
    return neighbours


def _close_pairs(
    peaks: Peaks, fragments: _Fragments, size_prior: float, merge_distance: float
) -> tuple[list[int], list[int]]:
    """Pairs of fragments, closest first, whose boxes are less than `merge_distance` sizes of the larger one apart."""
    pairs = _joinable_pairs(fragments, _candidates(peaks, fragments))
    if not pairs:
        return [], []
    a, b = np.array(pairs).T
    of = np.array(fragments.of)
    points = peaks.points.view(np.float32).reshape(-1, 2)
    low, high = np.full_like(points, np.inf), np.full_like(points, -np.inf)
    np.minimum.at(low, of, points)
    np.maximum.at(high, of, points)
    gap = np.maximum(np.maximum(low[a] - high[b], low[b] - high[a]), 0)
    extent = np.maximum(_norm(high[a] - low[a]), _norm(high[b] - low[b]))
    distance = _norm(gap) / (extent + size_prior)
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(distance < merge_distance)]
    return a[order].tolist(), b[order].tolist()


def _candidates(peaks: Peaks, fragments: _Fragments) -> list[int]:
    """Roots of the fragments that lack a keypoint, at most `_MOST_FRAGMENTS`."""
    complete = (1 << len(peaks.counts)) - 1
    roots = [peak for peak, root in enumerate(fragments.of) if peak == root and fragments.held[peak] != complete]
    if len(roots) <= _MOST_FRAGMENTS:
        return roots
    highest = np.zeros_like(peaks.score)
    np.maximum.at(highest, fragments.of, peaks.score)
    return sorted(roots, key=lambda root: -highest[root])[:_MOST_FRAGMENTS]


def _joinable_pairs(fragments: _Fragments, roots: list[int]) -> list[tuple[int, int]]:
    """Pairs of fragments that nothing bars from each other."""
    held, barred = fragments.held, fragments.barred
    return [(a, b) for i, b in enumerate(roots) for a in roots[:i] if not (held[a] & barred[b] or held[b] & barred[a])]


def _norm(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) lengths of (N, 2) vectors."""
    lengths: NDArray[np.float32] = np.hypot(vectors[:, 0], vectors[:, 1])
    return lengths
