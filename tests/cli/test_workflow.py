"""Train, evaluate and export through the real command, on drawn people."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bpnet_cli.training import callbacks
from tests.cli.conftest import Run, write_spec


def test_train_leaves_the_documented_files(trained: Path) -> None:
    run = trained / "run"
    names = {path.name for path in run.iterdir()}
    assert names == {
        "spec.yaml",
        "model.keras",
        "last.keras",
        "checkpoints",
        "tensorboard",
        "history.csv",
        "status.jsonl",
    }
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["step"] for row in rows] == ["3", "6"]
    assert float(rows[0]["loss"]) > 0
    assert rows[0]["AP"] == ""
    assert 0 <= float(rows[1]["AP"]) <= 1
    status = [json.loads(line) for line in (run / "status.jsonl").read_text().splitlines()]
    assert [entry["status"] for entry in status] == ["STARTED", "RUNNING", "RUNNING", "SUCCESS"]
    assert yaml.safe_load((run / "spec.yaml").read_text())["training"]["batch_size"] == 4
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["epoch-00001.npz", "epoch-00002.npz"]


def test_tensorboard_has_every_epoch_and_pictures(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "run" / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags, pictures = (set(events.Tags()[kind]) for kind in ("scalars", "images"))
    losses = {f"{kind}_loss_stage{stage}" for kind in ("heatmap", "paf") for stage in (1, 2)}
    assert tags == {"loss", "learning_rate", "images_per_second", "AP"} | losses
    values = {tag: [event.value for event in events.Scalars(tag)] for tag in tags}
    for tag, found in values.items():
        assert [event.step for event in events.Scalars(tag)] == ([6] if tag == "AP" else [3, 6])
        assert all(np.isfinite(found)), tag
    np.testing.assert_allclose(sum(np.array(values[name]) for name in losses), values["loss"], rtol=1e-4)
    rows = list(csv.DictReader((trained / "run" / "history.csv").read_text().splitlines()))
    np.testing.assert_allclose([float(row["loss"]) for row in rows], values["loss"], rtol=1e-4)
    assert values["learning_rate"] == pytest.approx([1e-3, 1e-3])
    assert {tag.rpartition("/")[2] for tag in pictures} == {"people", "maps"}
    maps = next(tag for tag in pictures if tag.endswith("/maps"))
    picture = events.Images(maps)[0]
    assert (picture.width, picture.height) == (
        128,
        168,
    )  # two maps side by side; labels above network, each with its caption


def stop_after_an_epoch(patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right after the first checkpoint."""
    save = callbacks.Save.on_epoch_end

    def save_and_stop(callback: callbacks.Save, epoch: int, logs: dict[str, float] | None = None) -> None:
        save(callback, epoch, logs)
        raise KeyboardInterrupt

    patch.setattr(callbacks.Save, "on_epoch_end", save_and_stop)


def test_rerunning_goes_on_and_equals_one_long_run(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    """Interrupted after an epoch and rerun, the same samples and steps follow: the same weights come out."""
    from bpnet_cli.models.model_file import load_network

    spec = write_spec(
        tmp_path, drawn, "{epochs: 3, steps_per_epoch: 2, batch_size: 4, deterministic: true, workers: 2}"
    )
    assert bpnet("train", "-e", spec, "-r", tmp_path / "long").exit_code == 0

    with pytest.MonkeyPatch.context() as patched:
        stop_after_an_epoch(patched)
        assert bpnet("train", "-e", spec, "-r", tmp_path / "cut").exit_code == 1
    assert "INTERRUPTED" in (tmp_path / "cut" / "status.jsonl").read_text()
    again = bpnet("train", "-e", spec, "-r", tmp_path / "cut")
    assert "going on after epoch 1" in again.output
    for a, b in zip(
        *(load_network(tmp_path / n / "last.keras")[0].get_weights() for n in ("long", "cut")), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    before = (tmp_path / "cut" / "spec.yaml").read_bytes()
    done = bpnet("train", "-e", spec, "-r", tmp_path / "cut", "--set", "optimizer.learning_rate=0.5")
    assert done.exit_code == 0
    assert "already trained for 3 epochs" in done.output
    assert (tmp_path / "cut" / "spec.yaml").read_bytes() == before


def test_a_run_with_another_network_is_refused_and_lists_the_keys(trained: Path, bpnet: Run) -> None:
    before = (trained / "run" / "spec.yaml").read_bytes()
    result = bpnet("train", "-e", trained / "spec.yaml", "-r", trained / "run", "--set", "model.stages=1")
    assert result.exit_code == 1
    assert "model.stages: 2 -> 1" in result.output
    assert (trained / "run" / "spec.yaml").read_bytes() == before


def test_files_of_others_are_left_alone(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "spec.yaml").write_text("mine")
    (run / "checkpoints" / "a.pt").write_text("mine")
    refused = bpnet("train", "-e", spec, "-r", run)
    assert refused.exit_code == 1
    assert "spec.yaml: is there already, but no training run wrote it" in refused.output
    assert (run / "spec.yaml").read_text() == "mine"
    (run / "spec.yaml").unlink()
    assert bpnet("train", "-e", spec, "-r", run).exit_code == 0
    assert bpnet("train", "-e", spec, "-r", run, "--no-resume").exit_code == 0
    assert (run / "checkpoints" / "a.pt").read_text() == "mine"


def test_no_resume_starts_over(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 0
    words = ("train", "-e", spec, "-r", tmp_path / "run", "--no-resume", "--set", "model.stages=1")
    assert bpnet(*words).exit_code == 0
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert len(rows) == 1
    assert "heatmap_loss_stage2" not in rows[0]


def test_checkpoints_are_kept_as_asked_and_a_damaged_one_is_passed_over(
    tmp_path: Path, drawn: Path, bpnet: Run
) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 4, steps_per_epoch: 1, batch_size: 2, keep_checkpoints: 2}")
    assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 0
    kept = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["epoch-00003.npz", "epoch-00004.npz"]
    kept[1].write_bytes(kept[1].read_bytes()[:1000])
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "training.epochs=5")
    assert "epoch-00004.npz: damaged" in result.output
    assert "going on after epoch 3" in result.output


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_leaves_a_float32_file(
    tmp_path: Path, drawn: Path, bpnet: Run, precision: str
) -> None:
    import keras

    spec = write_spec(tmp_path, drawn, f"{{epochs: 1, steps_per_epoch: 2, batch_size: 2, precision: {precision}}}")
    assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 0
    network = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert {layer.dtype_policy.name for layer in network.layers if layer.weights} == {"float32"}
    assert all(np.isfinite(weights).all() for weights in network.get_weights())
    assert bpnet("export", "-m", tmp_path / "run" / "model.keras", "-o", tmp_path / "m.onnx").exit_code == 0


def test_a_frozen_backbone_thaws_and_a_rerun_equals_one_long_run(
    tmp_path: Path, trained: Path, drawn: Path, bpnet: Run
) -> None:
    """With gradients accumulated over an epoch's end; statistics of batch norm go on in frozen layers."""
    from bpnet_cli.models.model_file import load_network

    source = trained / "run" / "model.keras"
    training = "epochs: 3, steps_per_epoch: 3, batch_size: 2, gradient_accumulation: 2, freeze_backbone_epochs: 1"
    spec = write_spec(tmp_path, drawn, f"{{{training}, deterministic: true, validate_every_epochs: 9}}")
    words = ("train", "-e", spec, "--set", f"model.pretrained={source}")
    whole = bpnet(*words, "-r", tmp_path / "long")
    assert whole.exit_code == 0, whole.output
    assert "not filled whole: none" in whole.output
    assert "frozen until epoch 1 is over: 12 layers of the backbone" in whole.output

    with pytest.MonkeyPatch.context() as patched:
        stop_after_an_epoch(patched)
        assert bpnet(*words, "-r", tmp_path / "cut").exit_code == 1
    frozen = load_network(tmp_path / "cut" / "last.keras")[0].get_layer
    before = load_network(source)[0].get_layer
    np.testing.assert_array_equal(frozen("conv2").get_weights()[0], before("conv2").get_weights()[0])
    for index, moved in enumerate((False, False, True, True)):  # gamma, beta, moving mean, moving variance
        weights = (layer("conv2_bn").get_weights()[index] for layer in (frozen, before))
        assert bool(np.any(np.subtract(*weights))) == moved
    assert np.any(frozen("stage1_conv1").get_weights()[0] != before("stage1_conv1").get_weights()[0])
    assert "going on after epoch 1" in bpnet(*words, "-r", tmp_path / "cut").output
    networks = [load_network(tmp_path / name / "last.keras")[0] for name in ("long", "cut")]
    for a, b in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(networks[0].get_layer("conv2").get_weights()[0] != before("conv2").get_weights()[0])
    refused = bpnet(*words, "-r", tmp_path / "cut", "--set", "training.gradient_accumulation=1")
    assert refused.exit_code == 1
    assert "training.gradient_accumulation: 2 -> 1" in refused.output


def test_there_must_be_something_to_freeze(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    np.savez(tmp_path / "stage.npz", **{"stage1_conv1/bias": np.zeros(8, np.float32)})
    spec = write_spec(tmp_path, drawn, "{epochs: 1, batch_size: 2, freeze_backbone_epochs: 1}")
    keys = ("--set", f"model.pretrained={tmp_path / 'stage.npz'}", "--set", "model.batch_norm=false")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", *keys)
    assert result.exit_code == 1
    assert "stage.npz fills no layer of backbone tiny" in result.output
    assert not (tmp_path / "run").exists()


def test_fine_tuning_to_another_skeleton_says_what_starts_afresh(
    tmp_path: Path, trained: Path, drawn: Path, bpnet: Run
) -> None:
    (tmp_path / "arm.yaml").write_text(
        "name: arm\nkeypoints: [left_shoulder, left_elbow, thumb]\n"
        "limbs: [[left_elbow, left_shoulder], [left_elbow, thumb]]\n"
    )
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    keys = (f"skeleton={tmp_path / 'arm.yaml'}", f"model.pretrained={trained / 'run' / 'model.keras'}")
    words = [word for key in keys for word in ("--set", key)]
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    assert "matched by name, it has 2 of the 3 keypoints and 1 of the 2 limbs of arm" in result.output
    fresh = ["stage1_heat_out", "stage1_paf_out", "stage2_conv1_depthwise", "stage2_conv1_depthwise_bn"]
    fresh += ["stage2_conv1", "heatmap_out", "paf_out"]
    line = next(line for line in result.output.splitlines() if line.startswith("pretrained: "))
    assert set(line.partition("not filled whole: ")[2].split(", ")) == set(fresh)
    started = json.loads((tmp_path / "run" / "status.jsonl").read_text().splitlines()[0])
    assert set(started["layers_not_pretrained"]) == set(fresh)


def test_xla_is_asked_for(tmp_path: Path, drawn: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only asked for: once a test of this process was deterministic, Keras refuses it."""
    import keras

    asked = []
    compile_model = keras.Model.compile

    def spy(model: keras.Model, **options: object) -> None:
        asked.append(options.pop("jit_compile"))
        compile_model(model, jit_compile=False, **options)

    monkeypatch.setattr(keras.Model, "compile", spy)
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2, jit_compile: true}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "model.stages=1")
    assert result.exit_code == 0, result.output
    assert asked == [True]


def test_nan_stops_with_a_clear_message(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 2, steps_per_epoch: 3, batch_size: 2}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "optimizer.learning_rate=1e38")
    assert result.exit_code == 1
    assert "the loss became" in result.output
    assert "lower optimizer.learning_rate" in result.output
    assert "FAILURE" in (tmp_path / "run" / "status.jsonl").read_text()


def test_a_photo_that_breaks_mid_run_is_named(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    import shutil

    shutil.copytree(drawn, tmp_path / "data")
    photo = tmp_path / "data" / "images" / "000000000003.jpg"
    photo.write_bytes(photo.read_bytes()[:300] + b"\xff\xd9")  # header and end stay whole
    spec = write_spec(tmp_path, tmp_path / "data", "{epochs: 1, batch_size: 4}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert result.exit_code == 1
    assert f"Error: {photo}: can't be decoded" in result.output


def test_train_says_where_a_run_is_too_short_to_learn(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 2, batch_size: 4}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert "2 steps in all (1 epochs of 2) are too few to learn much: raise training.epochs or" in result.output


def test_without_keras_training_says_what_to_install(trained: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "from bpnet_cli.cli import main\n"
        f"main(['train', '-e', {str(trained / 'spec.yaml')!r}, '-r', {str(tmp_path / 'run')!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "pip install 'bpnet-cli[train]'" in result.stderr
    assert "Traceback" not in result.stderr
