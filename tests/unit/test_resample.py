"""AP over chosen photos."""

from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.evaluation.coco import Scores, evaluate_detections
from bpnet_cli.evaluation.resample import ap_by_people, bootstrap_interval
from tests.conftest import coco_person, write_coco

# Labelled people of each photo, and how far off the detections are, in pixels.
PEOPLE, ERRORS = (1, 1, 2, 5, 1, 0), (0.0, 6.0, 0.0, 12.0, 200.0, 0.0)


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    return evaluate_detections(*labels_and_detections(tmp_path), BODY_18)


def labels_and_detections(folder: Path) -> tuple:
    rng = np.random.default_rng(0)
    entries, detections = [], []
    for i, (count, error) in enumerate(zip(PEOPLE, ERRORS, strict=True), start=1):
        for _ in range(count):
            points = np.column_stack([rng.uniform(50, 250, (17, 2)), np.full(17, 2)])
            entries.append(coco_person(len(entries) + 1, i, keypoints=points.ravel().tolist(), area=20000.0))
            moved = points + np.array([error, 0, 0])
            found = {"image_id": i, "category_id": 1, "keypoints": moved.ravel().tolist(), "score": rng.random()}
            detections.append(found)
    return read_coco_file(write_coco(folder, entries, sizes=((300, 300),) * len(PEOPLE))), detections


def test_all_photos_give_the_ap_of_the_whole(scores: Scores) -> None:
    ids = scores.matches.image_ids
    assert ids == [1, 2, 3, 4, 5, 6]
    assert scores.matches.ap(ids) == pytest.approx(scores.metrics["AP"], abs=1e-12)
    assert 0 < scores.metrics["AP"] < 1


def test_a_choice_counts_its_photos_as_often_as_it_has_them(scores: Scores, tmp_path: Path) -> None:
    assert scores.matches.ap([1, 3]) == 1
    assert scores.matches.ap([5]) == 0
    assert scores.matches.ap([6]) == -1
    assert scores.matches.ap([1, 5]) < scores.matches.ap([1, 1, 1, 5])
    truth, detections = labels_and_detections(tmp_path)
    alone = evaluate_detections(truth, detections, BODY_18, image_ids=[2, 4]).metrics["AP"]
    assert scores.matches.ap([2, 4]) == pytest.approx(alone, abs=1e-12)


def test_the_interval_holds_the_ap_and_is_the_same_every_time(scores: Scores) -> None:
    low, high = bootstrap_interval(scores.matches)
    assert 0 <= low < scores.metrics["AP"] < high <= 1
    assert bootstrap_interval(scores.matches) == (low, high)
    narrow = bootstrap_interval(scores.matches, share=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_groups_by_number_of_people(scores: Scores) -> None:
    rows = ap_by_people(scores.matches)
    assert [(name, photos) for name, photos, _ in rows] == [("1 person", 3), ("2 or 3 people", 1), ("4 to 8 people", 1)]
    assert rows[1][2] == 1
    assert rows[2][2] < 1


def test_nobody_labelled(tmp_path: Path) -> None:
    truth = read_coco_file(
        write_coco(tmp_path, [coco_person(1, 1, keypoints=[0] * 51, num_keypoints=0)], sizes=((99, 99),))
    )
    assert bootstrap_interval(evaluate_detections(truth, [], BODY_18).matches) == (-1, -1)


def test_no_interval_from_a_handful(tmp_path: Path) -> None:
    truth, detections = labels_and_detections(tmp_path)
    scores = evaluate_detections(truth, detections, BODY_18, image_ids=[1, 2, 3, 4, 5])
    assert bootstrap_interval(scores.matches) == (-1, -1)
