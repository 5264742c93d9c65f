"""Assembly: which peaks belong to one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.limbs import LimbCandidates
from bpnet_cli.pose.peaks import Peaks

# This share of the map's diagonal is added to the size of every fragment before sizes are compared: a single keypoint
# has size 0, and a head is smaller than its person.
_SIZE_PRIOR = 1 / 16
# A missing limb is evidence for two people only where the peak at its end is higher than this.
_SURE = 0.3
# At most this many fragments, those with the highest peaks, are compared with each other. This limits the time on noisy
# maps.
_MOST_FRAGMENTS = 256
# Above this number of limbs it is faster to find the groups without a conflict first than to join limb by limb.
_MANY_LIMBS = 300
# A float64 holds integers of up to this many bits exactly.
_BITS_OF_A_FLOAT = 53


def assemble(
    peaks: Peaks, limbs: LimbCandidates, neighbours: Sequence[int], diagonal: float, merge_distance: float
) -> NDArray[np.intp]:
    """(P, K) index of each person's peak for each keypoint, -1 where the keypoint is absent.

    Step 1: limbs are taken in order, the best limb of the whole image first. Each limb joins the two fragments at its
    ends, unless both fragments hold the same keypoint. So a fragment can grow from any of its keypoints, and no
    particular keypoint is needed to find a person.
    Step 2: fragments that lie close together are joined, unless both hold the same keypoint, or the skeleton has a limb
    between a sure keypoint of one and a keypoint of the other. The PAFs could have shown that limb and did not, so
    these are two people.
    neighbours: for each keypoint, the keypoints that share a limb with it, as bits. diagonal: size of the map, cells.
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
    """(N,) for each peak, the first peak of its group. A group is all the peaks that limbs connect.

    A group that holds a keypoint twice is left apart: each of its peaks gets its own index. In the other groups the
    order of the limbs doesn't matter, because every limb joins its two ends. start, end: (M,) peaks of the limbs.
    """
    itself = np.arange(len(peaks.score))
    root, a, b = itself.copy(), start, end
    while np.count_nonzero(a != b):
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        # With two steps per pass, most people reach their first peak in one pass.
        root = root[root]
        root = root[root]
        a, b = root[start], root[end]
    held = root * len(peaks.counts) + peaks.keypoint
    held.sort()
    disputed = np.zeros(len(root), np.bool_)
    disputed[held[1:][held[1:] == held[:-1]] // len(peaks.counts)] = True
    return np.where(disputed[root], itself, root)


class _Fragments:
    """Disjoint sets of peaks (union-find). The first peak of a fragment is its root and stands for the fragment.

    parent: for each peak, another peak of its fragment that is nearer to the root; for the root, itself.
    held: for each root, the keypoints of its fragment as bits.
    barred: for each root, the keypoints that a fragment must not hold to be joined with it, as bits.
    """

    def __init__(self, root: NDArray[np.intp], peaks: Peaks) -> None:
        """root: (N,) first peak of each peak's fragment. No fragment may hold a keypoint twice."""
        self.parent: list[int] = root.tolist()
        self.held = self.barred = _bits_of_fragments(root, peaks.keypoint, len(peaks.counts))

    def roots(self) -> NDArray[np.intp]:
        """(N,) root of each peak's fragment."""
        root = np.array(self.parent, np.intp)
        while np.count_nonzero(root != (further := root[root])):
            root = further
        return root

    def bar(self, roots: list[int], keypoints: list[int], neighbours: Sequence[int]) -> None:
        """Bar each fragment from the neighbours of its keypoints. roots, keypoints: root and keypoint of each peak."""
        self.barred = self.held.copy()
        for root, keypoint in zip(roots, keypoints, strict=True):
            self.barred[root] |= neighbours[keypoint]

    def join(self, starts: list[int], ends: list[int]) -> None:
        """Join the fragments of each pair of peaks, pair after pair, unless one bars the other."""
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
    """N integers: at each root, the keypoints of its fragment as bits; see `_Fragments`."""
    if keypoints <= _BITS_OF_A_FLOAT:
        # No fragment holds a keypoint twice, so the sum of the bits is their union.
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
    """Join candidates, the closest pair first, if their gap is less than `merge_distance` x the size of the larger one.

    root: (N,) root of each peak's fragment. candidates: (F,) roots.
    """
    sure = (peaks.score > _SURE).nonzero()[0]
    fragments.bar(root[sure].tolist(), peaks.keypoint[sure].tolist(), neighbours)
    first, second = _close_pairs(_boxes(peaks.points, root)[candidates], size_prior, merge_distance)
    fragments.join(candidates[first].tolist(), candidates[second].tolist())


def _lacking(peaks: Peaks, root: NDArray[np.intp]) -> NDArray[np.intp]:
    """(F,) roots of the fragments that lack a keypoint, at most `_MOST_FRAGMENTS`; root: (N,) root of each peak."""
    size = np.bincount(root)
    roots = ((size > 0) & (size < len(peaks.counts))).nonzero()[0]
    if len(roots) <= _MOST_FRAGMENTS:
        return roots
    highest = np.zeros_like(peaks.score)
    np.maximum.at(highest, root, peaks.score)
    return roots[np.argsort(-highest[roots], kind="stable")[:_MOST_FRAGMENTS]]


def _boxes(points: NDArray[np.complex64], root: NDArray[np.intp]) -> NDArray[np.float32]:
    """(N, 4) float32 left, top, -right, -bottom in cells: at each root, the box of its fragment; infinite elsewhere.

    points: (N,) x + iy in cells. root: (N,) root of each peak.
    """
    sides = np.full((4, len(root)), np.inf, np.float32)
    x, y = points.real, points.imag
    for side, values in zip(sides, (x, y, -x, -y), strict=True):
        np.minimum.at(side, root, values)
    return sides.T


def _close_pairs(
    boxes: NDArray[np.float32], size_prior: float, merge_distance: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) i and j, i < j, of pairs of boxes that are less than `merge_distance` apart, the closest pair first.

    The distance is the gap between the boxes divided by the size of the larger one. The size is the box's diagonal plus
    `size_prior`, cells. boxes: (F, 4), see `_boxes`.
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
