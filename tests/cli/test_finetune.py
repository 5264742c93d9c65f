"""Training on from a model: what the start was worth is measured, and it is kept where nothing beats it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.build import metadata_of
from bpnet_cli.models.metadata import KERAS_MEMBER
from bpnet_cli.spec.experiment import ExperimentSpec
from tests.cli.conftest import Run, write_spec


@pytest.mark.parametrize(
    ("measured", "told", "from_start"),
    [
        ([0.5, 0.3, 0.4], "best: AP 0.500 before training, which no epoch reached", True),
        ([0.5, 0.3, 0.5], "best: AP 0.500 after epoch 2", False),
        ([0.5, 0.6, 0.4], "best: AP 0.600 after epoch 1", False),
    ],
)
@pytest.mark.parametrize("ema_momentum", ["null", "0.9"])
def test_the_start_is_kept_until_an_epoch_reaches_it(
    measured: list[float],
    told: str,
    from_start: bool,
    ema_momentum: str,
    tmp_path: Path,
    trained: Path,
    drawn: Path,
    bpnet: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: Iterator[float] = iter(measured)
    monkeypatch.setattr("bpnet_cli.training.run._ap_of", lambda *_: lambda: next(answers))
    source, run = trained / "run" / "model.keras", tmp_path / "run"
    training = f"epochs: 2, steps_per_epoch: 1, batch_size: 2, validate_every_epochs: 1, ema_momentum: {ema_momentum}"
    spec = write_spec(tmp_path, drawn, f"{{{training}}}")
    result = bpnet("train", "-e", spec, "-r", run, "--set", f"model.pretrained={source}")
    assert result.exit_code == 0, result.output
    assert "before training: AP 0.500" in result.output
    assert told in result.output
    assert same_weights(run / "model.keras", source) == from_start
    assert not same_weights(run / "last.keras", source)
    status = [json.loads(line) for line in (run / "status.jsonl").read_text().splitlines()]
    assert [entry["kpi"]["AP"] for entry in status if entry.get("message") == "before training"] == [0.5]


def same_weights(a: Path, b: Path) -> bool:
    from bpnet_cli.models.model_file import load_network

    pairs = zip(*(load_network(path)[0].get_weights() for path in (a, b)), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_the_start_counts_after_a_stop_too(
    tmp_path: Path, trained: Path, drawn: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([0.5, 0.3, 0.4])
    monkeypatch.setattr("bpnet_cli.training.run._ap_of", lambda *_: lambda: next(answers))
    training = "steps_per_epoch: 1, batch_size: 2, validate_every_epochs: 1"
    words = ("train", "-r", tmp_path / "run", "--set", f"model.pretrained={trained / 'run' / 'model.keras'}", "-e")
    assert bpnet(*words, write_spec(tmp_path, drawn, f"{{epochs: 1, {training}}}")).exit_code == 0
    again = bpnet(*words, write_spec(tmp_path, drawn, f"{{epochs: 2, {training}}}"))
    assert again.exit_code == 0, again.output
    assert "before training" not in again.output.partition("going on after epoch 1")[2].partition("best:")[0]
    assert "best: AP 0.500 before training" in again.output


def test_a_network_with_new_layers_is_not_measured_before(trained: Path) -> None:
    """`trained` began with random weights."""
    assert "before training" not in (trained / "run" / "status.jsonl").read_text()


def test_keypoints_that_nobody_labels_are_named(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    """A misspelt name is a keypoint that no file has."""
    (tmp_path / "arm.yaml").write_text(
        "name: arm\nkeypoints: [left_sholder, left_elbow, left_wrist]\n"
        "limbs: [[left_sholder, left_elbow], [left_elbow, left_wrist]]\n"
    )
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    words = ("-e", spec, "--set", f"skeleton={tmp_path / 'arm.yaml'}")
    for result in (
        bpnet("dataset", "show", *words, "-o", tmp_path / "sheet.png"),
        bpnet("train", *words, "-r", tmp_path / "run"),
    ):
        assert result.exit_code == 0, result.output
        assert "labelled nowhere in dataset.train: left_sholder; the network won't learn" in result.output


def test_an_input_size_that_the_file_cannot_take_is_found_by_spec_check(tmp_path: Path, bpnet: Run) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("model: {graph: file, pretrained: m.keras, input_height: 360}")
    assert bpnet("spec", "check", path).output.endswith(f"{path}: ok\n")  # the file may be made later
    spec = ExperimentSpec.model_validate_json('{"model": {"backbone": "resnet50"}}')
    metadata = metadata_of(spec, BODY_18).to_json()
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr(KERAS_MEMBER, metadata)
    result = bpnet("spec", "check", path, "--set", f"model.pretrained={tmp_path / 'm.keras'}")
    assert result.exit_code == 1
    assert "model.input_height: must be a multiple of 16 for " in result.output


def test_a_graph_from_a_file_is_loaded_once_and_saved_in_float32(
    tmp_path: Path, trained: Path, drawn: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    source, opened, load = trained / "run" / "model.keras", [], keras.models.load_model
    monkeypatch.setattr(keras.models, "load_model", lambda path, **words: opened.append(path) or load(path, **words))
    training = "epochs: 1, steps_per_epoch: 2, batch_size: 2, precision: mixed_bfloat16, ema_momentum: 0.9"
    spec = write_spec(tmp_path, drawn, f"{{{training}, frozen_layers: [channel_reduction_conv]}}")
    head, _, tail = spec.read_text().partition("model:")
    model = f"model: {{graph: file, pretrained: {source}, input_height: 64, input_width: 64}}\n"
    spec.write_text(head + model + tail[tail.index("inference:") :])
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert opened == [str(source)]
    before, after = load(source), load(tmp_path / "run" / "last.keras")
    assert {layer.dtype_policy.name for layer in after.layers} == {"float32"}
    assert all(layer.trainable for layer in after.layers)
    for ours, theirs in zip(after.layers, before.layers, strict=True):
        same = all(map(np.array_equal, ours.get_weights(), theirs.get_weights()))
        assert same == (ours.name == "channel_reduction_conv" or not ours.weights), ours.name


def test_few_photos_are_passed_several_times_in_an_epoch(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, min_steps_per_epoch: 8, batch_size: 4}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "dataset.validation=null")
    assert result.exit_code == 0, result.output
    last = (tmp_path / "run" / "history.csv").read_text().splitlines()[-1]
    assert last.startswith("1,8,")


def test_maps_of_other_keypoints_are_fitted_once_before_training(
    tmp_path: Path, trained: Path, drawn: Path, bpnet: Run
) -> None:
    (tmp_path / "arm.yaml").write_text(
        "name: arm\nkeypoints: [left_shoulder, left_elbow, left_wrist]\n"
        "limbs: [[left_shoulder, left_elbow], [left_elbow, left_wrist]]\nflip_pairs: []\n"
    )
    source = trained / "run" / "model.keras"
    own = f"model: {{graph: file, pretrained: {source}, input_height: 64, input_width: 64}}"
    text = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}").read_text()
    head, _, rest = text.partition("model:")
    rest = rest[rest.index("inference:") :]
    # `paw` is in no file of the network; the two others keep their maps.
    renamed = (tmp_path / "arm.yaml").read_text().replace("left_wrist", "paw")
    (tmp_path / "arm.yaml").write_text(renamed)
    head = head.replace("validation: {", "validation: {rename: {left_wrist: paw}, ")
    head = head.replace("train: {", "train: {rename: {left_wrist: paw}, ")
    spec = tmp_path / "own.yaml"
    spec.write_text(f"skeleton: {tmp_path / 'arm.yaml'}\n{head}{own}\n{rest}")
    first = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert first.exit_code == 0, first.output
    assert re.search(r"new maps: \d+ layers fitted to \d+ crops", first.output)
    assert "not filled whole: none" in first.output
    assert "before training: AP" in first.output
    again = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "training.epochs=2")
    assert again.exit_code == 0, again.output
    assert "new maps" not in again.output
