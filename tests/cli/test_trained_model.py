"""From a trained model on: export, the same results in both formats, what files say, a skeleton of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_spec


def test_keras_and_onnx_agree(trained: Path, exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json")
    for name, model in (("keras", trained / "run" / "model.keras"), ("onnx", exported)):
        assert bpnet("evaluate", "-m", model, *words, "-r", tmp_path / name).exit_code == 0
    a, b = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("keras", "onnx"))
    assert a["AP"] == pytest.approx(b["AP"], abs=0.002)
    assert a["persons_found"] == b["persons_found"]


def test_export_says_what_it_wrote(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    import onnx

    model = trained / "run" / "model.keras"
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx")
    assert "input   image: uint8 [batch, height, width, 3]" in result.output
    assert "output  heatmaps: float32 [batch, rows, columns, 19]" in result.output
    difference = float(result.output.split("largest difference to Keras: ")[1])
    assert difference <= 1e-4
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"), full_check=True)
    again = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx")
    assert again.exit_code == 1
    assert "exists already; give --overwrite" in again.output
    assert bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", "--overwrite").exit_code == 0
    for output, message in (
        (tmp_path / "m.trt", "must end in .onnx, .xml or .tflite"),
        (model / "x.onnx", "is a file, not a folder"),
    ):
        refused = bpnet("export", "-m", model, "-o", output)
        assert refused.exit_code == 1
        assert message in refused.output


def test_export_refuses_a_model_that_differs(
    trained: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpnet_cli.export.onnx.largest_difference", lambda *_: 2e-4)
    result = bpnet("export", "-m", trained / "run" / "model.keras", "-o", tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert "the maps of ONNX Runtime and Keras differ by 0.0002" in result.output
    assert list(tmp_path.iterdir()) == []


def test_info_on_files(trained: Path, exported: Path, bpnet: Run) -> None:
    keras_file = json.loads(bpnet("info", "-m", trained / "run" / "model.keras", "--json").output)
    onnx_file = json.loads(bpnet("info", "-m", exported, "--json").output)
    assert keras_file["parameters"] > 0
    assert keras_file["gmacs_at"] == [64, 64]
    for key in ("name", "stride", "skeleton", "keypoints", "outputs"):
        assert keras_file[key] == onnx_file[key]


def test_a_skeleton_of_ones_own(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    """Three keypoints, two limbs, same commands; labels that the skeleton lacks are left out of training."""
    (tmp_path / "arm.yaml").write_text(
        "name: arm\nkeypoints: [left_shoulder, left_elbow, left_wrist]\n"
        "limbs: [[left_shoulder, left_elbow], [left_elbow, left_wrist]]\n"
    )
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", f"skeleton={tmp_path / 'arm.yaml'}")
    assert result.exit_code == 0, result.output
    assert "AP counts 3 of its 17 keypoints, those that skeleton arm has" in result.output
    assert "skeleton arm: 3 keypoint(s) have no partner, so mirrored" in result.output
    model = tmp_path / "run" / "model.keras"
    assert json.loads(bpnet("info", "-m", model, "--json").output)["keypoints"] == [
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ]
    assert bpnet("export", "-m", model, "-o", tmp_path / "arm.onnx").exit_code == 0
    assert bpnet("infer", drawn / "images", "-m", tmp_path / "arm.onnx", "-r", tmp_path / "out").exit_code == 0
