"""Limbs for keypoints that have none, from where labels lie: a minimum spanning tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.skeleton import joined

Pair = tuple[int, int]


def mean_distances(keypoints: NDArray[np.float64], flip: NDArray[np.intp]) -> NDArray[np.float64]:
    """(K, K) mean distance of two keypoints of a person, in units of the person's size; infinite if no person has both.

    The size is the root of the mean squared distance of a person's keypoints from their centre. keypoints: (P, K, 3)
    x, y, visibility. flip: (K,) the partner of each keypoint on the other side, or itself; a pair and its mirror image
    get the same distance, so that the limbs of both sides are alike.
    """
    count = keypoints.shape[1]
    total, number = np.zeros((count, count)), np.zeros((count, count))
    for person in keypoints:
        found = person[:, 2] > 0
        points = person[found, :2]
        size = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()) if len(points) > 1 else 0.0
        if size > 0:
            both = np.ix_(found, found)
            total[both] += np.linalg.norm(points[:, None] - points[None], axis=-1) / size
            number[both] += 1
    total, number = (values + values[np.ix_(flip, flip)] for values in (total, number))
    return np.where(number > 0, total / np.maximum(number, 1), np.inf)


def spanning_limbs(distances: NDArray[np.float64], limbs: Sequence[Pair] = ()) -> list[Pair]:
    """The limbs of a minimum spanning tree (Prim) that joins everything the given limbs don't join.

    distances: (K, K), infinite where a limb is not possible. Limbs point away from the keypoint with the smallest mean
    distance to the others. If not everything can be joined, the tree of each group is returned.
    """
    groups = joined(len(distances), limbs)
    finite = np.where(np.isfinite(distances), distances, np.nanmax(distances, where=np.isfinite(distances), initial=0))
    found: list[Pair] = []
    inside = groups == groups[finite.mean(axis=1).argmin()]
    while not inside.all():
        between = np.where(inside[:, None] & ~inside[None], distances, np.inf)
        a, b = divmod(int(between.argmin()), len(between))
        if np.isfinite(between[a, b]):
            found.append((a, b))
        else:  # nothing is near: another tree begins
            b = int(np.flatnonzero(~inside)[finite[~inside].mean(axis=1).argmin()])
        inside |= groups == groups[b]
    return found
