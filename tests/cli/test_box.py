"""The model in the box: what the verbs use when no model is named."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.box import NAMES, box_keras, box_onnx
from tests.cli.conftest import Run

SPECS = Path(__file__).parents[2] / "specs"


@pytest.mark.parametrize("model", [None, *NAMES])
def test_infer_finds_the_people_of_a_real_photo(
    shared_data: Path, tmp_path: Path, bpnet: Run, model: str | None
) -> None:
    """On photos that the model learnt from, so this says that it works, not how well."""
    truth = json.loads((shared_data / "coco-train" / "annotations" / "person_keypoints.json").read_text())
    large = [a for a in truth["annotations"] if a["num_keypoints"] >= 16 and a["bbox"][3] > 300 and not a["iscrowd"]]
    ids = {a["image_id"] for a in large}
    names = sorted(image["file_name"] for image in truth["images"] if image["id"] in ids)[:20]
    (tmp_path / "photos").mkdir()
    for name in names:
        shutil.copy(shared_data / "coco-train" / "images" / name, tmp_path / "photos")
    result = bpnet("infer", tmp_path / "photos", "-r", tmp_path / "r", *(("-m", model) if model else ()))
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "r" / "detections.json").read_text())["images"]
    assert sum(bool(entry["persons"]) for entry in entries) >= 0.8 * len(names)


def test_evaluate_and_export_use_it_too(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json")
    result = bpnet("evaluate", *words, "-r", tmp_path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 12
    result = bpnet("export", "-o", tmp_path / "box.onnx", "--precision", "fp32")
    assert result.exit_code == 0, result.output


def test_the_python_interface_uses_it_too() -> None:
    from bpnet_cli import load_predictor

    predictor = load_predictor()
    assert predictor.backend.metadata.skeleton.name == "body_18"
    assert predictor.predict(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("name", NAMES)
def test_both_files_are_one_network_made_by_a_shipped_spec(name: str, keras_loaded: None) -> None:
    from bpnet_cli.inference.backends import KerasBackend, OnnxBackend
    from bpnet_cli.models.model_file import load_network
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.loader import dump_spec, load_spec

    network, metadata = load_network(box_keras(name))
    onnx = OnnxBackend(box_onnx(name))
    spec = load_spec(SPECS / f"{name}.yaml")
    for found in (metadata.spec, onnx.metadata.spec):
        inside = ExperimentSpec.model_validate_json(json.dumps(found))  # with the keys that are newer than the file
        assert inside.model == spec.model
        assert inside.dataset == spec.dataset
    assert "model:" in dump_spec(spec)
    photo = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    for exact, got in zip(KerasBackend(network, metadata).maps(photo), onnx.maps(photo), strict=True):
        assert np.abs(exact - got).max() < 0.1


def test_packing_takes_the_mean_of_the_files_and_the_spec(tmp_path: Path, keras_loaded: None) -> None:
    from bpnet_cli.models.model_file import load_network, save_network

    source = box_keras("box-fast")
    network, metadata = load_network(source)
    weights = network.get_weights()
    network.set_weights([weight + 0.5 for weight in weights])
    save_network(network, replace(metadata, spec=None), tmp_path / "more.keras")
    pack = runpy.run_path(str(SPECS / "pack_box.py"))["pack"]
    pack([source, str(tmp_path / "more.keras")], str(tmp_path / "box-fast.keras"))
    packed, metadata = load_network(tmp_path / "box-fast.keras")
    for weight, got in zip(weights, packed.get_weights(), strict=True):
        np.testing.assert_allclose(got, weight + 0.25, rtol=1e-3, atol=1e-4)
    assert metadata.spec is not None
    assert metadata.spec["name"] == "box-fast"
    with pytest.raises((KeyError, ValueError)):
        pack([source, box_keras()], str(tmp_path / "box-fast.keras"))


def test_the_fast_one_is_small() -> None:
    assert Path(box_onnx("box-fast")).stat().st_size <= 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_finetune_starts_from_every_layer_of_it(
    name: str, drawn: Path, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    source = f"{{images: {drawn / 'images'}, annotations: {drawn / 'annotations' / 'person_keypoints.json'}}}"
    words = ["--set", f"dataset.train={source}", "--set", f"dataset.validation={source}", "--set", "training.epochs=1"]
    words += ["--set", "training.batch_size=4", "--set", "model.input_height=64", "--set", "model.input_width=64"]
    words += ["--set", f"model.pretrained={name}"]
    result = bpnet("train", "-e", SPECS / "finetune.yaml", "-r", tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    assert "not filled whole: none" in result.output


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bpnet: Run) -> None:
    monkeypatch.setattr("bpnet_cli.box._ASSETS", tmp_path)
    result = bpnet("infer", SPECS, "-r", tmp_path / "r")
    assert result.exit_code == 1
    assert f"{tmp_path / 'box.onnx'}: the model in the box is missing" in result.output


def test_a_name_that_is_nearly_right_is_answered(bpnet: Run) -> None:
    for verb, wrong, words in (("info", "box_fast", ()), ("export", "boxfast", ("-o", "x.onnx"))):
        result = bpnet(verb, "-m", wrong, *words)
        assert (result.exit_code, result.output) == (
            1,
            f"Error: {wrong}: no such model file, did you mean 'box-fast'?\n",
        )
