"""The decoder written the slow, obvious way: loops over Python numbers, one rule after the other.

What the fast decoder must give: `pose.pairs`, `pose.limbs` and `pose.assemble` are compared with it.
"""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np

SHORTEST, UNMARKED, MARK, SHORTFALL = 0.125, 1.0, 0.03, 5.0
EASY_LENGTH, UNSEEN = 0.5, 0.05
SURE, SIZE_PRIOR = 0.3, 1 / 16


class SlowDecoder:
    """pafs: (h, w, 2L). peaks: see `pose.peaks.Peaks`. limbs: (L, 2) keypoints."""

    def __init__(self, pafs, peaks, limbs):
        self.pafs, self.limbs, self.keypoints = pafs.astype(float), limbs.tolist(), len(peaks.counts)
        self.keypoint, self.score = peaks.keypoint.tolist(), peaks.score.tolist()
        self.point = [(point.real, point.imag) for point in peaks.points.tolist()]
        self.height, self.width = pafs.shape[:2]

    def inside(self, point):
        x, y = point
        return min(max(x, 0), self.width - 1.001), min(max(y, 0), self.height - 1.001)

    def vector_at_peak(self, limb, point):
        """The PAF in the nearest cell; where it says nothing, the mean of the four cells around."""
        x, y = self.inside(point)
        vector = self.pafs[int(y + 0.5), int(x + 0.5), 2 * limb : 2 * limb + 2]
        if np.hypot(*vector) >= MARK:
            return vector
        return self.pafs[int(y) : int(y) + 2, int(x) : int(x) + 2, 2 * limb : 2 * limb + 2].mean(axis=(0, 1))

    def may_join(self, limb, start, end):
        """Whether the unit vectors at both ends foresee the length, see `pairs._foreseen`."""
        vectors = [self.vector_at_peak(limb, self.point[peak]) for peak in (start, end)]
        lengths = [math.hypot(*vector) for vector in vectors]
        units = [vector / max(length, SHORTEST) for vector, length in zip(vectors, lengths, strict=True)]
        (ax, ay), (bx, by) = self.inside(self.point[start]), self.inside(self.point[end])
        along = ((units[0][0] + units[1][0]) * (bx - ax) + (units[0][1] + units[1][1]) * (by - ay)) / 2
        longest = along + min(along, SHORTFALL)
        spared = UNMARKED if max(lengths) < MARK else SHORTEST
        return longest * abs(longest) > (bx - ax) ** 2 + (by - ay) ** 2 - spared**2

    def sample(self, limb, x, y):
        """Bilinear PAF vector."""
        column, row = int(x), int(y)
        total = np.zeros(2)
        for down in (0, 1):
            for right in (0, 1):
                share = abs(1 - right - (x - column)) * abs(1 - down - (y - row))
                total += share * self.pafs[row + down, column + right, 2 * limb : 2 * limb + 2]
        return total

    def limb_score(self, limb, start, end, samples):
        (ax, ay), (bx, by) = self.inside(self.point[start]), self.inside(self.point[end])
        dx, dy = (self.point[end][i] - self.point[start][i] for i in (0, 1))
        length = math.hypot(dx, dy)
        if length < SHORTEST:
            return 1.0
        along = []
        for i in range(samples):
            even = i / max(samples - 1, 1)
            share = even / 2 + (1 - math.cos(math.pi * even)) / 4
            vector = self.sample(limb, ax + share * (bx - ax), ay + share * (by - ay))
            along.append((vector[0] * dx + vector[1] * dy) / length)
        mean = sum(along) / samples
        if length < UNMARKED and abs(mean) < MARK:
            return UNSEEN
        if min(along[1:-1], default=1) <= 0:
            return 0.0
        return mean + min(EASY_LENGTH * min(self.height, self.width) / length - 1, 0)

    def candidates(self, threshold, samples):
        """{(start, end): weight} of pairs of peaks."""
        found = {}
        peaks = range(len(self.keypoint))
        for (limb, ends), start, end in product(enumerate(self.limbs), peaks, peaks):
            if [self.keypoint[start], self.keypoint[end]] == ends and self.may_join(limb, start, end):
                score = self.limb_score(limb, start, end, samples)
                weight = score * math.sqrt(self.score[start] * self.score[end])
                if weight > threshold:
                    found[start, end] = weight
        return found

    def people(self, candidates, diagonal, merge_distance):
        """Sets of peaks: limbs best first, then fragments that lie close, closest first."""
        group = {peak: frozenset([peak]) for peak in range(len(self.keypoint))}

        def held(peaks):
            return {self.keypoint[peak] for peak in peaks}

        def unite(one, other):
            for peak in one | other:
                group[peak] = one | other

        for start, end in sorted(candidates, key=lambda pair: -candidates[pair]):
            if group[start] is not group[end] and not held(group[start]) & held(group[end]):
                unite(group[start], group[end])

        def barred(peaks):
            """Keypoints that a limb joins to a sure one of these."""
            sure = {self.keypoint[peak] for peak in peaks if self.score[peak] > SURE}
            return {b for a, b in self.limbs if a in sure} | {a for a, b in self.limbs if b in sure}

        def box(peaks):
            points = np.array([self.point[peak] for peak in peaks])
            return points.min(axis=0), points.max(axis=0)

        fragments = sorted({min(peaks) for peaks in group.values() if len(peaks) < self.keypoints})
        boxes, bars = {one: box(group[one]) for one in fragments}, {one: barred(group[one]) for one in fragments}
        close = []
        for one, other in combinations(fragments, 2):
            (low, high), (low_2, high_2) = boxes[one], boxes[other]
            gap = np.maximum(np.maximum(low - high_2, low_2 - high), 0)
            size = max(np.hypot(*(high - low)), np.hypot(*(high_2 - low_2))) + SIZE_PRIOR * diagonal
            if np.hypot(*gap) / size < merge_distance:
                close.append((np.hypot(*gap) / size, one, other))
        for _, *pair in sorted(close):
            one, other = sorted(min(group[peak]) for peak in pair)
            first, second = held(group[one]), held(group[other])
            if one != other and not first & (second | bars[other]) and not second & bars[one]:
                unite(group[one], group[other])
                bars[one] |= bars[other]
        return set(group.values())
