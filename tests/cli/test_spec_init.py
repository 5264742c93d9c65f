"""A spec and a skeleton from an annotation file: what is written, what is said, and that it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bpnet_cli.spec.loader import load_spec
from bpnet_cli.spec.skeleton_file import load_skeleton_file, skeleton_values
from tests.cli.conftest import Run


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bpnet: Run) -> Path:
    """30 drawn hands of 96 pixels; the working directory is the folder above."""
    monkeypatch.chdir(tmp_path)
    words = ("--images", 30, "--size", 96, 96, "--people", 1, 1, "--skeleton", "hand_21")
    assert bpnet("dataset", "synthetic", "-o", "hands", *words).exit_code == 0
    return Path("hands/annotations/person_keypoints.json")


def init(bpnet: Run, labels: Path, *more: object, code: int = 0) -> str:
    result = bpnet("spec", "init", "--annotations", labels, "--images", "hands/images", "-o", "my hands", *more)
    assert result.exit_code == code, result.output
    return result.output


def change(labels: Path, category: dict[str, Any]) -> dict[str, Any]:
    """Rewrite the file with other keys of its category; None removes a key."""
    content = json.loads(labels.read_text())
    merged = {**content["categories"][0], **category}
    content["categories"] = [{key: value for key, value in merged.items() if value is not None}]
    labels.write_text(json.dumps(content))
    return content


def test_what_is_written_trains_and_is_understood(bpnet: Run, hands: Path, keras_loaded: None) -> None:
    said = init(bpnet, hands)
    spec = load_spec("my hands/spec.yaml")
    assert (spec.name, spec.skeleton) == ("my hands", "my hands/skeleton.yaml")
    assert spec.model.backbone == "tiny"  # from quickstart, because the box doesn't know hands
    values = skeleton_values(load_skeleton_file("my hands/skeleton.yaml"))
    category = json.loads(hands.read_text())["categories"][0]
    assert values["name"] == "hand"
    assert values["keypoints"] == category["keypoints"]
    assert [[category["keypoints"].index(name) + 1 for name in limb] for limb in values["limbs"]] == category[
        "skeleton"
    ]
    assert values["flip_pairs"] == []
    assert "Then: bpnet train -e 'my hands/spec.yaml' -r 'runs/my hands'" in said
    assert "no left/right pairs" not in said  # a hand has no sides
    assert "0.062 for wrist; 0.05 for the other 20\n" in said
    held, rest = (json.loads(Path(f"my hands/{name}.json").read_text()) for name in ("validation", "train"))
    files = [{image["file_name"] for image in part["images"]} for part in (held, rest)]
    assert [len(part) for part in files] == [3, 27]
    assert not files[0] & files[1]
    assert {a["image_id"] for a in held["annotations"]} == {image["id"] for image in held["images"]}
    assert bpnet("spec", "check", "my hands/spec.yaml", "--paths").exit_code == 0
    words = [f"--set=training.{change}" for change in ("epochs=1", "min_steps_per_epoch=1", "steps_per_epoch=2")]
    result = bpnet("train", "-e", "my hands/spec.yaml", "-r", "run", *words)
    assert result.exit_code == 0, result.output
    assert Path("run/model.keras").exists()


def test_names_that_yaml_would_read_otherwise_stay_names(bpnet: Run, hands: Path) -> None:
    odd = ["yes", "1", "null", "a: b", "[x]", "# y", "1e3", "Spitze ü", "'", "on", "~", "*a", "-", "x, y", "?"]
    names = odd + [f"k{i}" for i in range(21 - len(odd))]
    change(hands, {"keypoints": names, "name": "no: 1"})
    init(bpnet, hands)
    values = skeleton_values(load_skeleton_file("my hands/skeleton.yaml"))
    assert (values["keypoints"], values["name"]) == (names, "no: 1")
    text = Path("my hands/skeleton.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["keypoints"] == names  # YAML 1.1 reads the same


def test_limbs_are_made_where_the_file_has_none(bpnet: Run, hands: Path) -> None:
    change(hands, {"skeleton": None})
    said = init(bpnet, hands)
    assert "limbs: the file has none; 20 join keypoints that are near to each other" in said
    limbs = {frozenset(limb) for limb in load_skeleton_file("my hands/skeleton.yaml").limbs}
    assert len(limbs) == 20
    fingers = [{f"{name}_finger{i}", f"{name}_finger{i + 1}"} for name in ("middle", "ring") for i in (2, 3)]
    assert all(limb in limbs for limb in map(frozenset, fingers))  # joints of a finger are neighbours


def test_sides_without_a_partner_are_told(bpnet: Run, hands: Path) -> None:
    names = ["left_knee", *(f"k{i}" for i in range(20))]
    change(hands, {"keypoints": names})
    said = init(bpnet, hands)
    assert "keypoint 'left_knee' has no partner on the other side" in said
    assert "flip_pairs" not in Path("my hands/skeleton.yaml").read_text()


def test_limbs_to_nowhere_are_told(bpnet: Run, hands: Path) -> None:
    pairs = [[1, 2], [2, 99], [-1, 3]]
    change(hands, {"skeleton": pairs})
    said = init(bpnet, hands)
    assert "pairs in `skeleton` that are not two of its 21 keypoints: 2 (first: [2, 99])" in said
    assert load_skeleton_file("my hands/skeleton.yaml").limbs[0] == ("wrist", "thumb1")


def test_a_shipped_spec_and_files_to_validate_on_can_be_chosen(bpnet: Run, hands: Path) -> None:
    said = init(bpnet, hands, "finetune", "--validation-annotations", hands)
    spec = load_spec("my hands/spec.yaml")
    assert spec.model.pretrained == "box"
    assert "from finetune (starts from the model in the box)" in said
    (validation,) = spec.dataset.validation_sources
    assert validation.model_dump()["annotations"] == str(hands)
    assert not Path("my hands/train.json").exists()


def test_people_begin_with_the_model_in_the_box_also_under_other_names(
    bpnet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bpnet("dataset", "synthetic", "-o", "hands", "--images", 3, "--size", 96, 96)
    labels = Path("hands/annotations/person_keypoints.json")
    names = json.loads(labels.read_text())["categories"][0]["keypoints"]
    change(labels, {"keypoints": [name.replace("left_", "L").replace("right_", "R") for name in names]})
    said = init(bpnet, labels)
    assert "none of the photos are held back, because fewer than 20 have people" in said
    spec = load_spec("my hands/spec.yaml")
    assert spec.model.pretrained == "box"
    assert spec.model.pretrained_keypoints["Lhip"] == "left_hip"
    assert len(spec.model.pretrained_keypoints) == 16
    assert spec.dataset.validation_sources == ()


def test_nothing_is_written_over_or_for_bad_labels(bpnet: Run, hands: Path) -> None:
    init(bpnet, hands)
    Path("my hands/spec.yaml").write_text("name: precious")
    said = init(bpnet, hands, code=1)
    assert "exists already; give --overwrite to replace it" in said
    assert Path("my hands/spec.yaml").read_text() == "name: precious"
    init(bpnet, hands, "--overwrite")
    assert load_spec("my hands/spec.yaml").name == "my hands"
    Path("other.json").write_text(hands.read_text())
    change(Path("other.json"), {"keypoints": [f"point {i}" for i in range(21)]})
    for words, message in (
        (("-o", "b", "--category", "foot"), "has no category 'foot'; it has hand"),
        (("-o", "b", "quickstrat"), "no shipped spec has this name, did you mean 'quickstart'?"),
        (("-o", "b", "--annotations", "none.json"), "none.json: no such annotation file"),
        (("-o", "b", "--validation-annotations", "none.json"), "none.json: no such annotation file"),
        (("-o", "b", "--validation-annotations", "other.json"), "other.json: has none of the keypoints wrist, thumb1"),
        (("-o", "b", "hand_21"), "hand_21: is a skeleton; with --annotations, NAME is the spec to start from"),
        (("-o", "b.yaml"), "b.yaml: with --annotations, several files are written; give a folder (-o)"),
        (("-o", "other.json"), "other.json: is a file, not a folder"),
    ):
        assert message in init(bpnet, hands, *words, code=1)
        assert not Path("b").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "x"), "give --annotations and --images together"),
        ((), "give the NAME of a shipped spec or skeleton"),
        (("box", "--category", "a"), "need --annotations"),
        (("--images", "x", "--annotations", "y", "--validation-images", "z"), "needs --validation-annotations"),
    ],
)
def test_wrong_usage(bpnet: Run, words: tuple[str, ...], message: str) -> None:
    result = bpnet("spec", "init", "-o", "a", *words)
    assert result.exit_code == 2
    assert message in result.output
