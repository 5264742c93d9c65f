"""OKS against pycocotools, and the scores of keypoints counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet_cli import Person, Skeleton
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.evaluation.keypoints import score_keypoints
from bpnet_cli.pose.oks import oks

NAMES = ("shoulder", "elbow", "wrist")
ARM = Skeleton("arm", NAMES, (("shoulder", "elbow"), ("elbow", "wrist")), (), (0.05, 0.1, 0.05))
NOT_FOUND = (np.nan,) * 3


def test_oks_is_that_of_pycocotools() -> None:
    rng = np.random.default_rng(5)
    labels = np.dstack([rng.uniform(50, 90, (4, 3, 2)), rng.integers(0, 3, (4, 3, 1))])
    labels[:, 0, 2] = 2
    areas = rng.uniform(200, 4000, 4)
    found = labels[rng.integers(0, 4, 6)] + np.dstack([rng.normal(0, 5, (6, 3, 2)), rng.random((6, 3, 1))])
    coco = COCO()
    coco.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": []}
    entries = [[1, 0, 0, 200, 200, area, points] for points, area in zip(labels, areas, strict=True)]
    people = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 3, "bbox": list(map(float, box)),
         "area": area, "keypoints": points.ravel().tolist()}
        for i, (*box, area, points) in enumerate([entry[1:] for entry in entries], start=1)
    ]  # fmt: skip
    coco.dataset["annotations"] = people
    coco.createIndex()
    results = [
        {"image_id": 1, "category_id": 1, "keypoints": points.ravel().tolist(), "score": 9.0 - i}
        for i, points in enumerate(found)
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(ARM.sigmas)
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]
    evaluation._prepare()
    np.testing.assert_allclose(oks(found, labels, areas, ARM.sigmas), evaluation.computeOks(1, 1), rtol=1e-9)


def test_a_keypoint_that_was_not_found_counts_nothing() -> None:
    labels = np.array([[(10, 10, 2), (20, 10, 1), (0, 0, 0)]], np.float32)
    found = np.array([[(10, 10, 0.9), NOT_FOUND, (5, 5, 0.9)], [NOT_FOUND] * 3], np.float32)
    np.testing.assert_allclose(oks(found, labels, np.array([100.0]), ARM.sigmas), [[0.5], [0]])
    assert oks(found, labels * 0, np.array([100.0]), ARM.sigmas).tolist() == [[0], [0]]


def test_keypoints_are_counted(tmp_path: Path) -> None:
    box = {"bbox": [0, 0, 100, 100], "area": 10_000, "image_id": 1, "category_id": 1}
    raw = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 200}],
        "annotations": [
            {"id": 1, "keypoints": [10, 10, 2, 50, 10, 2, 90, 10, 2], **box},
            {"id": 2, "keypoints": [210, 10, 2, 250, 10, 2, 0, 0, 0], **box},
        ],
        "categories": [{"id": 1, "name": "arm", "keypoints": list(NAMES), "skeleton": []}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(raw))
    truth = read_coco_file(tmp_path / "labels.json")
    # Its wrist is 30 px off, and it lacks the shoulder; another detection has the shoulder alone.
    near = Person(np.array([NOT_FOUND, (54, 10, 0.9), (90, 40, 0.9)], np.float32), 3.0)
    rest = Person(np.array([(16, 10, 0.9), NOT_FOUND, NOT_FOUND], np.float32), 2.0)
    scores = score_keypoints(truth, {1: [rest, near]}, ARM)
    assert scores.labelled.tolist() == [2, 2, 1]
    assert (scores.right.tolist(), scores.missed.tolist()) == ([0, 1, 0], [2, 1, 0])
    assert scores.distance[1:] == pytest.approx([0.04, 0.3])
    nobody = score_keypoints(truth, {1: []}, ARM)
    assert (nobody.labelled.tolist(), nobody.missed.tolist()) == ([2, 2, 1], [2, 2, 1])
    assert np.isnan(nobody.distance).all()
