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
# From so many limbs on, finding those that nothing disputes is faster than joining one after the other.
_MANY_LIMBS = 300


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
    start, end = limbs.start, limbs.end
    root = np.arange(len(peaks.score))
    if len(start) > _MANY_LIMBS:
        root = _undisputed(peaks, start, end)
        disputed = np.flatnonzero(root[start] != root[end])
        start, end = start[disputed], end[disputed]
    bits = [1 << keypoint for keypoint in range(len(peaks.counts))]
    fragments = _Fragments([bits[keypoint] for keypoint in peaks.keypoint.tolist()], root.tolist())
    fragments.join(start.tolist(), end.tolist())
    if merge_distance > 0:
        _merge(peaks, fragments, limb_indices, _SIZE_PRIOR * diagonal, merge_distance)
    root = fragments.roots()
    is_root = root == np.arange(len(root))
    people = np.full((np.count_nonzero(is_root), len(peaks.counts)), -1, np.intp)
    people[(np.cumsum(is_root) - 1)[root], peaks.keypoint] = np.arange(len(root))
    return people


def _undisputed(peaks: Peaks, start: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,) for each peak, the first one among all that limbs join to it; itself where these hold a keypoint twice.

    Where no keypoint is held twice, every limb joins its ends, in whatever order. start, end: (M,) peaks of the limbs.
    """
    itself = np.arange(len(peaks.score))
    root = itself
    while ((a := root[start]) != (b := root[end])).any():
        root = root.copy()
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        root = root[root]
    held = np.sort(root * len(peaks.counts) + peaks.keypoint)
    disputed = np.zeros(len(root), np.bool_)
    disputed[held[1:][held[1:] == held[:-1]] // len(peaks.counts)] = True
    return np.where(disputed[root], itself, root)


class _Fragments:
    """Disjoint sets of peaks; a fragment is known by one of its peaks, its root.

    parent: for each peak, another of its fragment that is nearer to the root, or itself for the root.
    held: the keypoints of the fragment as bits, for roots. barred: those that it must not be joined with.
    """

    def __init__(self, held: list[int], roots: list[int]) -> None:
        """held: the keypoint of each peak, as a bit. roots: of each peak's fragment, its first peak."""
        for root, keypoint in zip(roots, held, strict=True):
            held[root] |= keypoint
        self.parent = roots
        self.held = self.barred = held

    def roots(self) -> NDArray[np.intp]:
        """(N,) root of each peak's fragment."""
        root = np.array(self.parent, np.intp)
        while (root != (further := root[root])).any():
            root = further
        return root

    def bar(self, roots: list[int], keypoints: list[int], neighbours: list[int]) -> None:
        """Bar the fragments from the neighbours of their keypoints; roots, keypoints: of peaks."""
        self.barred = self.held.copy()
        for root, keypoint in zip(roots, keypoints, strict=True):
            self.barred[root] |= neighbours[keypoint]

    def join(self, starts: list[int], ends: list[int]) -> None:
        """Unite the fragments of each pair of peaks in turn where nothing bars it."""
        parent, held, barred = self.parent, self.held, self.barred
        for a, b in zip(starts, ends, strict=True):
            while parent[a] != a:
                parent[a] = a = parent[parent[a]]
            while parent[b] != b:
                parent[b] = b = parent[parent[b]]
            if held[a] & barred[b] or held[b] & barred[a]:
                continue
            parent[b] = a
            held[a] |= held[b]
            barred[a] |= barred[b]


def _merge(
    peaks: Peaks, fragments: _Fragments, limb_indices: NDArray[np.intp], size_prior: float, merge_distance: float
) -> None:
    """Join fragments that lack a keypoint, closest first, if less than `merge_distance` sizes of the larger apart."""
    root = fragments.roots()
    candidates = _candidates(peaks, fragments, root)
    if len(candidates) < 2:
        return
    lacking = np.zeros(len(root), np.bool_)
    lacking[candidates] = True
    member = np.flatnonzero(lacking[root])
    sure = member[peaks.score[member] > _SURE]
    fragments.bar(root[sure].tolist(), peaks.keypoint[sure].tolist(), _neighbours(peaks, limb_indices))
    pair = np.array(_joinable_pairs(fragments, candidates), np.intp)
    if len(pair) == 0:
        return
    a, b = pair // len(root), pair % len(root)
    distance = _distances(peaks.points[member], root[member], a, b, size_prior)
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(distance < merge_distance)]
    fragments.join(a[order].tolist(), b[order].tolist())


def _candidates(peaks: Peaks, fragments: _Fragments, root: NDArray[np.intp]) -> list[int]:
    """Roots of the fragments that lack a keypoint, at most `_MOST_FRAGMENTS`; root: (N,) of each peak."""
    complete = (1 << len(peaks.counts)) - 1
    roots = np.flatnonzero(root == np.arange(len(root))).tolist()
    roots = [peak for peak in roots if fragments.held[peak] != complete]
    if len(roots) <= _MOST_FRAGMENTS:
        return roots
    highest = np.zeros_like(peaks.score)
    np.maximum.at(highest, root, peaks.score)
    return sorted(roots, key=lambda peak: -highest[peak])[:_MOST_FRAGMENTS]


def _neighbours(peaks: Peaks, limb_indices: NDArray[np.intp]) -> list[int]:
    """For each keypoint, those that a limb joins to it, as bits."""
    neighbours = [0] * len(peaks.counts)
    for a, b in limb_indices.tolist():
        neighbours[a] |= 1 << b
        neighbours[b] |= 1 << a
    return neighbours


def _joinable_pairs(fragments: _Fragments, roots: list[int]) -> list[int]:
    """Pairs a, b of fragments that nothing bars from each other, as a x N + b for N peaks."""
    known = [(root, fragments.held[root], fragments.barred[root]) for root in roots]
    count = len(fragments.held)
    return [
        a * count + b
        for i, (b, held, barred) in enumerate(known)
        for a, other_held, other_barred in known[:i]
        if not (held & other_barred or other_held & barred)
    ]


def _distances(
    points: NDArray[np.complex64],
    root: NDArray[np.intp],
    a: NDArray[np.intp],
    b: NDArray[np.intp],
    size_prior: float,
) -> NDArray[np.float64]:
    """(M,) gap between the boxes of fragments a and b, in sizes of the larger one.

    points, root: of each peak of the fragments.
    """
    corners = np.full((2, root.max() + 1, 2), np.inf, np.float32)
    xy = points.view(np.float32).reshape(-1, 2)
    np.minimum.at(corners[0], root, xy)
    np.minimum.at(corners[1], root, -xy)
    low, negative_high = corners
    width, height = -(low + negative_high).T
    size = np.hypot(width, height)
    gap = np.maximum(low[a] + negative_high[b], low[b] + negative_high[a])
    across, down = np.maximum(gap, 0).T
    distance: NDArray[np.float64] = np.hypot(across, down) / (np.maximum(size[a], size[b]) + size_prior)
    return distance
