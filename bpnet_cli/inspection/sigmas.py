"""OKS constants from people who are labelled twice, by the formula that gave COCO's constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels, People
from bpnet_cli.sides import canonical

# Two entries of one photo are the same person if their boxes overlap by this share (intersection over union), and half
# of their common keypoints are nearer to each other than this share of the root of the person's area.
_OVERLAP, _NEAR = 0.6, 0.1
_LEAST_COMMON = 3  # keypoints that both entries have
_LEAST_PAIRS = 10  # for a constant


def measured_sigmas(labels: Labels) -> tuple[dict[str, float], int]:
    """OKS constants by name, of the kinds of keypoints with enough double labels, and the number of people used.

    sigma^2 is the mean of d^2 / s^2, for the distance d of two labels of a keypoint and the area s^2 of the person
    (COCO, keypoints-eval). It is taken from the median, because the squares of distances of labels with normal errors
    have an exponential distribution, whose mean is the median / ln 2. So single wrong labels don't count. The left and
    the right keypoint of a kind are taken together.
    """
    kinds = [_kind(name) for name in labels.keypoint_names]
    found: dict[tuple[str, ...], list[float]] = {}
    people = 0
    for image_id in labels.images:
        for first, second in _twins(labels.people_of(image_id)):
            people += 1
            squares = ((first[:, :2] - second[:, :2]) ** 2).sum(axis=1) / second[:, 3]
            for kind, square, both in zip(kinds, squares.tolist(), _both(first, second), strict=True):
                if both:
                    found.setdefault(kind, []).append(square)
    sigmas = {
        kind: float(np.sqrt(np.median(squares) / np.log(2)))
        for kind, squares in found.items()
        if len(squares) >= _LEAST_PAIRS and np.median(squares) > 0
    }
    named = zip(labels.keypoint_names, kinds, strict=True)
    return {name: round(sigmas[kind], 4) for name, kind in named if kind in sigmas}, people


def _kind(name: str) -> tuple[str, ...]:
    words = canonical(name) or (name,)  # a name may have no letter or digit
    return words[1:] if words[0] in ("left", "right") and len(words) > 1 else words


def _both(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (first[:, 2] > 0) & (second[:, 2] > 0)


def _twins(people: People) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pairs of entries that are the same person: (K, 4) x, y, visibility, mean area of the two entries."""
    rows = np.flatnonzero(people.labelled).tolist()
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    used: set[int] = set()
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            if {a, b} & used or _overlap(people.boxes[a], people.boxes[b]) < _OVERLAP:
                continue
            area = np.full((people.keypoints.shape[1], 1), people.known_areas[[a, b]].mean())
            first, second = (np.hstack([people.keypoints[row], area]) for row in (a, b))
            if _is_twin(first, second):
                found.append((first, second))
                used |= {a, b}
    return found


def _is_twin(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    both = _both(first, second)
    if both.sum() < _LEAST_COMMON:
        return False
    distances = np.linalg.norm(first[both, :2] - second[both, :2], axis=1) / np.sqrt(first[both, 3])
    return bool(distances.max() > 0 and np.median(distances) < _NEAR)  # an entry that is copied has no spread


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if min(width, height) <= 0:
        return 0.0
    return float(width * height / (a[2] * a[3] + b[2] * b[3] - width * height))
