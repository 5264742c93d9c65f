"""Labels of other tools: the same people in every format, and what is wrong with some photos or files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from bpnet_cli.data.sources import open_source
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.labelling.formats import recognise
from bpnet_cli.labelling.groups import Frame, Mark, people_of
from bpnet_cli.labelling.source import Point, UnclearError
from bpnet_cli.labelling.workflow import Imported, import_labels
from tests.unit.other_tools import LIMBS, NAMES, SCENE, TOOLS, box_of, cvat, label_studio, labelme, write_photos, yolo
from tests.unit.other_tools import deeplabcut as deeplabcut_project
from tests.unit.test_bad_data import jpeg, noise, with_exif

Raw = dict[str, Any]


def contents(result: Imported) -> dict[str, list[Raw]]:
    """By the file name of each photo, its annotations, read by pycocotools."""
    coco = COCO(str(result.annotations))
    return {photo["file_name"]: coco.loadAnns(coco.getAnnIds(photo["id"])) for photo in coco.dataset["images"]}


def only_category(result: Imported) -> Raw:
    (category,) = json.loads(result.annotations.read_text())["categories"]
    return dict(category)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_gives_the_same_people(tool: str, tmp_path: Path) -> None:
    write, occlusion, boxes, limbs = TOOLS[tool]
    path = write(tmp_path / "in")
    assert recognise(path) == tool
    result = import_labels(path, tmp_path / "out")
    assert (result.format, result.photos, result.people, result.problems) == (tool, 3, 3, [])
    category = only_category(result)
    assert (category["name"], category["keypoints"]) == ("person", list(NAMES))
    wanted = [[NAMES.index(a) + 1, NAMES.index(b) + 1] for a, b in LIMBS] if limbs else []
    assert category["skeleton"] == wanted
    found = contents(result)
    assert found.keys() == SCENE.keys()
    for name, people in SCENE.items():
        assert len(found[name]) == len(people)
        for person, entry in zip(people, found[name], strict=True):
            seen = [(x, y, min(v * 2, 2) if not occlusion else v) for x, y, v in person]
            np.testing.assert_allclose(entry["keypoints"], np.ravel(seen), atol=2e-4)
            assert entry["num_keypoints"] == sum(v > 0 for _, _, v in person)
            assert entry["iscrowd"] == 0
            if boxes:
                np.testing.assert_allclose(entry["bbox"], box_of(person), atol=2e-4)
            x, y, w, h = entry["bbox"]
            assert all(x <= px <= x + w and y <= py <= y + h for px, py, v in person if v)
            assert 0 < entry["area"] < w * h


@pytest.mark.parametrize("tool", TOOLS)
def test_training_reads_the_result(tool: str, tmp_path: Path) -> None:
    result = import_labels(TOOLS[tool][0](tmp_path / "in"), tmp_path / "out")
    source = open_source(result.images, result.annotations)
    assert (len(source.files), int(source.labels.people.labelled.sum()), source.problems) == (3, 3, [])


@pytest.mark.parametrize("tool", TOOLS)
def test_a_photo_that_is_missing_or_damaged_is_left_out_and_named(tool: str, tmp_path: Path) -> None:
    path = TOOLS[tool][0](tmp_path / "in")
    (missing,) = (tmp_path / "in").rglob("a.png")
    (damaged,) = (tmp_path / "in").rglob("empty.png")
    missing.unlink()
    damaged.write_bytes(b"not a photo")
    result = import_labels(path, tmp_path / "out")
    assert (result.photos, result.people) == (1, 1)
    reasons = {re.split(r"[\\/]", name)[-1].split(".")[0]: why for name, why in result.problems}
    assert reasons["a"].startswith("not found in ")
    assert reasons["empty"].startswith(("damaged", "not found")), reasons


def test_photos_elsewhere_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    path = cvat(tmp_path / "in")
    (tmp_path / "in" / "images" / "session").rename(tmp_path / "photos")
    with pytest.raises(
        DataError, match=r"annotations.xml: no photo with a labelled keypoint is left; session\\a.png: not"
    ):
        import_labels(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert import_labels(path, tmp_path / "out", images=tmp_path / "photos").images == tmp_path / "photos"


def test_a_photo_of_the_same_name_in_another_folder_is_not_taken(tmp_path: Path) -> None:
    path = deeplabcut_project(tmp_path)
    other = tmp_path / "labeled-data" / "other"
    write_photos(other)
    (tmp_path / "labeled-data" / "session" / "a.png").unlink()
    result = import_labels(path, tmp_path / "out")
    assert [name for name, _ in result.problems] == ["labeled-data/session/a.png"]
    assert set(contents(result)) == {"b.png", "empty.png"}
    path = label_studio(tmp_path / "ls")
    write_photos(tmp_path / "ls" / "x")
    (tmp_path / "ls" / "a.png").rename(tmp_path / "ls" / "x" / "y.png")
    (tmp_path / "ls" / "x" / "a.png").rename(tmp_path / "ls" / "x" / "b.png.png")
    assert [name for name, _ in import_labels(path, tmp_path / "out2").problems] == ["a.png"]


def test_two_photos_that_fit_a_name_are_not_guessed(tmp_path: Path) -> None:
    path = label_studio(tmp_path)
    for folder in ("x", "y"):
        write_photos(tmp_path / folder)
    (tmp_path / "a.png").unlink()
    result = import_labels(path, tmp_path / "out")
    assert result.problems == [("a.png", "2 files have this name: x/a.png, y/a.png")]
    assert set(contents(result)) == {"b.png", "empty.png"}


def test_labels_for_another_size_of_the_photo_are_left_out(tmp_path: Path) -> None:
    path = labelme(tmp_path / "in")
    file = path / "b.json"
    file.write_text(file.read_text().replace('"imageWidth": 200', '"imageWidth": 400'))
    result = import_labels(path, tmp_path / "out")
    assert result.problems == [("..\\photos\\b.png", "is 200 x 100 pixels, but the labels are for 400 x 100")]


def test_a_photo_that_exif_turns_has_the_size_of_its_labels(tmp_path: Path) -> None:
    """YOLO's shares are of the photo as it is shown, labelme's file says which pixels it means."""
    turned = with_exif(jpeg(noise(200, 100)), 6)
    path = yolo(tmp_path / "yolo")
    (path / "images" / "train" / "a.png").unlink()
    (path / "images" / "train" / "a.jpg").write_bytes(turned)
    result = import_labels(path, tmp_path / "out")
    assert (result.photos, result.people) == (3, 3)
    photos = {photo["file_name"]: photo for photo in COCO(str(result.annotations)).dataset["images"]}
    assert (photos["a.jpg"]["width"], photos["a.jpg"]["height"]) == (200, 100)
    assert contents(result)["a.jpg"][0]["keypoints"][:3] == [50, 20, 2]
    path = labelme(tmp_path / "me")
    (tmp_path / "me" / "photos" / "a.png").write_bytes(turned)
    text = (
        (path / "a.json")
        .read_text()
        .replace('"imageHeight": 100, "imageWidth": 200', '"imageHeight": 200, "imageWidth": 100')
    )
    (path / "a.json").write_text(text)
    result = import_labels(path, tmp_path / "out", overwrite=True)
    photos = {photo["file_name"]: photo for photo in COCO(str(result.annotations)).dataset["images"]}
    assert (photos["a.png"]["width"], photos["a.png"]["height"]) == (100, 200)


def test_a_cut_file_of_one_photo_costs_only_that_photo(tmp_path: Path) -> None:
    path = labelme(tmp_path / "me")
    text = (path / "a.json").read_text()
    (path / "a.json").write_text(text[: len(text) // 2])
    result = import_labels(path, tmp_path / "out")
    assert result.photos == 2
    assert "not JSON, or cut off" in dict(result.problems)["a.json"]
    path = yolo(tmp_path / "yolo")
    file = path / "labels" / "train" / "a.txt"
    file.write_text(file.read_text()[:40])
    result = import_labels(path, tmp_path / "out", overwrite=True)
    assert result.photos == 2
    assert result.problems == [("images/train/a", "a line has 6 numbers, where kpt_shape asks for 14; is it cut off?")]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("</annotations>", "", "not XML, or cut off: "),
        ("<annotations>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotations>", "has a DOCTYPE, which CVAT never writes"),
        ("<image ", "<track id='1'/><image ", "is 'CVAT for video'; export as 'CVAT for images 1.1'"),
        ("image", "photo", "it has no <image> in <annotations>"),
    ],
)
def test_a_cvat_file_that_can_not_be_used_is_one_message(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = cvat(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=re.escape(problem)) as caught:
        import_labels(path, tmp_path / "out")
    assert str(caught.value).startswith(str(path))
    assert not (tmp_path / "out").exists()


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
    path = tmp_path / "annotations.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "ha">{levels}]><annotations>&e9;</annotations>')
    with pytest.raises(DataError, match="DOCTYPE"):
        import_labels(path, tmp_path / "out", format="cvat")


def test_cvat_points_and_boxes_without_a_skeleton(tmp_path: Path) -> None:
    """Single points in groups; a box by itself is a person without known keypoints, if its label has any."""
    write_photos(tmp_path)
    path = tmp_path / "annotations.xml"
    box = '<box label="{}" xtl="{}" ytl="0" xbr="{}" ybr="99" occluded="0"/>'
    path.write_text(
        '<annotations><image id="0" name="a" width="200" height="100">'
        '<points label="nose" points="10,20" occluded="0" group_id="1"/>'
        '<points label="left_ear" points="12,22" occluded="1" group_id="1"/>'
        '<points label="nose" points="110,20" occluded="0" group_id="2"/>'
        f"{box.format('person', 90, 120)}{box.format('person', 150, 190)}{box.format('car', 0, 5)}"
        "</image></annotations>"
    )
    result = import_labels(path, tmp_path / "out")
    entries = contents(result)["a.png"]
    assert [entry["num_keypoints"] for entry in entries] == [2, 1, 0]
    assert entries[0]["keypoints"] == [10, 20, 2, 12, 22, 1]
    assert [entry["bbox"] for entry in entries[1:]] == [[90, 0, 30, 99], [150, 0, 40, 99]]
    assert result.left_out == {"of label 'car', which has no keypoints": 1}


def test_cvat_points_without_names_need_names(tmp_path: Path) -> None:
    write_photos(tmp_path)
    path = tmp_path / "labels.xml"
    path.write_text(
        '<annotations><image id="0" name="b.png" width="200" height="100">'
        '<points label="hand" points="10,20;30,40;50,60" occluded="0"/></image></annotations>'
    )
    with pytest.raises(
        DataError, match="labels.xml: the labels don't name the 3 keypoints of 'hand'; give their names"
    ):
        import_labels(path, tmp_path / "out")
    result = import_labels(path, tmp_path / "out", names="wrist,thumb,finger")
    assert result.keypoints == {"hand": ["wrist", "thumb", "finger"]}
    assert contents(result)["b.png"][0]["keypoints"] == [10, 20, 2, 30, 40, 2, 50, 60, 2]


def point(name: str, x: float, group: object = None) -> Mark:
    return Mark(name, Point(x, 10), group)  # type: ignore[arg-type]


def box(x: float, width: float, group: object = None) -> Frame:
    return Frame("person", (x, 0, width, 20), group)  # type: ignore[arg-type]


def test_points_find_their_people() -> None:
    assert len(people_of([point("nose", 1), point("ear", 2)], [])) == 1
    left, right = people_of([point("nose", 5), point("nose", 55), point("ear", 8)], [box(0, 20), box(50, 20)])
    assert set(left.points) == {"nose", "ear"}
    assert set(right.points) == {"nose"}
    inner, outer = people_of([point("nose", 5, 1), point("nose", 50, 2)], [box(0, 99), box(40, 20)])
    assert inner.box == (0, 0, 99, 20), "the larger box holds both noses, but the smaller one has its own"
    assert outer.box == (40, 0, 20, 20)


@pytest.mark.parametrize(
    ("marks", "frames", "problem"),
    [
        ([point("nose", 1), point("nose", 2)], [], "two points 'nose' of one person"),
        ([point("nose", 1, 1), point("nose", 2, 1)], [], "two points 'nose' of one person"),
        ([point("nose", 30)], [box(0, 20)], "the point 'nose' has no group and is outside of all boxes"),
        ([point("nose", 5)], [box(0, 20), box(0, 10)], "the point 'nose' has no group and is in 2 boxes"),
        ([point("nose", 5, 1)], [box(0, 20, 1), box(0, 10, 1)], "two boxes in the group 1"),
        ([point("nose", 5, 1), point("ear", 6, 2)], [box(0, 20)], "a box holds the points of several groups"),
    ],
)
def test_points_whose_person_is_not_clear_are_not_guessed(marks: list[Mark], frames: list[Frame], problem: str) -> None:
    with pytest.raises(UnclearError, match=problem):
        people_of(marks, frames)


def test_names_choose_and_order_the_keypoints(tmp_path: Path) -> None:
    path = label_studio(tmp_path)
    (tmp_path / "names.txt").write_text("right_ear\nnose\n")
    result = import_labels(path, tmp_path / "out", names=str(tmp_path / "names.txt"))
    assert result.keypoints == {"person": ["right_ear", "nose"]}
    assert contents(result)["a.png"][0]["keypoints"] == [60, 24, 2, 50, 20, 2]
    assert result.left_out == {"points 'left_ear', which --names doesn't name": 2}


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("nose,nose", "--names: 'nose' is there twice"),
        (" , ", "--names: ' , ' has no name"),
        ("nose,left_eer", "no label has the keypoint 'left_eer', did you mean 'left_ear'?"),
        ("nose,tail", "no label has the keypoint 'tail' (they have nose, left_ear, right_ear)"),
    ],
)
def test_wrong_names_are_refused(tmp_path: Path, names: str, problem: str) -> None:
    with pytest.raises(DataError, match=re.escape(problem)):
        import_labels(cvat(tmp_path), tmp_path / "out", names=names)


def test_yolo_without_names_has_cocos_if_there_are_as_many(tmp_path: Path) -> None:
    path = yolo(tmp_path)
    config = path / "data.yaml"
    text = config.read_text().partition("kpt_names")[0]
    config.write_text(text)
    with pytest.raises(DataError, match="don't name the 3 keypoints of 'person'"):
        import_labels(path, tmp_path / "out")
    config.write_text(text.replace("[3, 3]", "[17, 2]"))
    for file in path.rglob("*.txt"):
        rest = " ".join(["0.25 0.5", "0 0", *["0.5 0.5"] * 15])
        file.write_text(f"0 0.5 0.5 0.5 0.5 {rest}" if file.stem == "a" else "")
    result = import_labels(config, tmp_path / "out")
    assert result.keypoints["person"][:3] == ["nose", "left_eye", "right_eye"]
    assert contents(result)["a.png"][0]["keypoints"][:7] == [50, 50, 2, 0, 0, 0, 100]


@pytest.mark.parametrize("layout", ["labels/{}", "{}/labels", "{}"])
def test_one_split_of_yolo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    """Ultralytics' layout, labels/train, and Roboflow's, train/labels. Photos of both splits have the same names."""
    yolo(tmp_path)
    for kind in ("labels", "images"):
        (tmp_path / kind / "train").rename(tmp_path / f"{kind}_")
        (tmp_path / kind).rmdir()
        for split in ("train", "valid"):
            target = f"{kind}/{split}" if layout == "labels/{}" else f"{split}/{kind}"
            shutil.copytree(tmp_path / f"{kind}_", tmp_path / target)
    (removed,) = [file for file in tmp_path.rglob("a.txt") if "valid" in file.parts]
    removed.unlink()
    monkeypatch.chdir(tmp_path)
    path = Path(layout.format("valid"))
    assert recognise(path) == "yolo-pose"
    result = import_labels(path, tmp_path / "out")
    assert (result.photos, result.people) == (2, 1)
    assert "valid" in result.images.parts[-2:]
    assert import_labels(".", tmp_path / "all").photos == 5


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("kpt_shape: [3]", "kpt_shape must be [number of keypoints, 2 or 3] (got [3])"),
        ("kpt_shape: [4, 3]\nnames: [a]\nkpt_names: {0: [b]}", "kpt_shape says 4 keypoints, but their names are ['b']"),
        ("kpt_shape: [1, 3]\nnames: 7", "names must be a list, or a mapping of numbers to names (got 7)"),
        ("kpt_shape: [3, 3", "not YAML: "),
        ("- kpt_shape: 1", "must be a mapping"),
    ],
)
def test_a_wrong_data_yaml_is_one_message(tmp_path: Path, config: str, problem: str) -> None:
    path = yolo(tmp_path) / "data.yaml"
    path.write_text(config)
    with pytest.raises(DataError, match=re.escape(problem)):
        import_labels(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ({"image": "/data/upload/12/0a1b2c3d-my%20photo.jpg"}, "my photo.jpg"),
        ({"image": "/data/local-files/?d=set%2Fx.jpg"}, "set/x.jpg"),
        ({"image": "s3://bucket/day/x.jpg"}, "/day/x.jpg"),
        ({"image": "https://example.com/a/x.jpg?token=1"}, "/a/x.jpg"),
        ({"id": "7", "img": "day\\x.jpg"}, "day/x.jpg"),
    ],
)
def test_photos_of_label_studio_by_their_addresses(task: dict[str, str], name: str) -> None:
    from bpnet_cli.labelling.label_studio import photo_name

    assert photo_name({"data": task}) == name


def test_label_studio_reads_no_other_export(tmp_path: Path) -> None:
    path = tmp_path / "min.json"
    path.write_text('[{"id": 1, "image": "a.png", "kp": []}]')
    with pytest.raises(DataError, match="min.json: no task has 'annotations'; export as 'JSON', not as 'JSON-MIN'"):
        import_labels(path, tmp_path / "out")
    path = label_studio(tmp_path)
    tasks = json.loads(path.read_text())
    tasks[2]["annotations"] = []
    tasks[1]["annotations"][1]["result"][1]["image_rotation"] = 90
    path.write_text(json.dumps(tasks))
    result = import_labels(path, tmp_path / "out")
    assert result.left_out == {"tasks without an annotation": 1}
    assert result.problems == [("b.png", "was turned in Label Studio; turn the photo itself and label it again")]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda task: task.update(data=[]), "the labels don't name the photo"),
        (lambda task: task["annotations"][1].pop("result"), "damaged entry (KeyError: 'result')"),
        (lambda task: task["annotations"][1]["result"][0]["value"].update(rotation=3), "has a turned rectangle"),
        (
            lambda task: task["annotations"][1]["result"][1]["value"].update(x=float("nan")),
            "nan is not a finite number",
        ),
        (lambda task: task["annotations"][1]["result"][1].pop("value"), "damaged entry (KeyError: 'value')"),
    ],
)
def test_a_damaged_task_costs_only_its_photo(tmp_path: Path, change: Callable[[Raw], Any], problem: str) -> None:
    path = label_studio(tmp_path)
    tasks = json.loads(path.read_text())
    change(tasks[1])
    path.write_text(json.dumps(tasks))
    result = import_labels(path, tmp_path / "out")
    assert (result.photos, len(result.problems)) == (2, 1)
    assert problem in result.problems[0][1]


def test_a_project_of_cvat_has_a_folder_for_each_subset(tmp_path: Path) -> None:
    path = cvat(tmp_path)
    for name in ("one", "two"):
        write_photos(tmp_path / "images" / name / "session")
    (tmp_path / "images" / "session").rename(tmp_path / "images" / "three")
    path.write_text(path.read_text().replace('<image id="0"', '<image id="0" subset="two"'))
    result = import_labels(path, tmp_path / "out")
    assert set(contents(result)) == {"a.png"}
    assert result.images == tmp_path / "images" / "two" / "session"
    assert {why[:32] for _, why in result.problems} == {"2 files have this name: images/o"}


def test_deeplabcut_for_one_animal_and_keypoints_of_their_own(tmp_path: Path) -> None:
    write_photos(tmp_path / "labeled-data" / "film")
    file = tmp_path / "labeled-data" / "film" / "CollectedData_Jo.csv"
    file.write_text(
        "scorer,Jo,Jo,Jo,Jo\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
        "labeled-data\\film\\a.png,1.5,2,NaN,NaN\nlabeled-data/film/b.png,3,4,5,6\nlabeled-data/film/empty.png,,,,\n"
    )
    found = contents(import_labels(file, tmp_path / "out"))
    assert [entry["keypoints"] for name in SCENE for entry in found[name]] == [
        [1.5, 2, 2, 0, 0, 0],
        [3, 4, 2, 5, 6, 2],
    ]
    file.write_text(
        "scorer,,,Jo,Jo,Jo,Jo\nindividuals,,,one,one,single,single\nbodyparts,,,nose,nose,nest,nest\n"
        "coords,,,x,y,x,y\nlabeled-data,film,a.png,1,2,3,4\n"
    )
    result = import_labels(file, tmp_path / "out", overwrite=True)
    assert result.keypoints == {"person": ["nose"], "single": ["nest"]}
    file.write_text("scorer,a,a,a\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.9\n")
    with pytest.raises(DataError, match="has what a network found, not labels"):
        import_labels(file, tmp_path / "out", overwrite=True)
    file.write_text("scorer,a,a\nx,y,z\n")
    with pytest.raises(DataError, match="the first rows must begin with scorer, bodyparts and coords"):
        import_labels(file, tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.zip", b"PK\x03\x04...", "is a ZIP archive; unpack it"),
        (
            "x.json",
            b'{"images": [], "annotations": [], "categories": []}',
            "is a COCO file already: bpnet dataset check",
        ),
        ("x.json", b'{"_via_settings": {}}', "not recognised as labels of sleap, cvat"),
        ("x.json", b"[{", "not JSON, or cut off"),
        ("x.json", b'[{"annotations": 1}, 2]', "the top level must be a list of tasks"),
        ("x.txt", b"", "not recognised"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(problem)):
        import_labels(tmp_path / name, tmp_path / "out")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = cvat(tmp_path / "in")
    first = import_labels(path, tmp_path / "out")
    with pytest.raises(BpnetError, match="exists already; give --overwrite"):
        import_labels(path, tmp_path / "out")
    assert import_labels(path, tmp_path / "out", overwrite=True) == first


def test_a_file_of_labelme_itself_is_read(tmp_path: Path) -> None:
    """Keys and forms as in labelme's own examples: no size, no description, two photos' labels in one folder."""
    write_photos(tmp_path)
    shape = {"label": "nose", "line_color": None, "points": [[7.5, 8]], "shape_type": "point", "group_id": None}
    raw = {"version": "4.0.0", "shapes": [{**shape, "flags": {}}], "imagePath": "a.png", "imageData": "AAAA"}
    (tmp_path / "a.json").write_text(json.dumps(raw))
    (tmp_path / "other.json").write_text("{}")
    assert contents(import_labels(tmp_path, tmp_path / "out"))["a.png"][0]["keypoints"] == [7.5, 8, 2]
