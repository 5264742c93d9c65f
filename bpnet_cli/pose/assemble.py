"""Assembly: which peaks belong to one person."""

from __future__ import annotations

from collections.abc import Iterable

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
    fragments.join(zip(limbs.start.tolist(), limbs.end.tolist(), strict=True))
    if merge_distance > 0:
        reach = [1 << k for k in range(len(peaks.counts))]
        for a, b in limb_indices.tolist():
            reach[a] |= 1 << b
            reach[b] |= 1 << a
        fragments.bar(keypoints, peaks.score > _SURE, reach)
        fragments.join(_close_pairs(peaks, fragments, _SIZE_PRIOR * diagonal, merge_distance))
    roots = fragments.roots()
    people = np.full((len(roots), len(peaks.counts)), -1, np.intp)
    for row, root in enumerate(roots):
        members = fragments.members[root]
        people[row, peaks.keypoint[members]] = members
    return people


class _Fragments:
    """Disjoint sets of peaks, at first one of each.

    of: the fragment of each peak. members: the peaks of each fragment; empty once it is part of another.
    held: the keypoints of each fragment as bits. barred: those that it must not be joined with.
    """

    def __init__(self, held: list[int]) -> None:
        self.of = list(range(len(held)))
        self.members = [[i] for i in self.of]
        self.held = held
        self.barred = held.copy()

    def roots(self) -> list[int]:
        """Fragments that are no part of another."""
        return [i for i, members in enumerate(self.members) if members]

    def bar(self, keypoints: list[int], sure: NDArray[np.bool_], reach: list[int]) -> None:
        """Bar each fragment from the keypoints in `reach` of its sure ones; keypoints, sure: of each peak."""
        for peak in np.flatnonzero(sure).tolist():
            self.barred[self.of[peak]] |= reach[keypoints[peak]]

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Unite the fragments of each pair of peaks in turn where nothing bars it."""
        of, members, held, barred = self.of, self.members, self.held, self.barred
        for start, end in pairs:
            a, b = of[start], of[end]
            if held[a] & barred[b] or held[b] & barred[a]:
                continue
            if len(members[a]) < len(members[b]):
                a, b = b, a
            for peak in members[b]:
                of[peak] = a
            members[a] += members[b]
            members[b] = []
            held[a] |= held[b]
            barred[a] |= barred[b]


def _close_pairs(
    peaks: Peaks, fragments: _Fragments, size_prior: float, merge_distance: float
) -> list[tuple[int, int]]:
    """Pairs of fragments, closest first, whose boxes are less than `merge_distance` sizes of the larger one apart."""
    held, barred, members = fragments.held, fragments.barred, fragments.members
    complete = (1 << len(peaks.counts)) - 1
    roots = [root for root in fragments.roots() if held[root] != complete]
    if len(roots) > _MOST_FRAGMENTS:
        roots = sorted(roots, key=lambda root: -peaks.score[members[root]].max())[:_MOST_FRAGMENTS]
    pairs = [
        (i, j)
        for i, a in enumerate(roots)
        for j, b in enumerate(roots[:i])
        if not (held[a] & barred[b] or held[b] & barred[a])
    ]
    if not pairs:
        return []
    points = peaks.points[[peak for root in roots for peak in members[root]]].view(np.float32).reshape(-1, 2)
    first = np.cumsum([0] + [len(members[root]) for root in roots[:-1]])
    low, high = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    size = np.hypot(*(high - low).T) + size_prior
    a, b = np.array(pairs).T
    gap = np.maximum(np.maximum(low[a] - high[b], low[b] - high[a]), 0)
    distance = np.hypot(gap[:, 0], gap[:, 1]) / np.maximum(size[a], size[b])
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(distance < merge_distance)]
    return [(roots[pairs[i][1]], roots[pairs[i][0]]) for i in order.tolist()]
