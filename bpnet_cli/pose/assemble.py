"""Assembly: which peaks belong to one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.limbs import LimbCandidates
from bpnet_cli.pose.peaks import Peaks

# Sizes of fragments are compared. A single keypoint has size 0, and a head is smaller than its person: therefore this
# share of the map's diagonal is added to every size.
_SIZE_PRIOR = 1 / 16
# A missing limb is evidence for two people only where the peak at its end is at least this high.
_SURE = 0.3
# Only so many fragments, those with the highest peaks, are compared with each other; bounds the time on noisy maps.
_MOST_FRAGMENTS = 256
# From so many limbs on, finding those that nothing disputes is faster than joining one after the other.
_MANY_LIMBS = 300
# A double holds whole numbers of so many bits exactly.
_BITS_OF_A_FLOAT = 53


def assemble(
    peaks: Peaks, limbs: LimbCandidates, neighbours: Sequence[int], diagonal: float, merge_distance: float
) -> NDArray[np.intp]:
    """(P, K) index of each person's peak for each keypoint, -1 where absent.

    First the best limb of the whole image, then the next, joins the two fragments at its ends, unless both hold the
    same keypoint: a limb may attach through either end, and no keypoint is needed to find a person. Then fragments that
    lie close are joined where the PAFs have nothing to say, that is where no limb leads from a sure keypoint of one to
    a keypoint of the other: a limb that could be there and is not tells that they are two people.
    neighbours: for each keypoint those that a limb joins to it, as bits. diagonal: of the map in cells.
    merge_distance: see `DecodeOptions`.
    """
    start, end = limbs.start, limbs.end
    root = np.arange(len(peaks.score))
    if len(start) > _MANY_LIMBS:
        root = _undisputed(peaks, start, end)
        disputed = np.flatnonzero(root[start] != root[end])
        start, end = start[disputed], end[disputed]
    fragments = None
    if len(start):
        fragments = _Fragments(root, peaks)
        fragments.join(start.tolist(), end.tolist())
        root = fragments.roots()
    candidates = _lacking(peaks, root) if merge_distance > 0 else root[:0]
    if len(candidates) > 1:
        fragments = fragments or _Fragments(root, peaks)
        _merge(peaks, fragments, root, candidates, neighbours, _SIZE_PRIOR * diagonal, merge_distance)
        root = fragments.roots()
    is_root = root == np.arange(len(root))
    people = np.full((np.count_nonzero(is_root), len(peaks.counts)), -1, np.intp)
    people[(is_root.cumsum() - 1)[root], peaks.keypoint] = np.arange(len(root))
    return people


def _undisputed(peaks: Peaks, start: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N,) for each peak, the first one among all that limbs join to it; itself where these hold a keypoint twice.

    Where no keypoint is held twice, every limb joins its ends, in whatever order. start, end: (M,) peaks of the limbs.
    """
    itself = np.arange(len(peaks.score))
    root, a, b = itself.copy(), start, end
    while np.count_nonzero(a != b):
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        # Two steps at a time reach the first peak of most people at once.
        root = root[root]
        root = root[root]
        a, b = root[start], root[end]
    held = root * len(peaks.counts) + peaks.keypoint
    held.sort()
    disputed = np.zeros(len(root), np.bool_)
    disputed[held[1:][held[1:] == held[:-1]] // len(peaks.counts)] = True
    return np.where(disputed[root], itself, root)


class _Fragments:
    """Disjoint sets of peaks; a fragment is known by the first of its peaks, its root.

    parent: for each peak, another of its fragment that is nearer to the root, or itself for the root.
    held: the keypoints of the fragment as bits, for roots. barred: those that it must not be joined with.
    """

    def __init__(self, root: NDArray[np.intp], peaks: Peaks) -> None:
        """root: (N,) first peak of each peak's fragment, which holds no keypoint twice."""
        self.parent: list[int] = root.tolist()
        self.held = self.barred = _bits_of_fragments(root, peaks.keypoint, len(peaks.counts))

    def roots(self) -> NDArray[np.intp]:
        """(N,) root of each peak's fragment."""
        root = np.array(self.parent, np.intp)
        while np.count_nonzero(root != (further := root[root])):
            root = further
        return root

    def bar(self, roots: list[int], keypoints: list[int], neighbours: Sequence[int]) -> None:
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
            if b < a:
                a, b = b, a
            parent[b] = a
            held[a] |= held[b]
            barred[a] |= barred[b]


def _bits_of_fragments(root: NDArray[np.intp], keypoint: NDArray[np.intp], keypoints: int) -> list[int]:
    """N: the keypoints of each fragment as bits, at its root; see `_Fragments`."""
    if keypoints <= _BITS_OF_A_FLOAT:
        # No keypoint twice: the sum of the bits is their union.
        held: list[int] = np.bincount(root, np.ldexp(1.0, keypoint), len(root)).astype(np.int64).tolist()
        return held
    held = [0] * len(root)
    for fragment, bit in zip(root.tolist(), keypoint.tolist(), strict=True):
        held[fragment] |= 1 << bit
    return held


def _merge(
    peaks: Peaks,
    fragments: _Fragments,
    root: NDArray[np.intp],
    candidates: NDArray[np.intp],
    neighbours: Sequence[int],
    size_prior: float,
    merge_distance: float,
) -> None:
    """Join candidates, closest first, if less than `merge_distance` sizes of the larger apart.

    root: (N,) of each peak's fragment. candidates: (F,) roots.
    """
    sure = (peaks.score > _SURE).nonzero()[0]
    fragments.bar(root[sure].tolist(), peaks.keypoint[sure].tolist(), neighbours)
    first, second = _close_pairs(_boxes(peaks.points, root)[candidates], size_prior, merge_distance)
    fragments.join(candidates[first].tolist(), candidates[second].tolist())


def _lacking(peaks: Peaks, root: NDArray[np.intp]) -> NDArray[np.intp]:
    """(F,) roots of the fragments that lack a keypoint, at most `_MOST_FRAGMENTS`; root: (N,) of each peak."""
    size = np.bincount(root)
    roots = ((size > 0) & (size < len(peaks.counts))).nonzero()[0]
    if len(roots) <= _MOST_FRAGMENTS:
        return roots
    highest = np.zeros_like(peaks.score)
    np.maximum.at(highest, root, peaks.score)
    return roots[np.argsort(-highest[roots], kind="stable")[:_MOST_FRAGMENTS]]


def _boxes(points: NDArray[np.complex64], root: NDArray[np.intp]) -> NDArray[np.float32]:
    """(N, 4) left, top, -right, -bottom of the fragments, by their roots, infinite elsewhere; root: (N,) of each peak.

    points: (N,).
    """
    sides = np.full((4, len(root)), np.inf, np.float32)
    x, y = points.real, points.imag
    for side, values in zip(sides, (x, y, -x, -y), strict=True):
        np.minimum.at(side, root, values)
    return sides.T


def _close_pairs(
    boxes: NDArray[np.float32], size_prior: float, merge_distance: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) i and j, i < j, of pairs of boxes that are less than `merge_distance` apart, closest first.

    The distance is the gap between the boxes, in sizes of the larger one. boxes: (F, 4), see `_boxes`.
    """
    number = np.arange(len(boxes))
    overlap = boxes[:, None, :2] + boxes[:, 2:]
    gap = np.maximum(np.maximum(overlap, overlap.transpose(1, 0, 2)), 0)
    size = np.abs((boxes[:, :2] + boxes[:, 2:]).view(np.complex64)[:, 0])
    distance = np.abs(gap.view(np.complex64)[..., 0])
    distance /= np.maximum(size[:, None], size) + np.float32(size_prior)
    near = ((distance < merge_distance) & (number[:, None] < number)).reshape(-1).nonzero()[0]
    first, second = np.divmod(near[distance.reshape(-1)[near].argsort(kind="stable")], len(boxes))
    return first, second
