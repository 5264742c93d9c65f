"""Unknown keypoints: the labels don't say whether they are visible. So they are unlabelled, but may be visible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Side of the square around an unknown keypoint, as a share of the larger side of the person's box. The first value is
# for a nearest labelled keypoint that is one limb away; each further limb adds the second value. Measured on faces in
# COCO: the square holds 97 % of the ears if an eye is labelled, and 97 % of the noses if the nearest labelled keypoints
# are the shoulders.
_SIDE, _SIDE_PER_LIMB = 0.35, 0.125


def unknown_boxes(
    keypoints: NDArray[np.float64],
    box: NDArray[np.float64],
    unknown: NDArray[np.bool_],
    limbs: Sequence[tuple[int, int]],
) -> list[list[float]]:
    """Boxes x, y, width, height, in pixels, in which a person's unknown keypoints may be.

    keypoints: (N, 3) x, y, visibility. box: (4,) the person's box x, y, width, height. unknown: (N,) bool; labelled
    keypoints don't count as unknown. limbs: pairs of keypoints, counted from 0.

    For each unknown keypoint, the labelled keypoints that are the fewest limbs away are found. The box is a square
    around their mean, and it is larger if they are more limbs away. If an unknown keypoint is connected with no
    labelled one, the result is the person's whole box alone.
    """
    labelled = set(np.flatnonzero(keypoints[:, 2] > 0).tolist())
    boxes = []
    for k in sorted(set(np.flatnonzero(unknown).tolist()) - labelled):
        near, distance = _nearest(k, labelled, limbs)
        if not near:
            return [box.tolist()]
        side = max(box[2:].tolist()) * (_SIDE + _SIDE_PER_LIMB * (distance - 1))
        x, y = keypoints[sorted(near), :2].mean(axis=0).tolist()
        boxes.append([x - side / 2, y - side / 2, side, side])
    return boxes


def _nearest(start: int, wanted: set[int], limbs: Sequence[tuple[int, int]]) -> tuple[set[int], int]:
    """The keypoints of `wanted` that are the fewest limbs away from keypoint `start`, and the number of these limbs."""
    ring, seen, distance = {start}, {start}, 0
    while ring:
        ring = {b for pair in limbs for a, b in (pair, pair[::-1]) if a in ring} - seen
        seen |= ring
        distance += 1
        if ring & wanted:
            return ring & wanted, distance
    return set(), 0
