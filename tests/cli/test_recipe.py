"""What a spec can ask of training, through the real command on a tiny network."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, write_spec

TRAINING = "{epochs: 1, steps_per_epoch: 4, batch_size: 4, deterministic: true"


def weights_of(path: Path) -> dict[str, np.ndarray]:
    from bpnet_cli.models.model_file import load_network

    return {variable.path: np.asarray(variable) for variable in load_network(path)[0].variables}


def checkpoint_of(run: Path) -> dict[str, np.ndarray]:
    with np.load(next((run / "checkpoints").iterdir())) as archive:
        return {name: archive[name] for name in archive.files}


def test_the_moving_average_is_what_is_saved_and_training_goes_on_without_it(
    tmp_path: Path, drawn: Path, bpnet: Run, keras_loaded: None
) -> None:
    spec = write_spec(tmp_path, drawn, TRAINING + "}")
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    assert bpnet("train", "-e", spec, "-r", plain).exit_code == 0
    result = bpnet("train", "-e", spec, "-r", averaged, "--set", "training.ema_momentum=0.5")
    assert result.exit_code == 0, result.output
    saved, unaveraged = weights_of(averaged / "last.keras"), weights_of(plain / "last.keras")
    state = checkpoint_of(averaged)
    for path, array in unaveraged.items():
        np.testing.assert_array_equal(state[f"network/{path}"], array)
    assert {path.rpartition("/")[2] for path in saved} >= {"kernel", "gamma", "moving_mean", "moving_variance"}
    for path, array in saved.items():
        np.testing.assert_array_equal(array, state[f"average/{path}"])
        assert not np.array_equal(array, unaveraged[path])


def test_frozen_layers_keep_their_weights_and_the_others_learn(
    tmp_path: Path, drawn: Path, bpnet: Run, keras_loaded: None
) -> None:
    spec = write_spec(tmp_path, drawn, TRAINING + ", frozen_layers: [stage1_*]}")
    for steps in (1, 4):
        result = bpnet("train", "-e", spec, "-r", tmp_path / str(steps), "--set", f"training.steps_per_epoch={steps}")
        assert result.exit_code == 0, result.output
    assert "layers keep their weights" in result.output
    early, late = (weights_of(tmp_path / str(steps) / "last.keras") for steps in (1, 4))
    same = {path for path in early if np.array_equal(early[path], late[path])}
    assert same == {path for path in early if path.startswith("stage1_")}
    optimizer = [name for name in checkpoint_of(tmp_path / "4") if name.startswith("optimizer/")]
    assert not any("stage1_conv" in name for name in optimizer)


def test_a_pattern_without_a_layer_is_refused(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, TRAINING + ", frozen_layers: [stage9_*]}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert result.exit_code == 1
    assert "training.frozen_layers: no layer's name matches 'stage9_*'" in result.output


def test_learning_from_a_teacher_alone_comes_close_to_it(
    tmp_path: Path, drawn: Path, bpnet: Run, exported: Path
) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 4, steps_per_epoch: 8, batch_size: 4}")
    result = bpnet(
        *("train", "-e", spec, "-r", tmp_path / "run", "--set", f"distillation.teacher={exported}"),
        *("--set", "distillation.share=1.0", "--set", "optimizer.learning_rate=3e-3"),
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    losses = [float(row["teacher_loss"]) for row in rows]
    assert losses[-1] < 0.5 * losses[0]
    assert [float(row["loss"]) for row in rows] == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [("missing.onnx", "no such model file (distillation.teacher"), ("{other}", "must be the same")],
)
def test_a_teacher_that_cannot_teach_is_refused(
    tmp_path: Path, drawn: Path, bpnet: Run, exported: Path, teacher: str, message: str
) -> None:
    import onnx

    model = onnx.load(str(exported))
    for entry in model.metadata_props:
        entry.value = entry.value.replace("nose", "beak")
    onnx.save(model, str(tmp_path / "other.onnx"))
    spec = write_spec(tmp_path, drawn, TRAINING + "}")
    path = teacher.format(other=tmp_path / "other.onnx")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", f"distillation.teacher={path}")
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "run").exists()
