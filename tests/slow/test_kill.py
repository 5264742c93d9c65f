"""A run that is killed at any moment, again and again, ends with the very weights of one that nobody disturbed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import write_spec
from tests.cli.test_resume import assert_same_run

pytestmark = pytest.mark.slow
KILLS = 5


def start(spec: Path, run: Path) -> subprocess.Popen[bytes]:
    """`bpnet train` in a process of its own, with a checkpoint before every step."""
    words = ["train", "-e", str(spec), "-r", str(run), "--set", "training.checkpoint_minutes=0"]
    return subprocess.Popen([sys.executable, "-m", "bpnet_cli", *words], stderr=subprocess.DEVNULL)


def test_killed_at_random_moments(tmp_path: Path, drawn: Path) -> None:
    training = "{epochs: 2, steps_per_epoch: 60, batch_size: 4, deterministic: true, ema_momentum: 0.9, seed: 7}"
    spec = write_spec(tmp_path, drawn, training)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(spec, whole).wait() == 0
    seed = int(time.time())
    print(f"seed of the moments: {seed}")
    moments = random.Random(seed)
    kills = 0
    while (process := start(spec, killed)).poll() is None:
        while process.poll() is None and not list(killed.glob("checkpoints/*")):
            time.sleep(0.05)
        if kills < KILLS:
            before = set(killed.glob("checkpoints/*.npz"))
            while process.poll() is None and set(killed.glob("checkpoints/*.npz")) <= before:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.5))
            assert process.poll() is None, "finished before it could be killed: train longer"
            process.kill()
            kills += 1
        if process.wait() == 0:
            break
    assert kills == KILLS
    assert_same_run(whole, killed)
    assert not [path for path in killed.rglob("*") if path.name.startswith(".")]
