"""`training.distribution: devices` with TensorFlow, in a process of its own whose CPU counts as two devices."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.cli.conftest import write_spec

# Run one device's training, then two devices' by the same spec, then go on with the first on two.
SCRIPT = """
import sys
from bpnet_cli.engine import load_keras
load_keras()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bpnet_cli.cli import main
def train(run, *changes):
    words = [word for change in changes for word in ("--set", change)]
    main(["train", "-e", sys.argv[1], "-r", run, *words], standalone_mode=False)
train("one")
train("two", "training.distribution=devices")
train("one", "training.distribution=devices", "training.epochs=3")
try:
    train("three", "training.distribution=devices", "training.batch_size=3")
except Exception as error:
    print(error)
"""


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((run / "history.csv").read_text().splitlines())]


def test_two_devices_learn_what_one_does(tmp_path: Path, drawn: Path) -> None:
    training = "{epochs: 2, steps_per_epoch: 3, batch_size: 4, ema_momentum: 0.9, log_images: 1, seed: 5}"
    spec = write_spec(tmp_path, drawn, training)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(spec)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "each batch is shared by 2 devices on 1 host" in done.stderr
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    # Adding up in another order is the only difference, which training magnifies.
    np.testing.assert_allclose(one[:2], two, rtol=1e-3)
    assert two[1] < two[0]
    assert len(one) == 3
    assert one[2] < one[1]
    assert "batch_size: 3 samples can't be shared evenly by 2 devices on 1 host: use 2 or 4" in done.stdout
    assert not (tmp_path / "three").exists()


def environment() -> dict[str, str]:
    repository = str(Path(__file__).parents[2])
    return os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": repository}
