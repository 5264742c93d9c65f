"""Training, measuring and pruning on JAX or PyTorch in a process that has no TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import write_spec

# As if it were not installed: neither found nor importable.
SCRIPT = """
import sys
from importlib.machinery import PathFinder

class Without:
    @staticmethod
    def find_spec(name, *rest):
        return None if name.split(".")[0] == "tensorflow" else PathFinder.find_spec(name, *rest)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from bpnet_cli.cli import main
main(sys.argv[1:])
"""


def run(backend: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_goes_on_within_an_epoch_as_if_nothing_had_happened(backend: str, tmp_path: Path, drawn: Path) -> None:
    pytest.importorskip(backend)
    training = "epochs: 1, steps_per_epoch: 4, batch_size: 4, ema_momentum: 0.9, gradient_accumulation: 2"
    spec = write_spec(tmp_path, drawn, f"{{{training}, checkpoint_minutes: 0}}")
    checkpoints = tmp_path / "run" / "checkpoints"
    ends = []
    for told in ("", "going on after epoch 0, step 3"):
        result = run(backend, "train", "-e", spec, "-r", tmp_path / "run")
        assert result.returncode == 0, result.stderr
        assert told in result.stderr
        assert [path.name for path in sorted(checkpoints.iterdir())][-1] == "epoch-00001.npz"
        with np.load(checkpoints / "epoch-00001.npz") as archive:
            ends.append({name: archive[name] for name in archive.files if name != "state"})
        (checkpoints / "epoch-00001.npz").unlink()
    assert ends[0].keys() == ends[1].keys()
    assert ends[0]["average/updates"] == 2
    for name, values in ends[0].items():
        np.testing.assert_allclose(ends[1][name], values, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_network_is_trained_measured_and_pruned(backend: str, tmp_path: Path, drawn: Path) -> None:
    pytest.importorskip(backend)
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 2, batch_size: 4, validate_every_epochs: 1}")
    model = tmp_path / "run" / "model.keras"
    result = run(backend, "train", "-e", spec, "-r", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    result = run(backend, "evaluate", "-m", model, "-r", tmp_path / "evaluation")
    assert result.returncode == 0, result.stderr
    assert "AP" in json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    words = ("--set", "pruning.min_channels=2", "--set", "pruning.granularity=1", "--target-macs", 0.7)
    (tmp_path / "photos").mkdir()
    for number in range(3):  # refitting needs 32 photos
        for photo in (drawn / "images").iterdir():
            shutil.copy(photo, tmp_path / "photos" / f"{number}_{photo.name}")
    for name, more in (("small.keras", ()), ("refitted.keras", ("--refit-images", tmp_path / "photos"))):
        result = run(backend, "prune", "-m", model, "-o", tmp_path / name, *words, *more)
        assert result.returncode == 0, result.stderr
    for words in (("export", "-m", model, "-o", tmp_path / "x.onnx"), ("dataset_convert", "-e", spec, "-o", tmp_path)):
        result = run(backend, *words)
        assert result.returncode == 1
        assert "needs TensorFlow, which is not installed: pip install" in result.stderr
