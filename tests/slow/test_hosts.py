"""Two processes as two hosts, through the real command with JAX on CPUs: they learn what one learns, and resume."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import write_spec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed"),
]
REPOSITORY = Path(__file__).parents[2]
EPOCHS = 20
CUT = 10


def start(run: Path, backend: str, changes: tuple[str, ...], **environment: str) -> subprocess.Popen:
    words = [word for change in changes for word in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", "bpnet_cli", "train", "-e", str(run.parent / "spec.yaml"), "-r", str(run), *words],
        env=os.environ
        | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(REPOSITORY)}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes: subprocess.Popen) -> list[str]:
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def start_hosts(*hosts: tuple[Path, str]) -> list[subprocess.Popen]:
    """One process for each host's folder and change of the spec; normally they are the same."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    place = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(hosts))}
    return [
        start(run, "jax", ("training.distribution=hosts", change), **place, KERAS_DISTRIBUTION_PROCESS_ID=str(rank))
        for rank, (run, change) in enumerate(hosts)
    ]


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((run / "history.csv").read_text().splitlines())]


def arrays(run: Path, epoch: int) -> dict[str, np.ndarray]:
    with np.load(run / "checkpoints" / f"epoch-{epoch:05d}.npz") as archive:
        return {name: archive[name] for name in archive.files}


def copy_of_cut_run(cut: Path, name: str) -> Path:
    """To go on with once more."""
    return Path(shutil.copytree(cut, cut.parent / name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    """One step per epoch, so that every step's loss is in history.csv: `whole` on one host, `cut` on two.

    At a rate at which differences in rounding stay small: a larger one, or Adam, magnifies them within 20 steps.
    """
    directory = tmp_path_factory.mktemp("hosts")
    training = (
        f"{{epochs: {EPOCHS}, steps_per_epoch: 1, batch_size: 4, validate_every_epochs: {EPOCHS}, seed: 5,"
        f" keep_checkpoints: {EPOCHS}}}"
    )
    spec = write_spec(directory, drawn, training)
    spec.write_text(spec.read_text().replace("{name: adamw, learning_rate: 1.0e-3}", "{learning_rate: 5.0e-5}"))
    finish(start(directory / "whole", "jax", ()))
    first, second = finish(*start_hosts(*[(directory / "cut", f"training.epochs={CUT}")] * 2))
    assert "each batch is shared by 2 devices on 2 hosts" in first
    assert "epoch 1/" in first
    assert "epoch 1/" not in second  # only one host reports
    return directory


def test_two_hosts_with_half_a_batch_each_follow_one_with_the_whole(runs: Path) -> None:
    """The tiny network's batch norm included, whose statistics are those of the whole batch."""
    resumed = copy_of_cut_run(runs / "cut", "resumed_on_two")
    first, second = finish(*start_hosts(*[(resumed, f"training.epochs={EPOCHS}")] * 2))
    assert f"going on after epoch {CUT}" in first
    assert f"going on after epoch {CUT}" in second
    expected = losses(runs / "whole")
    assert len(expected) == EPOCHS
    assert np.mean(expected[-6:]) < 0.9 * np.mean(expected[:6])  # two passes each
    np.testing.assert_allclose(losses(resumed), expected, rtol=1e-4)
    one, two = arrays(runs / "whole", EPOCHS), arrays(resumed, EPOCHS)
    assert one.keys() == two.keys()


@pytest.mark.parametrize(
    ("backend", "changes", "environment", "tolerance"),
    [
        ("jax", (), {}, 1e-4),
        # One sample a device adds up in another order; a unit that is just on or off magnifies it.
        ("jax", ("training.distribution=devices",), {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, 1e-3),
        ("tensorflow", (), {}, 1e-3),
    ],
    ids=["one device", "four devices", "tensorflow"],
)
def test_a_run_of_two_hosts_goes_on_elsewhere(
    runs: Path, backend: str, changes: tuple[str, ...], environment: dict[str, str], tolerance: float
) -> None:
    resumed = copy_of_cut_run(runs / "cut", f"resumed_{backend}_{len(environment)}")
    (output,) = finish(start(resumed, backend, changes, **environment))
    assert f"going on after epoch {CUT}" in output
    if environment:
        assert "each batch is shared by 4 devices on 1 host" in output
    np.testing.assert_allclose(losses(resumed), losses(runs / "whole"), rtol=tolerance)
    counts = {array.item() for name, array in arrays(resumed, EPOCHS).items() if name.endswith("iteration")}
    assert counts == {EPOCHS}


def test_what_two_hosts_wrote_is_read_unchanged(runs: Path, keras_loaded: None) -> None:
    from bpnet_cli.build import network_of, skeleton_of
    from bpnet_cli.plan import LossWeights, TargetShape, optimizer_plan
    from bpnet_cli.spec.loader import load_spec
    from bpnet_cli.training.checkpoint import State, restore_newest
    from bpnet_cli.training.loss import TrainingModel
    from bpnet_cli.training.optimizer import make_optimizer
    from bpnet_cli.training.schedule import make_schedule

    spec = load_spec(runs / "spec.yaml")
    network = network_of(spec, skeleton_of(spec))
    model = TrainingModel(network, skeleton_of(spec), TargetShape(), LossWeights())
    plan = optimizer_plan(spec.optimizer)
    model.compile(optimizer=make_optimizer(plan, make_schedule(plan, EPOCHS)))
    model.optimizer.build(network.trainable_variables)
    progress = restore_newest(runs / "cut" / "checkpoints", State(network, model.optimizer, model.metrics))
    assert progress is not None
    assert progress.epoch == CUT
    written = arrays(runs / "cut", CUT)
    for variable in network.variables:
        np.testing.assert_array_equal(np.asarray(variable), written[f"network/{variable.path}"])


def test_a_host_that_cannot_start_stops_the_other(runs: Path) -> None:
    (runs / "blocked").write_text("a file where the folder should be")
    processes = start_hosts((runs / "blocked", "name=a"), (runs / "other", "name=a"))
    first, second = (process.communicate(timeout=600)[0] for process in processes)
    assert processes[0].returncode == 1, first
    assert "is a file, not a folder for results" in first
    # Whichever comes first: the message that an exchange failed, or JAX, which aborts the process.
    assert processes[1].returncode != 0
    assert "can't go on" in second or "coordination service" in second.lower()
    assert not (runs / "other").exists()


def test_hosts_with_different_specs_are_refused(runs: Path) -> None:
    processes = start_hosts((runs / "differs", "training.seed=1"), (runs / "differs", "training.seed=2"))
    for process in processes:
        output = process.communicate(timeout=600)[0]
        assert process.returncode == 1, output
        assert "hosts differ in spec or samples" in output
    assert not (runs / "differs").exists()
