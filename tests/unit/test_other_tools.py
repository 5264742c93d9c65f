"""Annotations as other tools write them: read as they are meant, or refused with the suspicion; in JSON and shards."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet_cli import BODY_18
from bpnet_cli.build import open_sources, photos_of
from bpnet_cli.data.checks import ELSEWHERE
from bpnet_cli.data.choice import Choice, choice_for, names_for
from bpnet_cli.data.convert import convert
from bpnet_cli.data.labels import Labels
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.sources import open_source
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.coco import evaluate_detections
from bpnet_cli.log import silenced
from bpnet_cli.spec.dataset import DataSource, RecordSource
from tests.conftest import COCO_NAMES

Change = Callable[[dict], None]
SIZE = (300, 400)
PHOTOS, PEOPLE = 3, 4


def person(number: int, image_id: int, rng: np.random.Generator) -> dict:
    """A person with a box that holds the keypoints, some of them unlabelled."""
    width, height = rng.uniform(60, 120), rng.uniform(80, 160)
    x, y = rng.uniform(0, SIZE[1] - width), rng.uniform(0, SIZE[0] - height)
    points = np.column_stack([rng.uniform(x, x + width, 17), rng.uniform(y, y + height, 17), rng.integers(1, 3, 17)])
    points[:2, :2] = (x + 5, y + 5), (x + width - 5, y + height - 5)
    points[rng.integers(2, 17, 3)] = 0
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x, y, width, height],
        "area": 0.5 * width * height,
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "keypoints": points.ravel().tolist(),
    }


def base() -> dict:
    rng = np.random.default_rng(1)
    images = [{"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]} for i in range(1, PHOTOS + 1)]
    annotations = [person(PEOPLE * i + k, i, rng) for i in range(1, PHOTOS + 1) for k in range(PEOPLE)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_NAMES), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def write(directory: Path, *changes: Change) -> DataSource:
    data = base()
    for change in changes:
        change(data)
    (directory / "photos").mkdir(parents=True, exist_ok=True)
    for number in range(1, PHOTOS + 1):
        cv2.imwrite(str(directory / "photos" / f"{number}.png"), np.full((*SIZE, 3), 90, np.uint8))
    path = directory / "labels.json"
    path.write_text(json.dumps(data))
    return DataSource(images=str(directory / "photos"), annotations=str(path))


def read(source: DataSource, choice: Choice | None = None) -> tuple[Labels, list[str]]:
    """The labels, and what is said about them without the file's name."""
    opened = open_source(source.images, source.annotations, choice or choice_for(BODY_18))
    lines = [*opened.notes, *(reason for reason, _ in opened.problems)]
    return opened.labels, list(dict.fromkeys(line.replace(f"{source.annotations}: ", "") for line in lines))


def each(**values: Callable[[Any], Any]) -> Change:
    """A change of some keys of each annotation."""

    def change(data: dict) -> None:
        for entry in data["annotations"]:
            entry |= {key: make(entry[key]) for key, make in values.items()}

    return change


def without(key: str) -> Change:
    def change(data: dict) -> None:
        for entry in data["annotations"]:
            del entry[key]

    return change


def nameless(data: dict) -> None:
    del data["categories"][0]["keypoints"]


def wrong_keys(data: dict) -> None:
    for entry in data["annotations"]:
        entry |= {"keypoint": entry.pop("keypoints"), "num_keypoints": 0}


def images(**values: Callable[[Any], Any]) -> Change:
    def change(data: dict) -> None:
        for entry in data["images"]:
            entry |= {key: make(entry[key]) for key, make in values.items()}

    return change


def category(**values: Any) -> Change:
    return lambda data: data["categories"][0].update(values)


def renamed(make: Callable[[str], str]) -> Change:
    return category(keypoints=[make(name) for name in COCO_NAMES])


def moved_key(key: str) -> Change:
    def change(data: dict) -> None:
        data["categories"][0][key] = data["categories"][0].pop("keypoints")

    return change


def ids(make: Callable[[int], Any], annotation: Callable[[int], Any] | None = None) -> Change:
    """Other image ids; annotations may write them in another way."""

    def change(data: dict) -> None:
        for entry in data["images"]:
            entry["id"] = make(entry["id"])
        for entry in data["annotations"]:
            entry["image_id"] = (annotation or make)(entry["image_id"])

    return change


def nested(points: list) -> list:
    return [points[i : i + 3] for i in range(0, len(points), 3)]


def both(*changes: Change) -> Change:
    def change(data: dict) -> None:
        for one in changes:
            one(data)

    return change


def nothing(data: dict) -> None:
    """No change."""


OTHER_NAMES = "keypoint names in another spelling than the skeleton's: 16 (first: "
# What changes nothing: (change, the beginning of the line that is said, "" for none).
SAME = {
    "no change": (nothing, ""),
    "L_Eye": (renamed(lambda n: n.replace("left_", "L_").replace("right_", "R_")), f"{OTHER_NAMES}L_eye is left_eye)"),
    "LEye": (renamed(lambda n: n.title().replace("_", "").replace("eft", "").replace("ight", "")), "keypoint names in"),
    "spaces": (renamed(lambda n: f" {n} "), "keypoint names with spaces at their ends, which are left out: 17 (first"),
    "no count": (without("num_keypoints"), ""),
    "count 0": (each(num_keypoints=lambda _: 0), ""),
    "count 99": (each(num_keypoints=lambda _: 99), ""),
    "count text": (each(num_keypoints=lambda n: str(n)), ""),
    "crowd text": (each(iscrowd=lambda _: "0"), ""),
    "crowd false": (each(iscrowd=lambda _: False), ""),
    "crowd False": (each(iscrowd=lambda _: "False"), ""),
    "crowd null": (each(iscrowd=lambda _: None), ""),
    "no crowd": (without("iscrowd"), ""),
    "nested": (each(keypoints=nested), "keypoints read from nested lists: 12 (first: annotation 4)"),
    "float sizes": (images(width=float, height=float), ""),
    "text sizes": (images(width=str, height=str), ""),
    "text ids": (ids(str), ""),
    "text in images": (ids(str, int), ""),
    "text in annotations": (ids(int, str), ""),
    "float ids": (ids(int, float), ""),
    "huge ids": (ids(lambda i: 2**64 + i), ""),
    "hashes": (ids(lambda i: f"{i}f0c"), ""),
    "long annotation ids": (each(id=lambda i: 2**100 + i), ""),
    "category text": (each(category_id=str), ""),
    "category hash": (both(category(id="abc"), each(category_id=lambda _: "abc")), ""),
    "backslashes": (images(file_name=lambda n: f"photos\\{n}"), ELSEWHERE),
    "drive": (images(file_name=lambda n: f"C:\\my photos\\{n}"), ELSEWHERE),
    "folders": (images(file_name=lambda n: f"/data/upload/1/{n}"), ELSEWHERE),
    "no names": (nameless, "category 'person' has no keypoint names; its 17"),
    "wrong key": (moved_key("keypoint"), "category 'person' has no key 'keypoints'; its key 'keypoint' is taken"),
    "null points": (each(keypoints=lambda p: [v or None for v in p]), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same_is_read_as_the_same(tmp_path: Path, name: str) -> None:
    change, line = SAME[name]
    plain, _ = read(write(tmp_path / "plain"))
    labels, lines = read(write(tmp_path / "other", change))
    assert [text.startswith(line) for text in lines] == ([True] if line else [])
    assert labels.keypoint_names == plain.keypoint_names
    for key in ("keypoints", "boxes", "areas", "crowds", "unknown"):
        np.testing.assert_array_equal(getattr(labels.people, key), getattr(plain.people, key))


def test_ids_in_the_results_are_those_of_the_file(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a"))[0].stated_ids == {}
    assert read(write(tmp_path / "b", ids(str)))[0].stated_ids == {1: "1", 2: "2", 3: "3"}
    assert read(write(tmp_path / "c", ids(lambda i: 2**64 + i)))[0].stated_ids == {i: 2**64 + i for i in (1, 2, 3)}


def shares(data: dict) -> None:
    for entry in data["annotations"]:
        scale = np.array([*SIZE[::-1], 1])
        entry["keypoints"] = (np.reshape(entry["keypoints"], (-1, 3)) / scale).ravel().tolist()
        entry["bbox"] = [v / s for v, s in zip(entry["bbox"], SIZE[::-1] * 2, strict=True)]


REFUSED = {
    "all crowd": (each(iscrowd=lambda _: 1), "all 12 annotations are crowds"),
    "all crowd in words": (each(iscrowd=lambda _: "true"), "all 12 annotations are crowds"),
    "crowd": (each(iscrowd=lambda _: "maybe"), "annotation 4: iscrowd must be 0 or 1 (got 'maybe')"),
    "corners": (each(bbox=lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]), "look like corners x1, y1, x2, y2"),
    "centres": (each(bbox=lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, *b[2:]]), "look like centre x, centre y"),
    "shares": (shares, "the keypoints are from 0.0"),
    "boxes in shares": (each(bbox=lambda b: [v / 400 for v in b]), "the boxes are from 0.0"),
    "two numbers": (
        each(keypoints=lambda p: [v for i, v in enumerate(p) if i % 3 < 2]),
        "annotation 4: keypoints must hold 3 x 17 = 51 numbers (got 34); these look like two numbers for each point",
    ),
    "two numbers nested": (each(keypoints=lambda p: [q[:2] for q in nested(p)]), "keypoints are points of two numbers"),
    "ragged": (each(keypoints=lambda p: [*nested(p)[:-1], [1]]), "keypoints are nested lists, but not all of three"),
    "one too many": (each(keypoints=lambda p: p + p[:3]), "(got 54), because category 'person' names 17 keypoints"),
    "keypoint": (wrong_keys, "no annotation has the key 'keypoints', but there is 'keypoint'; rename it"),
    "18 without names": (
        both(nameless, each(keypoints=lambda p: p[:30])),
        "category 'person' has no list of names under the key 'keypoints' (its keys: id, name, skeleton), and its"
        " annotations have 10 keypoints; the skeleton has 18",
    ),
    "twice": (renamed(lambda n: n.replace("left_", "right_")), "the keypoint 'right_eye' is there twice"),
    "id twice": (ids(lambda i: (0, 1, "1", 3)[i]), "image id 1 occurs more than once"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_seems_to_mean_something_else_is_refused(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]
    source = write(tmp_path, change)
    with pytest.raises(DataError) as caught:
        read(source)
    assert str(caught.value).startswith(f"{source.annotations}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [without("bbox"), each(bbox=lambda _: None), each(bbox=lambda _: []), each(bbox=lambda _: [0, 0, 0, 0]),
     each(bbox=lambda b: [b[0], b[1], 0, b[3]])],
)  # fmt: skip
def test_boxes_that_are_absent_are_made_from_the_keypoints(tmp_path: Path, change: Change) -> None:
    plain, _ = read(write(tmp_path / "plain"))
    labels, lines = read(write(tmp_path / "other", change))
    assert [line.partition(",")[0] for line in lines] == ["boxes made from the keypoints"]
    assert lines[0].endswith(": 12 (first: annotation 4)")
    # The keypoints reach to within 5 pixels of the corners, see `person`, and a tenth of the longer side is added.
    difference = labels.people.boxes - plain.people.boxes
    assert np.abs(difference).max() < 2 * 0.1 * 160
    points = labels.people.keypoints
    low, high = labels.people.boxes[:, None, :2], labels.people.boxes[:, None, :2] + labels.people.boxes[:, None, 2:]
    assert (((points[..., :2] >= low) & (points[..., :2] <= high)).all(axis=-1) | (points[..., 2] == 0)).all()


def test_a_single_keypoint_has_a_box_and_nobody_without_anything_is_there(tmp_path: Path) -> None:
    def change(data: dict) -> None:
        alone, nobody, drawn = data["annotations"][:3]
        alone |= {"keypoints": [100, 120, 2] + [0] * 48, "bbox": None}
        nobody |= {"keypoints": [0] * 51, "bbox": None, "num_keypoints": 0}
        drawn |= nobody | {"id": drawn["id"], "segmentation": [[10, 20, 50, 20, 50, 80, 10, 80]]}

    labels, lines = read(write(tmp_path, change))
    assert labels.people_of(1).boxes[:2].tolist() == [[90, 110, 20, 20], [10, 20, 40, 60]]
    assert lines[1] == "annotations left out: no box, no region and no labelled keypoint: 1 (first: annotation 5)"


@pytest.mark.parametrize(
    ("area", "wrong"),
    [
        (lambda _: 1.0, True),
        (lambda _: 9000, True),  # the same for boxes of different sizes
        (lambda a: a / 120000, True),  # shares of the photo
        (lambda a: 16 * a, True),  # of a photo twice as large on each side
        (lambda a: 2 * a, False),  # the boxes' own area
        (lambda a: 0.4 * a, False),
    ],
)
def test_areas_that_cannot_be_true_are_replaced(tmp_path: Path, area: Callable[[float], float], wrong: bool) -> None:
    absent, _ = read(write(tmp_path / "absent", without("area")))
    stated = base()["annotations"]
    labels, lines = read(write(tmp_path / "other", each(area=area)))
    expected = absent.people.known_areas if wrong else [area(entry["area"]) for entry in stated]
    np.testing.assert_allclose(labels.people.known_areas, expected)
    assert [line[:29] for line in lines] == (["areas taken as 0.53 x the box"] if wrong else [])


def test_a_single_impossible_area_is_replaced_alone(tmp_path: Path) -> None:
    labels, lines = read(write(tmp_path, lambda data: data["annotations"][0].update(area=1.0)))
    width, height = labels.people.boxes[0, 2:]
    assert labels.people.areas[0] == pytest.approx(0.53 * width * height)
    assert labels.people.areas[1] == base()["annotations"][1]["area"]
    assert lines[0].endswith(": 1 (first: annotation 4)")


def test_suspicions_that_may_be_wrong_are_only_told(tmp_path: Path) -> None:
    def percent(data: dict) -> None:
        for entry in data["annotations"]:
            entry["keypoints"] = [v / 4 if i % 3 < 2 else v for i, v in enumerate(entry["keypoints"])]
            entry["bbox"] = [v / 4 for v in entry["bbox"]]
            entry["area"] /= 16

    assert ["percent" in line for line in read(write(tmp_path / "a", percent))[1]] == [True]
    apart = each(bbox=lambda b: [(b[0] + 200) % 280, b[1], b[2], b[3]])
    assert [line[:36] for line in read(write(tmp_path / "b", apart))[1]] == ["people whose box doesn't hold their "]


def detections(labels: Labels) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {"image_id": i, "category_id": 1, "score": float(rng.random()), "keypoints": points.ravel().tolist()}
        for i in labels.images
        for points in labels.people_of(i).keypoints + rng.normal(0, 6, (PEOPLE, 17, 3))
    ]


@pytest.mark.parametrize("name", ["no change", "count 0", "crowd text", "nested", "L_Eye", "huge ids", "no names"])
def test_ap_is_pycocotools_ap_of_the_sound_file(tmp_path: Path, name: str) -> None:
    plain = write(tmp_path / "plain")
    found = detections(read(plain)[0])
    with silenced():
        truth = COCO(plain.annotations)
        witness = COCOeval(truth, truth.loadRes(copy.deepcopy(found)), "keypoints")
        witness.evaluate(), witness.accumulate(), witness.summarize()
    labels, _ = read(write(tmp_path / "other", SAME[name][0]))
    ours = evaluate_detections(labels, found, BODY_18).metrics
    assert 0.1 < ours["AP"] < 0.95
    assert list(ours.values()) == pytest.approx(witness.stats.tolist())


def two_species(data: dict) -> None:
    data["categories"].append(data["categories"][0] | {"id": 9, "name": "ape", "keypoints": COCO_NAMES[::-1]})
    for entry in data["annotations"][::2]:
        points = np.reshape(entry["keypoints"], (-1, 3))[::-1]
        entry |= {"category_id": 9, "keypoints": points.ravel().tolist()}


def ball_first(data: dict) -> None:
    data["categories"] = [
        {"id": 7, "name": "ball", "keypoints": ["ball"]},
        {"id": 8, "name": "car"},
        *data["categories"],
    ]
    ball = {"id": 99, "image_id": 1, "category_id": 7, "keypoints": [350, 280, 2], "bbox": [340, 270, 20, 20]}
    unlabelled, car = ball | {"id": 100, "keypoints": [0, 0, 0]}, {"id": 101, "image_id": 1, "category_id": 8}
    data["annotations"] += [ball, unlabelled, car]


def test_categories_with_the_same_keypoints_are_used_together(tmp_path: Path) -> None:
    plain, _ = read(write(tmp_path / "plain"))
    labels, lines = read(write(tmp_path / "other", two_species))
    assert not lines
    ours = labels.people.keypoints[:, [labels.keypoint_names.index(name) for name in plain.keypoint_names]]
    np.testing.assert_array_equal(ours, plain.people.keypoints)
    found = detections(plain)
    assert evaluate_detections(labels, found, BODY_18).metrics == evaluate_detections(plain, found, BODY_18).metrics


def test_a_category_can_be_chosen(tmp_path: Path) -> None:
    source = write(tmp_path, two_species, ball_first)
    labels, lines = read(source, choice_for(BODY_18, ["ape"]))
    assert len(labels.people) == PHOTOS * PEOPLE / 2
    assert lines == [
        "annotations of categories that are not used: 6 of 'person' (6 with keypoints, ignored in the loss), 2 of"
        " 'ball' (1 with keypoints, ignored in the loss), 1 of 'car'"
    ]
    assert len(read(source, choice_for(BODY_18, ["ape", "person"]))[0].people) == PHOTOS * PEOPLE
    for wrong, message in (
        {"appe": "no category 'appe', did you mean 'ape'?", "car": "'car' has no keypoint names"}
    ).items():
        with pytest.raises(DataError, match=message):
            read(source, choice_for(BODY_18, [wrong]))


def test_others_with_keypoints_are_ignored_in_the_loss_and_not_counted(tmp_path: Path) -> None:
    source = write(tmp_path, ball_first)
    photo = photos_of([source], BODY_18)[0]
    assert len(photo.keypoints) == PEOPLE
    mask = warp_mask(photo.ignore, np.eye(3)[:2], *SIZE)
    plain = write(tmp_path / "plain")
    assert photos_of([plain], BODY_18)[0].ignore is None
    boxes = np.array([entry["bbox"] for entry in base()["annotations"][:PEOPLE]])
    rows, columns = np.nonzero(mask == 0)
    assert 0 < len(rows) <= 400
    assert (rows.min() >= 270, rows.max() < 290, columns.min() >= 340, columns.max() < 360) == (True,) * 4
    covered = (boxes[:, 0] < 360) & (boxes[:, 1] < 290) & (boxes[:, :2] + boxes[:, 2:] > (340, 270)).all(axis=1)
    assert covered.any() == (len(rows) < 400)  # the ball, without what is in the box of a person
    found = detections(read(plain)[0])
    assert evaluate_detections(read(source)[0], found, BODY_18).metrics["AP"] > 0.1
    assert len(read(source)[0].people) == PHOTOS * PEOPLE


def test_a_category_with_fewer_keypoints_leaves_the_others_unknown(tmp_path: Path) -> None:
    def upper(data: dict) -> None:
        data["categories"].append({"id": 2, "name": "bust", "keypoints": COCO_NAMES[:11]})
        first = data["annotations"][0]
        first |= {"category_id": 2, "keypoints": first["keypoints"][:33]}

    labels, _ = read(write(tmp_path, upper))
    assert labels.people.unknown.sum(axis=1).tolist() == [6] + [0] * 11
    assert labels.people.unknown[0, 11:].all()


def test_a_far_box_of_another_category_stops_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, ball_first, lambda data: data["annotations"][12].update(bbox=[-5e9, 270, 1e10, 20]))
    mask = warp_mask(photos_of([source], BODY_18)[0].ignore, np.eye(3)[:2], *SIZE)
    assert (mask[275] == 0).any()
    assert (mask[:270] == 1).all()


def test_another_category_without_boxes_is_ignored_around_its_keypoints(tmp_path: Path) -> None:
    def change(data: dict) -> None:
        ball_first(data)
        data["annotations"] = [data["annotations"][0], {**data["annotations"][12], "bbox": None}]
        data["annotations"][0]["bbox"] = [10, 10, 50, 60]

    mask = warp_mask(photos_of([write(tmp_path, change)], BODY_18)[0].ignore, np.eye(3)[:2], *SIZE)
    rows, columns = np.nonzero(mask == 0)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (270, 290, 340, 360)


def test_names_of_keypoints_that_have_none() -> None:
    choice = choice_for(BODY_18)
    assert names_for(17, choice) == tuple(COCO_NAMES)
    assert names_for(18, choice) == BODY_18.keypoints
    assert names_for(16, choice) == ()
    arm = choice._replace(keypoints=("neck", "hand", "elbow"))
    assert names_for(3, arm) == ("neck", "hand", "elbow")
    assert names_for(2, arm) == ("hand", "elbow")
    assert names_for(17, arm) == ()


def test_keypoints_can_be_renamed(tmp_path: Path) -> None:
    def odd(data: dict) -> None:
        data["categories"][0]["keypoints"] = [f"kp{i} " for i in range(17)]

    source = write(tmp_path, odd)
    rename = {f"kp{i}": name for i, name in enumerate(COCO_NAMES)}
    labels, _ = read(source, choice_for(BODY_18, rename=rename))
    assert labels.keypoint_names == tuple(COCO_NAMES)
    with pytest.raises(DataError, match="rename: the file has no keypoint 'kq1', did you mean 'kp1'?"):
        read(source, choice_for(BODY_18, rename={"kq1": "nose"}))
    with pytest.raises(DataError, match="rename: the skeleton has no keypoint 'noose', did you mean 'nose'?"):
        read(source, choice_for(BODY_18, rename={"kp1": "noose"}))
    with pytest.raises(DataError, match="no keypoint in common"):
        photos_of([source], BODY_18)


EVERYTHING = {name: change for name, (change, _) in SAME.items()} | {
    "two species": two_species,
    "ball": ball_first,
    "no boxes": without("bbox"),
    "area 1": each(area=lambda _: 1.0),
}


@pytest.mark.parametrize(
    "name", ["L_Eye", "spaces", "huge ids", "backslashes", "two species", "ball", "no boxes", "area 1"]
)
@pytest.mark.usefixtures("keras_loaded")
def test_shards_are_the_same_as_the_file(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, EVERYTHING[name])
    capsys.readouterr()
    expected = photos_of([source], BODY_18)
    told = capsys.readouterr().err
    convert({"train": [(source.images, source.annotations, choice_for(BODY_18))]}, tmp_path / "shards", shards=2)
    capsys.readouterr()
    photos = photos_of([RecordSource(records=f"{tmp_path}/shards/train-*")], BODY_18)
    assert capsys.readouterr().err == told
    for ours, theirs in zip(photos, expected, strict=True):
        for key in ("keypoints", "label_counts", "boxes", "areas", "labelled", "image_id", "ignore"):
            np.testing.assert_array_equal(getattr(ours, key), getattr(theirs, key))


@pytest.mark.usefixtures("keras_loaded")
def test_other_choices_are_other_shards(tmp_path: Path) -> None:
    source = write(tmp_path, two_species)
    for choice, people in ((choice_for(BODY_18), 12), (choice_for(BODY_18, ["ape"]), 6)):
        sets = {"train": [(source.images, source.annotations, choice)]}
        assert convert(sets, tmp_path / "shards", shards=1, overwrite=True)["train"]["people"]["kept"] == people


def test_lines_name_the_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, without("bbox"))
    open_sources([source], BODY_18)
    assert capsys.readouterr().err.count(f"{source.annotations}: ") == 1
