import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet_cli import BODY_18, Skeleton
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.coco import METRICS, evaluate_detections, merge, restrict, without_area
from bpnet_cli.evaluation.report import worst_photos
from tests.conftest import coco_person, write_coco


def truth_and_detections(directory: Path, seed: int = 0) -> tuple[Path, list[dict]]:
    """People of several sizes and detections that are near them, one of them false."""
    rng = np.random.default_rng(seed)
    people, detections = [], []
    for i in range(6):
        size = rng.uniform(40, 200)
        x, y = rng.uniform(0, 200, 2)
        points = np.column_stack([rng.uniform(x, x + size, 17), rng.uniform(y, y + size, 17), np.full(17, 2)])
        box = [x, y, size, size]
        image_id = 1 + i % 2
        people.append(
            coco_person(i + 1, image_id, bbox=box, area=size**2 / 2, keypoints=points.round(2).ravel().tolist())
        )
        noisy = points.copy()
        noisy[:, :2] += rng.normal(0, size * 0.03 * (i % 3), (17, 2))
        noisy[:, 2] = 0.5
        detections.append(
            {"image_id": image_id, "category_id": 1, "keypoints": noisy.ravel().tolist(), "score": float(rng.random())}
        )
    detections.append({**detections[0], "keypoints": [5.0] * 51, "score": 0.99})
    return write_coco(directory, people, sizes=((400, 400), (400, 400))), detections


def test_equals_pycocotools_own_way(tmp_path: Path) -> None:
    path, detections = truth_and_detections(tmp_path)
    results = tmp_path / "results.json"
    results.write_text(json.dumps(detections))
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(path))
        reference = COCOeval(labels, labels.loadRes(str(results)), "keypoints")
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    scores = evaluate_detections(read_coco_file(path), detections, BODY_18)
    np.testing.assert_allclose([scores.metrics[name] for name in METRICS], reference.stats, atol=1e-9)
    assert 0 < scores.metrics["AP"] < 1


def test_other_categories_and_missing_ids_change_nothing(tmp_path: Path) -> None:
    path, detections = truth_and_detections(tmp_path)
    expected = evaluate_detections(read_coco_file(path), detections, BODY_18).metrics
    raw = json.loads(path.read_text())
    for entry in raw["annotations"]:
        del entry["id"]
    raw["categories"].insert(0, {"id": 9, "name": "dog"})
    raw["annotations"].append({"image_id": 1, "category_id": 9})
    path.write_text(json.dumps(raw))
    assert evaluate_detections(read_coco_file(path), detections, BODY_18).metrics == expected


def test_nothing_found_is_zero_not_a_crash(tmp_path: Path) -> None:
    path, _ = truth_and_detections(tmp_path)
    scores = evaluate_detections(read_coco_file(path), [], BODY_18)
    assert scores.metrics["AP"] == 0
    assert [oks.tolist() for oks in scores.best_oks.values()] == [[0.0] * 3] * 2


def test_best_oks_belongs_to_the_labelled_person(tmp_path: Path) -> None:
    path, detections = truth_and_detections(tmp_path)
    scores = evaluate_detections(read_coco_file(path), detections, BODY_18)
    assert scores.best_oks[1][0] == pytest.approx(1.0)  # noise of person i is i % 3
    assert scores.best_oks[2][0] < 1
    one_missing = evaluate_detections(read_coco_file(path), detections[1:-1], BODY_18)
    assert one_missing.best_oks[1][0] < 0.5


def test_people_without_keypoints_are_not_counted(tmp_path: Path) -> None:
    crowd = coco_person(2, iscrowd=1, keypoints=[0] * 51, num_keypoints=0)
    path = write_coco(tmp_path, [coco_person(), crowd, coco_person(3, keypoints=[0] * 51, num_keypoints=0)])
    for found in ([], [{"image_id": 1, "category_id": 1, "keypoints": coco_person()["keypoints"], "score": 1.0}]):
        scores = evaluate_detections(read_coco_file(path), found, BODY_18)
        assert scores.best_oks[1].tolist() == [float(len(found))]


def test_labels_the_model_lacks_are_left_out(tmp_path: Path) -> None:
    path, _ = truth_and_detections(tmp_path)
    truth = read_coco_file(path)
    assert restrict(truth, BODY_18) is truth
    pair = Skeleton("pair", ("right_eye", "nose", "tail"), (), (), (0.05, 0.05, 0.05))
    reduced = restrict(truth, pair)
    assert reduced.keypoint_names == ("nose", "right_eye")
    person = truth.people_of(1).keypoints[0].ravel().tolist()
    assert reduced.people_of(1).keypoints[0].ravel().tolist() == person[0:3] + person[6:9]
    perfect = [
        {"image_id": image_id, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": 1.0}
        for image_id in reduced.images
        for keypoints in reduced.people_of(image_id).keypoints
    ]
    assert evaluate_detections(reduced, perfect, pair).metrics["AP"] == pytest.approx(1.0)
    with pytest.raises(DataError, match=r"labels none of the keypoints of skeleton fish, but nose, .*`rename: "):
        restrict(truth, Skeleton("fish", ("fin",), (), (), (0.1,)))


def test_pooling_two_files_equals_evaluating_their_union(tmp_path: Path) -> None:
    first, first_found = truth_and_detections(tmp_path / "a", 1)
    second, second_found = truth_and_detections(tmp_path / "b", 2)
    pooled, ids = merge([read_coco_file(first), read_coco_file(second)])
    assert sorted(pooled.images) == [1, 2, 3, 4]
    moved = [{**d, "image_id": ids[0][d["image_id"]]} for d in first_found]
    moved += [{**d, "image_id": ids[1][d["image_id"]]} for d in second_found]
    both = evaluate_detections(pooled, moved, BODY_18)
    assert len([oks for oks in both.best_oks.values() if len(oks)]) == 4
    only_first = evaluate_detections(pooled, moved, BODY_18, image_ids=[1, 2]).metrics
    assert only_first == evaluate_detections(read_coco_file(first), first_found, BODY_18).metrics


def test_one_file_keeps_its_ids(tmp_path: Path) -> None:
    path, _ = truth_and_detections(tmp_path)
    file = read_coco_file(path)
    assert merge([file])[0] is file


def test_without_areas_a_share_of_the_boxes_counts_and_a_line_says_so(tmp_path: Path) -> None:
    path, detections = truth_and_detections(tmp_path)
    raw = json.loads(path.read_text())
    for entry in raw["annotations"]:
        entry["area"] = 0.53 * entry["bbox"][2] * entry["bbox"][3]
    path.write_text(json.dumps(raw))
    truth = read_coco_file(path)
    assert without_area(truth) == ""
    expected = evaluate_detections(truth, detections, BODY_18).metrics
    for i, entry in enumerate(raw["annotations"][:3]):
        entry.update(area=0) if i else entry.pop("area")
    path.write_text(json.dumps(raw))
    truth = read_coco_file(path)
    assert evaluate_detections(truth, detections, BODY_18).metrics == pytest.approx(expected)
    assert without_area(truth).startswith("3 of 6 annotations have no area. 0.53 x the area of their box")


def test_missed_large_people_come_first(tmp_path: Path) -> None:
    """Photo 1: a large person half found; 2: a tiny one missed; 3: found exactly; 4: nobody."""
    large = coco_person(1, 1, area=5000)
    people = [large, coco_person(2, 2, area=30), coco_person(3, 3, area=5000)]
    truth = read_coco_file(write_coco(tmp_path, people, sizes=((100, 120),) * 4))
    moved = [v + 4 if i % 3 < 2 else v for i, v in enumerate(large["keypoints"])]
    detections = [
        {"image_id": image_id, "category_id": 1, "keypoints": points, "score": 1.0}
        for image_id, points in ((1, moved), (3, large["keypoints"]))
    ]
    scores = evaluate_detections(truth, detections, BODY_18)
    assert 0 < scores.best_oks[1][0] < 1
    assert [areas.tolist() for areas in scores.areas.values()] == [[5000], [30], [5000], []]
    assert worst_photos(scores, truth.images) == [1, 2, 3]
