"""Limb precision and recall, counted by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import Person, Skeleton
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.evaluation.limbs import score_limbs

NAMES = ("shoulder", "elbow", "wrist", "tip")
ARM = Skeleton("arm", NAMES, tuple(pairwise(NAMES)), (), (0.05,) * 4)


def labels(tmp_path: Path, *annotations: dict) -> object:
    """A file that labels three of the four keypoints, so that one limb is never labelled."""
    path = tmp_path / "labels.json"
    entries = [{"id": i, "image_id": 1, "category_id": 1, **entry} for i, entry in enumerate(annotations, start=1)]
    raw = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 200}],
        "annotations": entries,
        "categories": [{"id": 1, "name": "arm", "keypoints": ["shoulder", "elbow", "wrist"], "skeleton": []}],
    }
    path.write_text(json.dumps(raw))
    return read_coco_file(path)


def person(*points: tuple[float, float] | None) -> Person:
    rows = [(np.nan,) * 3 if point is None else (*point, 0.9) for point in points]
    return Person(np.array(rows, np.float32), 3.0)


FIRST = {"keypoints": [10, 10, 2, 50, 10, 2, 90, 10, 2], "bbox": [0, 0, 100, 50], "area": 2500}  # reach: 10 pixels
SECOND = {"keypoints": [10, 110, 2, 50, 110, 2, 0, 0, 0], "bbox": [0, 100, 100, 50], "area": 400}  # reach: 4 pixels


def counts(truth: object, *people: Person) -> list[list[int]]:
    scores = score_limbs(truth, {1: people}, ARM)
    return [part.tolist() for part in (scores.drawn, scores.right, scores.labelled, scores.found)]


def test_a_limb_is_right_if_both_ends_are_near_those_of_one_person(tmp_path: Path) -> None:
    truth = labels(tmp_path, FIRST, SECOND)
    assert counts(truth) == [[0, 0, 0], [0, 0, 0], [2, 1, 0], [0, 0, 0]]
    near, far = person((10, 19), (50, 10), (90, 21), (95, 10)), person((10, 113), (50, 116), None, None)
    assert counts(truth, near) == [[1, 1, 0], [1, 0, 0], [2, 1, 0], [1, 0, 0]]
    assert counts(truth, far) == [[1, 0, 0], [0, 0, 0], [2, 1, 0], [0, 0, 0]]
    # From one person's shoulder to another's elbow.
    assert counts(truth, person((10, 10), (50, 110), None, None)) == [[1, 0, 0], [0, 0, 0], [2, 1, 0], [0, 0, 0]]
    scores = score_limbs(truth, {1: [near, far]}, ARM)
    assert (scores.precision, scores.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    # Two detections of the same limb: both are right, and it is found once.
    assert counts(truth, near, near) == [[2, 2, 0], [2, 0, 0], [2, 1, 0], [1, 0, 0]]


def test_crowds_and_people_without_keypoints_are_left_out(tmp_path: Path) -> None:
    crowd = {"keypoints": [0] * 9, "bbox": [200, 0, 100, 100], "area": 1e4, "iscrowd": 1, "segmentation": []}
    unlabelled = {"keypoints": [0] * 9, "bbox": [300, 0, 100, 100], "area": 1e4, "segmentation": []}
    truth = labels(tmp_path, FIRST, crowd, unlabelled)
    for x in (200, 300):
        inside, across = person((x + 10, 10), (x + 50, 10), None, None), person((x - 20, 150), (x + 50, 10), None, None)
        assert counts(truth, inside)[0] == [0, 0, 0]
        assert counts(truth, across)[0] == [1, 0, 0]


def test_nothing_labelled_and_nothing_found(tmp_path: Path) -> None:
    scores = score_limbs(labels(tmp_path, FIRST), {1: []}, ARM)
    assert (scores.precision, scores.recall) == (-1.0, 0.0)
