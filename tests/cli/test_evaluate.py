"""`bpnet evaluate`: its files, its words, and the same code while training."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from bpnet_cli import BODY_18, Skeleton
from bpnet_cli.evaluation.workflow import _constants
from tests.cli.conftest import Run


def test_evaluate_writes_the_documented_files(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("evaluate", "-m", trained / "run" / "model.keras", "-r", tmp_path)
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {"AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"} <= set(metrics)
    rows = list(csv.reader((tmp_path / "results.csv").read_text().splitlines()))
    assert rows[0] == ["metric", "IoU", "area", "maxDets", "score"]
    assert len(rows) == 11
    assert isinstance(json.loads((tmp_path / "coco_results.json").read_text()), list)
    report = (tmp_path / "report.html").read_text()
    assert "<svg" in report
    assert "data:image/jpeg;base64," in report
    assert "http" not in report.replace("http-equiv", "")
    assert "OKS (0 to 1) measures how near" in report
    assert ">precision</text>" in report
    assert "have no area" not in report + result.output
    assert re.search(r"expect AP \S+ to \S+ on 12 other photos of this kind", result.output)
    assert metrics["limb_precision"] == -1 or 0 <= metrics["limb_precision"] <= 1  # -1: an untrained network draws none
    assert 0 <= metrics["limb_recall"] <= 1
    assert "<td>neck - right_hip</td>" in report
    assert "<td>right_wrist</td><td>0.062</td>" in report
    assert "OKS sigmas" not in result.output


def test_evaluate_on_a_handful_of_photos_gives_no_interval(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run
) -> None:
    raw = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    kept = {image["id"] for image in raw["images"][:4]}
    raw["images"] = raw["images"][:4]
    raw["annotations"] = [entry for entry in raw["annotations"] if entry["image_id"] in kept]
    (tmp_path / "labels.json").write_text(json.dumps(raw))
    words = ("--images", drawn / "images", "--annotations", tmp_path / "labels.json", "-r", tmp_path / "results")
    result = bpnet("evaluate", "-m", exported, *words)
    assert result.exit_code == 0, result.output
    assert "4 photos are too few to estimate the AP of other photos of this kind" in result.output
    assert "too few photos to estimate" in (tmp_path / "results" / "report.html").read_text()


def test_evaluate_where_the_models_own_photos_are_not(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    """As for a model that was trained elsewhere: what to do comes first."""
    words = ("--set", "dataset.validation={images: gone, annotations: gone.json}")
    result = bpnet("evaluate", "-m", exported, "-r", tmp_path / "results", *words)
    assert result.exit_code == 1
    assert result.output.startswith("Error: give --images and --annotations; the photos of the spec in the model can't")
    assert "gone.json: no such annotation file (dataset.validation of the spec inside the model file" in result.output


def test_evaluate_says_where_areas_are_missing(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    raw = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    for entry in raw["annotations"]:
        del entry["area"]
    (tmp_path / "labels.json").write_text(json.dumps(raw))
    words = ("--images", drawn / "images", "--annotations", tmp_path / "labels.json", "-r", tmp_path / "results")
    result = bpnet("evaluate", "-m", exported, *words)
    count = len(raw["annotations"])
    line = (
        f"{count} of {count} annotations have no area. 0.53 x the area of their box is used, the median ratio in COCO;"
        " AP is not"
    )
    assert line in result.output
    assert line in (tmp_path / "results" / "report.html").read_text()


def test_evaluate_names_the_constants_of_an_own_skeleton() -> None:
    assert _constants(BODY_18) == ""
    paw = Skeleton("paw", ("tip", "heel", "toe"), (("tip", "heel"),), (), (0.05, 0.1, 0.05))
    line = "OKS sigmas of skeleton paw: 0.05 for tip, toe; 0.1 for heel (`sigmas` in its file sets them)\n"
    assert _constants(paw) == line
