"""OpenPose's files and the CSV table, read by readers that know only the published descriptions."""

import csv
import io
import json
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.openpose import openpose_frame, openpose_name, openpose_text
from bpnet_cli.inference.results import person_entry
from bpnet_cli.inference.table import csv_header, csv_rows, csv_text
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS, Skeleton
from tests.unit.people import FISH

# The parts that OpenPose's doc/02_output.md lists for BODY_25, and those of its COCO model.
ARMS = ["Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist"]
LEGS = ["RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle"]
HEAD = ["REye", "LEye", "REar", "LEar"]
FEET = ["LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"]
BODY_25_PARTS = [*ARMS, "MidHip", *LEGS, *HEAD, *FEET]
COCO_PARTS = [*ARMS, *LEGS, *HEAD]
PARTS = {"body_25": BODY_25_PARTS, "body_18": COCO_PARTS}
KEYS = [
    *("person_id", "pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"),
    *("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d"),
]


def somebody(skeleton: Skeleton = BODY_18, seed: int = 0) -> Person:
    rng = np.random.default_rng(seed)
    count = len(skeleton.keypoints)
    return Person(np.column_stack([rng.uniform(1, 900, (count, 2)), rng.random(count)]).astype(np.float32), 3.25)


def read_openpose(text: str, layout: str) -> list[dict[str, tuple[float, float, float]]]:
    """People of an OpenPose file: part -> x, y, c."""
    frame = json.loads(text)
    assert list(frame) == ["version", "people"]
    assert frame["version"] == 1.3
    people = []
    for person in frame["people"]:
        assert list(person) == KEYS
        assert all(person[key] == [] for key in KEYS[2:])
        values = person["pose_keypoints_2d"]
        assert len(values) == 3 * len(PARTS[layout])
        people.append({part: tuple(values[3 * i : 3 * i + 3]) for i, part in enumerate(PARTS[layout])})
    return people


def our_name(part: str) -> str:
    """RWrist -> right_wrist"""
    if part in ("Nose", "Neck"):
        return part.lower()
    return {"R": "right_", "L": "left_"}[part[0]] + part[1:].lower()


@pytest.mark.parametrize("layout", ["body_25", "body_18"])
def test_an_openpose_reader_finds_every_part_where_it_is(layout: str) -> None:
    person = somebody()
    (read,) = read_openpose(openpose_text(openpose_frame([person], BODY_18, layout)), layout)
    for part in COCO_PARTS:
        expected = person.keypoints[BODY_18.keypoints.index(our_name(part))]
        np.testing.assert_allclose(read[part], expected, rtol=1e-5)


def test_the_middle_of_the_hips_is_as_sure_as_the_less_sure_hip_and_feet_are_zero() -> None:
    person = somebody()
    (read,) = read_openpose(openpose_text(openpose_frame([person], BODY_18)), "body_25")
    right, left = (np.array(read[part]) for part in ("RHip", "LHip"))
    np.testing.assert_allclose(read["MidHip"], [*(right + left)[:2] / 2, min(right[2], left[2])], rtol=1e-5)
    assert {read[part] for part in FEET} == {(0, 0, 0)}


def test_absent_parts_and_what_depends_on_them_are_zero() -> None:
    person = somebody()
    person.keypoints[[4, 8]] = np.nan  # right wrist, right hip
    (read,) = read_openpose(openpose_text(openpose_frame([person], BODY_18)), "body_25")
    assert read["RWrist"] == read["RHip"] == read["MidHip"] == (0, 0, 0)
    assert read["LHip"][2] > 0


def test_feet_and_no_neck_as_in_cocos_own_skeleton() -> None:
    names = (*COCO_KEYPOINTS, "left_big_toe", "left_small_toe", "left_heel", "right_heel")
    skeleton = Skeleton("feet", names, (), (), (0.05,) * len(names))
    person = somebody(skeleton)
    (read,) = read_openpose(openpose_text(openpose_frame([person], skeleton)), "body_25")
    for part, name in (("LBigToe", "left_big_toe"), ("LSmallToe", "left_small_toe"), ("RHeel", "right_heel")):
        np.testing.assert_allclose(read[part], person.keypoints[names.index(name)], rtol=1e-5)
    shoulders = np.array([read["LShoulder"], read["RShoulder"]])
    np.testing.assert_allclose(read["Neck"][:2], shoulders[:, :2].mean(axis=0), rtol=1e-5)


def test_ids_and_empty_frames() -> None:
    people = [somebody(), replace(somebody(), id=0), replace(somebody(), id=17)]
    frame = openpose_frame(people, BODY_18)
    assert [person["person_id"] for person in frame["people"]] == [[-1], [0], [17]]
    assert openpose_text(openpose_frame([], BODY_18)) == '{"version":1.3,"people":[]}\n'


def test_numbers_look_like_openposes() -> None:
    person = Person(np.tile(np.array([1234.5678, 64, 0.87654321], np.float32), (18, 1)), 1.0)
    text = openpose_text(openpose_frame([person], BODY_18, "body_18"))
    assert text.startswith('{"version":1.3,"people":[{"person_id":[-1],"pose_keypoints_2d":[1234.57,64,0.876543,')


def test_a_skeleton_without_a_body_is_refused_before_the_first_person() -> None:
    with pytest.raises(BpnetError, match="skeleton fish: .*OpenPose.*missing: nose, left_eye, .*right_ankle"):
        openpose_frame([], FISH)


@pytest.mark.parametrize(
    ("name", "frame", "expected"),
    [
        ("clip.mp4", 12, "clip_000000000012_keypoints.json"),
        ("photo.jpg", None, "photo_keypoints.json"),
        ("a/b.c/my.clip.avi", 0, "a/b.c/my.clip_000000000000_keypoints.json"),
        ("no_ending", None, "no_ending_keypoints.json"),
    ],
)
def test_files_have_openposes_names(name: str, frame: int | None, expected: str) -> None:
    assert openpose_name(name, frame) == expected


HARD_NAMES = [
    "plain.jpg",
    'a,b "c".jpg',
    "two\nlines\r.jpg",
    "semi;colon\ttab.jpg",
    "Grüße 人.jpg",
    " =1+1.jpg",
    "caf\udce9.jpg",
]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_csv_reader_finds_every_number(name: str) -> None:
    people = [replace(somebody(seed=1), id=5), somebody(seed=2)]
    people[1].keypoints[3] = np.nan
    text = csv_text([csv_header(BODY_18), *csv_rows(name, 12, 0.48, people)])
    rows = list(csv.DictReader(io.StringIO(text.encode().decode(), newline="")))
    assert len(rows) == 2
    for row, person in zip(rows, people, strict=True):
        assert row["file"] == name.replace("\udce9", r"\udce9")
        assert (row["frame"], row["seconds"]) == ("12", "0.48")
        entry = person_entry(person)
        assert float(row["score"]) == entry["score"]
        assert [float(row[f"box_{side}"]) for side in ("x", "y", "width", "height")] == entry["box"]
        for keypoint, point in zip(BODY_18.keypoints, entry["keypoints"], strict=True):
            cells = [row[f"{keypoint}_{value}"] for value in ("x", "y", "score")]
            assert cells == ["", "", ""] if point is None else [float(cell) for cell in cells] == point
    assert [row["id"] for row in rows] == ["5", ""]


@pytest.mark.parametrize("name", ["=1+1.jpg", "+1.jpg", "-2/a.jpg", "@sum.jpg", "\tx.jpg", "\rx.jpg"])
def test_a_spreadsheet_takes_no_name_for_a_formula(name: str) -> None:
    (row,) = csv_rows(name, None, None, [somebody(seed=1)])
    assert row[0] == f"./{name}"
    assert PurePosixPath(row[0]) == PurePosixPath(name)


def test_numpy_reads_the_table_of_photos() -> None:
    people = [somebody(seed=seed) for seed in range(3)]
    text = csv_text([csv_header(BODY_18), *csv_rows("a.jpg", None, None, people)])
    table = np.genfromtxt(io.StringIO(text), delimiter=",", names=True, dtype=None, encoding="utf-8")
    np.testing.assert_allclose(table["left_wrist_x"], [p.keypoints[7, 0] for p in people], atol=0.006)
    assert text.count("\r\n") == text.count("\n") == 4
    assert text.splitlines()[1].startswith("a.jpg,,,,3.25,")


def test_nobody_is_no_row() -> None:
    assert csv_rows("a.jpg", None, None, []) == []


def test_only_tracked_people_have_an_id_in_the_json_files() -> None:
    assert "id" not in person_entry(somebody())
    assert person_entry(replace(somebody(), id=0))["id"] == 0
