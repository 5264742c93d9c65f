"""Runs that are stopped, cut off or damaged go on as if nothing had happened."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bpnet_cli import BODY_18
from bpnet_cli.training import callbacks as training_callbacks
from bpnet_cli.training.keeping import Keeper
from bpnet_cli.training.records import History
from tests.cli.conftest import Run, write_spec

TRAINING = "{epochs: 2, steps_per_epoch: 4, batch_size: 4, deterministic: true, ema_momentum: 0.9}"


def checkpoint(run: Path) -> dict[str, np.ndarray]:
    """Everything in a run's last checkpoint."""
    with np.load(run / "checkpoints" / "epoch-00002.npz") as archive:
        return {name: archive[name] for name in archive.files}


def history(run: Path) -> list[dict[str, str]]:
    """The rows of a run's history, without the pace."""
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


def assert_same_run(a: Path, b: Path) -> None:
    """Bit by bit: weights, optimizer, averages, means of the losses; and what people read."""
    first, second = checkpoint(a), checkpoint(b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert history(a) == history(b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, drawn: Path, bpnet: Run, keras_loaded: None) -> Path:
    """A run that nothing disturbed, beside its spec."""
    directory = tmp_path_factory.mktemp("whole")
    spec = write_spec(directory, drawn, TRAINING)
    result = bpnet("train", "-e", spec, "-r", directory / "run")
    assert result.exit_code == 0, result.output
    return directory


class StopAt:
    """Makes a run ask itself to stop before a step, as a signal would."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, step: int) -> None:
        original = training_callbacks.SaveWithin.on_train_batch_begin

        def with_signal(callback: training_callbacks.SaveWithin, batch: int, logs: object = None) -> None:
            if callback.place.epoch * 4 + callback.place.first_step + batch == step:
                os.kill(os.getpid(), number)
            original(callback, batch)

        patch.setattr(training_callbacks.SaveWithin, "on_train_batch_begin", with_signal)


@pytest.mark.usefixtures("own_stack")
@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 2), (signal.SIGINT, 7), (signal.SIGTERM, 4)])
def test_a_run_told_to_stop_leaves_and_goes_on_at_that_step(
    whole: Path, tmp_path: Path, bpnet: Run, number: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        StopAt(patch, number, step)
        result = bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / "run")
    assert result.exit_code == 1
    assert f"after epoch {step // 4}{f', step {step % 4}' if step % 4 else ''}" in result.output
    assert "Aborted" not in result.output
    assert signal.getsignal(number) == before
    last = json.loads((tmp_path / "run" / "status.jsonl").read_text().splitlines()[-1])
    assert (last["status"], last["epoch"], last["step"]) == ("INTERRUPTED", step // 4, step % 4)
    result = bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert f"going on after epoch {step // 4}" in result.output
    assert result.output.count("compiling the training step") == 1
    assert_same_run(whole / "run", tmp_path / "run")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "name"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    whole: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 7)
        assert bpnet("train", "-e", whole / "spec.yaml", "-r", run).exit_code == 1
    newest = run / "checkpoints" / "epoch-00001-step-0000003.npz"
    data = bytearray(newest.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0x10
    elif damage == "name":
        data[data.rindex(b"state.npy")] ^= 0x10
    newest.write_bytes({"cut": data[: len(data) // 2], "empty": b""}.get(damage, data))
    result = bpnet("train", "-e", whole / "spec.yaml", "-r", run)
    assert result.exit_code == 0, result.output
    assert f"{newest}: damaged" in result.output
    assert "going on after epoch 1\n" in result.output
    assert_same_run(whole / "run", run)


def test_the_scale_of_the_loss_in_float16_goes_on(whole: Path, tmp_path: Path, bpnet: Run) -> None:
    def run(name: str, *more: str) -> dict[str, np.ndarray]:
        # Measured after every epoch, or the shorter run would measure at another time.
        half = ("--set", "training.precision=mixed_float16", "--set", "training.validate_every_epochs=1", *more)
        result = bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / name, *half)
        assert result.exit_code == 0, result.output
        return checkpoint(tmp_path / name) if not more else {}

    run("cut", "--set", "training.epochs=1")
    cut, undisturbed = run("cut"), run("whole")
    scales = [name for name in undisturbed if name.endswith(("dynamic_scale", "step_counter"))]
    assert len(scales) == 2
    assert undisturbed[scales[0]] > 0
    for name in undisturbed:
        np.testing.assert_array_equal(cut[name], undisturbed[name])


def test_checkpoints_within_an_epoch_count_among_those_kept(whole: Path, tmp_path: Path, bpnet: Run) -> None:
    often = ("--set", "training.checkpoint_minutes=0", "--set", "training.keep_checkpoints=3")
    result = bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / "run", *often)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["epoch-00001-step-0000002.npz", "epoch-00001-step-0000003.npz", "epoch-00002.npz"]
    assert_same_run(whole / "run", tmp_path / "run")


def test_a_full_disk_is_told_and_costs_nothing_that_was_saved(whole: Path, tmp_path: Path, bpnet: Run) -> None:
    """No file may grow beyond a size that a checkpoint exceeds: the system then refuses as for a full disk."""
    run = tmp_path / "run"
    one_epoch = ("train", "-e", whole / "spec.yaml", "-r", run, "--set", "training.epochs=1")
    assert bpnet(*one_epoch).exit_code == 0
    saved = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    limit = next(path.stat().st_size for path in saved) // 2
    result = subprocess.run(
        [sys.executable, "-m", "bpnet_cli", "train", "-e", str(whole / "spec.yaml"), "-r", str(run)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 1, result.stderr
    assert "can't be written: File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in (run / "checkpoints").iterdir()} == saved
    result_again = bpnet("train", "-e", whole / "spec.yaml", "-r", run)
    assert result_again.exit_code == 0, result_again.output


def test_a_skeleton_file_is_compared_by_what_it_holds(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    skeleton = tmp_path / "body.yaml"
    text = yaml.safe_dump({**BODY_18.to_dict(), "name": "body"}, default_flow_style=None)
    skeleton.write_text(text)
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 4}")
    words = ("train", "-e", spec, "-r", tmp_path / "run", "--set", f"skeleton={skeleton}")
    result = bpnet(*words)
    assert result.exit_code == 0, result.output
    skeleton.write_text(text.replace("left_knee, left_ankle", "left_ankle, left_knee"))
    result = bpnet(*words, "--set", "training.epochs=2")
    assert result.exit_code == 1
    assert "holds a run that this spec can't go on with (skeleton." in result.output
    # Elsewhere, and gone: the run's own spec holds the skeleton.
    moved = tmp_path / "moved.yaml"
    moved.write_text(text)
    skeleton.unlink()
    for again in (("--set", f"skeleton={moved}"), ()):
        source = tmp_path / "run" / "spec.yaml" if not again else spec
        result = bpnet("train", "-e", source, "-r", tmp_path / "run", "--set", "training.epochs=2", *again)
        assert result.exit_code == 0, result.output


def test_a_checkpoint_beyond_an_epoch_that_has_got_shorter(
    drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer photos an epoch has fewer steps than the checkpoint has done of it."""
    spec = write_spec(tmp_path, drawn, "{epochs: 2, batch_size: 2}")
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 3)
        assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 1
    labels = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    kept = {image["id"] for image in labels["images"][:4]}
    labels["images"] = labels["images"][:4]
    labels["annotations"] = [entry for entry in labels["annotations"] if entry["image_id"] in kept]
    fewer = tmp_path / "fewer.json"
    fewer.write_text(json.dumps(labels))
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", f"dataset.train.annotations={fewer}")
    assert result.exit_code == 1
    assert "has done 3 steps of its epoch, but an epoch now has 2: are there fewer photos?" in result.output


def test_a_lack_of_memory_is_a_message_and_a_failure_in_the_status(
    drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError("no room for 3 GiB")

    monkeypatch.setattr(training_callbacks.SaveWithin, "on_train_batch_begin", out_of_memory)
    result = bpnet("train", "-e", write_spec(tmp_path, drawn, TRAINING), "-r", tmp_path / "run")
    assert result.exit_code == 1
    assert "Error: there is not enough memory (no room for 3 GiB); use smaller inputs or batches" in result.output
    last = json.loads((tmp_path / "run" / "status.jsonl").read_text().splitlines()[-1])
    assert (last["status"], last["message"]) == ("FAILURE", "MemoryError: no room for 3 GiB")


# A process of its own, because operations stay deterministic in a process where another test has asked for that: then
# TensorFlow loads no batch ahead.
GOES_AWAY = """
import sys, threading, time
from bpnet_cli.cli import main
from bpnet_cli.data.pipeline import SampleLoader
from bpnet_cli.errors import DataError
from bpnet_cli.training.callbacks import SaveWithin

load, begin = SampleLoader._load, SaveWithin.on_train_batch_begin
is_gone = threading.Event()

def loaded(loader, positions, *more):
    if is_gone.is_set():
        raise DataError("photos/7.jpg: can't be read: No such file or directory")
    return load(loader, positions, *more)

def begun(callback, batch, logs=None):
    if callback.place.epoch == 1 and batch == 5:
        is_gone.set()
        time.sleep(1)  # so that a worker asks for the next photo
    begin(callback, batch)

SampleLoader._load, SaveWithin.on_train_batch_begin = loaded, begun
main(sys.argv[1:])
"""


def test_a_photo_that_goes_away_costs_no_step(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 2, steps_per_epoch: 60, batch_size: 4}")
    words = ["train", "-e", str(spec), "-r", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", GOES_AWAY, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    text = r"Error: photos/7.jpg: can't be read: .*; mend it, and the same command goes on after epoch 1, step (\d+)"
    found = re.search(text, done.stderr)
    assert found, done.stderr
    step = int(found[1])
    assert step >= 5
    with np.load(tmp_path / "run" / "checkpoints" / f"epoch-00001-step-{step:07d}.npz") as archive:
        assert archive["optimizer/0000/iteration"] == 60 + step
        assert archive["metrics/heatmap_loss_stage1/count"] == step
    assert bpnet(*words).exit_code == 0
    assert checkpoint(tmp_path / "run")["optimizer/0000/iteration"] == 120


def test_a_run_killed_before_its_first_step_can_be_repeated(
    drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the spec has been written: the folder is the run's own all the same."""
    spec = write_spec(tmp_path, drawn, TRAINING)

    def killed(*_: object, **__: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr("bpnet_cli.training.train._tell_start", killed)
        assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 9
    assert (tmp_path / "run" / "spec.yaml").exists()
    assert bpnet("train", "-e", spec, "-r", tmp_path / "run").exit_code == 0


@pytest.mark.parametrize("place", ["history.csv", "checkpoint"])
def test_a_run_killed_at_the_end_of_an_epoch_has_all_rows(
    whole: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    kind, name = (History, "add") if place == "history.csv" else (Keeper, "save_epoch")
    original = getattr(kind, name)

    def killed_after(self: object, *values: object) -> None:
        original(self, *values)
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, killed_after)
        assert bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / "run").exit_code == 9
    assert bpnet("train", "-e", whole / "spec.yaml", "-r", tmp_path / "run").exit_code == 0
    assert_same_run(whole / "run", tmp_path / "run")
