"""Crowds of people who don't overlap, for benchmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.figure import sample_figure
from bpnet_cli.data.photos import to_skeleton
from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS, Skeleton

_COLUMNS, _ROWS = 14, 8
# A person fills this share of its place in the grid. The rest is a gap to the neighbours.
_FILL = 0.72


def draw_crowd(count: int, height: int, width: int, skeleton: Skeleton, seed: int = 0) -> NDArray[np.float64]:
    """(count, K, 3) float64 keypoints x, y, visibility of synthetic people on height x width pixels.

    Each person has its own place in a grid. Visibility is 2, or 0 for keypoints that synthetic people don't have.
    Raises BpnetError for more people than places, and for a skeleton that has no keypoint of synthetic people.
    """
    if not 1 <= count <= _COLUMNS * _ROWS:
        raise BpnetError(f"crowd: must be 1 to {_COLUMNS * _ROWS} people (got {count})")
    if not set(COCO_KEYPOINTS) & set(skeleton.keypoints):
        raise BpnetError(f"crowd: synthetic people have none of the keypoints of skeleton {skeleton.name}")
    rng = np.random.default_rng([seed, count])
    place_width, place_height = width / _COLUMNS, height / _ROWS
    people = np.full((count, len(COCO_KEYPOINTS), 3), 2.0, np.float32)
    for person, place in zip(people, rng.permutation(_COLUMNS * _ROWS)[:count], strict=True):
        row, column = divmod(int(place), _COLUMNS)
        points = sample_figure(rng).keypoints[:, :2]
        low, high = points.min(axis=0), points.max(axis=0)
        scale = _FILL * min(place_width / (high[0] - low[0]), place_height / (high[1] - low[1]))
        centre = ((column + 0.5) * place_width, (row + 0.5) * place_height)
        person[:, :2] = scale * (points - (low + high) / 2) + centre
    keypoints, _ = to_skeleton(people, COCO_KEYPOINTS, skeleton)
    return keypoints.astype(np.float64)
