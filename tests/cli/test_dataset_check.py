"""`bpnet dataset check`: what is there, what is used, and what is wrong; categories and names through the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import FINDING, Run, write_spec


@pytest.fixture
def messy(tmp_path: Path, drawn: Path) -> Path:
    """The drawn photos with odd labels, and one photo that begins and ends well but can't be decoded."""
    directory = tmp_path / "messy"
    shutil.copytree(drawn, directory)
    path = directory / "annotations" / "person_keypoints.json"
    raw = json.loads(path.read_text())
    ball = {"id": 7, "name": "ball", "keypoints": ["ball"]}
    category = raw["categories"][0]
    category["keypoints"] = [name.replace("left_", "L").replace("right_", "R") for name in category["keypoints"]]
    category["keypoints"][0] = "snout"
    raw["categories"] = [ball, category]
    raw["annotations"][0]["category_id"] = 7
    raw["annotations"][0]["keypoints"] = [5, 5, 2]
    for entry in raw["images"]:
        entry["id"] += 2**64
    for entry in raw["annotations"]:
        entry["image_id"] += 2**64
    path.write_text(json.dumps(raw))
    photo = directory / "images" / raw["images"][-1]["file_name"]
    data = photo.read_bytes()
    photo.write_bytes(data[:250] + data[-40:])
    return directory


def test_one_table_says_what_is_there_and_what_is_unusual(messy: Path, bpnet: Run) -> None:
    labels = messy / "annotations" / "person_keypoints.json"
    result = bpnet("dataset", "check", "--images", messy / "images", "--annotations", labels)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    people = sum(len(entry["keypoints"]) > 3 for entry in json.loads(labels.read_text())["annotations"])
    assert "photos 12 11 0 1" in lines
    assert "of other categories, with keypoints 1 0 1 0" in lines
    assert "ball 1 1 no" in lines
    assert f"person {people} {people} yes" in lines
    assert any(line.startswith("snout ") for line in lines)
    assert "left/right pairs that are found by name: 8" in lines
    assert "annotations of categories that are not used: 1 of 'ball' (1 with keypoints, ignored in the loss)" in lines
    assert any(line.startswith("photos that can't be decoded, where training would stop: 1 (first: ") for line in lines)


def test_with_a_spec_it_speaks_of_the_skeleton(tmp_path: Path, messy: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, messy, "{batch_size: 2}")
    output = bpnet("dataset", "check", "-e", spec, "--set", "augmentation.crop=person").stdout
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert [line.partition(":")[0] for line in lines if line.startswith("dataset.")] == [
        "dataset.train",
        "dataset.validation",
    ]
    assert "nose 0 not in the file 0" in lines
    assert "keypoints that skeleton body_18 doesn't have: snout" in lines
    assert any(line.startswith("keypoint names in another spelling than the skeleton's: 16 (first: ") for line in lines)
    assert sum("get a training crop of their own (dataset.min_keypoints 5" in line for line in lines) == 1


def test_a_sound_set_has_nothing_unusual_and_a_refused_one_is_told(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{batch_size: 2}")
    assert bpnet("dataset", "check", "-e", spec).stdout.count("nothing is unusual") == 2
    labels = tmp_path / "labels.json"
    raw = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    raw["annotations"] = [entry | {"iscrowd": 1} for entry in raw["annotations"]]
    labels.write_text(json.dumps(raw))
    result = bpnet("dataset", "check", "-e", spec, "--set", f"dataset.train.annotations={labels}")
    assert result.exit_code == 1
    assert result.stdout.count("can't be used: ") == result.stdout.count("nothing is unusual") == 1
    assert "are crowds (iscrowd: 1)" in result.stdout


@pytest.mark.parametrize(
    ("names", "unusual"),
    [
        (["bal kez", "jobb kez", "bal lab", "jobb lab", "bal szem", "jobb szem"], True),  # Hungarian: left and right
        (["wrist", "thumb", "index", "middle", "ring", "pinky"], False),
    ],
)
def test_names_that_may_have_sides_without_pairs_are_unusual(
    tmp_path: Path, drawn: Path, bpnet: Run, names: list[str], unusual: bool
) -> None:
    raw = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    raw["categories"] = [{"id": 1, "name": "person", "keypoints": names}]
    for entry in raw["annotations"]:
        entry["keypoints"] = entry["keypoints"][: 3 * len(names)]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(raw))
    text = bpnet("dataset", "check", "--images", drawn / "images", "--annotations", labels).stdout
    assert "left/right pairs that are found by name: 0" in text
    assert ("no left/right pairs are found, but the names look as if" in text) == unusual


def test_what_stops_training_is_found(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    raw = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    labels = tmp_path / "labels.json"
    raw["annotations"][0] |= {"iscrowd": 1, "segmentation": "x"}
    labels.write_text(json.dumps(raw))
    words = ("dataset", "check", "--images", drawn / "images", "--annotations", labels)
    assert "segmentation can't be decoded" in bpnet(*words).stdout
    raw["annotations"][0]["segmentation"] = None
    raw["categories"][0]["keypoints"] = [f"k{i}" for i in range(len(raw["categories"][0]["keypoints"]))]
    labels.write_text(json.dumps(raw))
    assert bpnet(*words).exit_code == 0
    spec = write_spec(tmp_path, drawn, "{batch_size: 2}")
    result = bpnet("dataset", "check", "-e", spec, "--set", f"dataset.validation.annotations={labels}")
    assert result.exit_code == 1
    assert "can't be used: " in result.stdout.partition("dataset.validation")[2]
    assert "no keypoint in common with skeleton body_18" in result.stdout


@pytest.mark.parametrize("words", [(), ("-e", "quickstart", "--images", "a", "--annotations", "b"), ("--images", "a")])
def test_it_takes_a_spec_or_files(bpnet: Run, words: tuple[str, ...]) -> None:
    result = bpnet("dataset", "check", *words)
    assert result.exit_code == 2
    assert "give a spec (-e), or --images and --annotations" in result.output


def test_a_spec_without_photos_is_refused(tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "s.yaml").write_text("name: s")
    result = bpnet("dataset", "check", "-e", tmp_path / "s.yaml")
    assert (result.exit_code, "the spec names no photos" in result.output) == (1, True)


def test_names_are_mapped_and_results_have_the_files_ids(tmp_path: Path, messy: Path, model: Path, bpnet: Run) -> None:
    source = {
        "images": str(messy / "images"),
        "annotations": str(messy / "annotations" / "person_keypoints.json"),
        "rename": {"snout": "nose"},
        "categories": ["person"],
    }
    whole = messy / "images" / "copy.jpg"
    shutil.copy(sorted((messy / "images").glob("*.jpg"))[0], whole)
    raw = json.loads(Path(source["annotations"]).read_text())
    raw["images"][-1]["file_name"] = whole.name
    Path(source["annotations"]).write_text(json.dumps(raw))
    words = ("evaluate", "-m", model, "-r", tmp_path / "results", "--set", f"dataset.validation={json.dumps(source)}")
    result = bpnet(*words, *FINDING)
    assert result.exit_code == 0, result.output
    assert "AP counts" not in result.output
    found = json.loads((tmp_path / "results" / "coco_results.json").read_text())
    assert found
    assert {entry["image_id"] for entry in found} <= {entry["id"] for entry in raw["images"]}
    wrong = bpnet(*words[:-1], f"dataset.validation={json.dumps(source | {'rename': {'snowt': 'nose'}})}")
    assert wrong.exit_code == 1
    assert "rename: the file has no keypoint 'snowt', did you mean 'snout'?" in wrong.output
