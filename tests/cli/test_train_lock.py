"""Two runs of `bpnet train` in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpnet_cli.lock import held
from tests.cli.conftest import Run, write_spec


@pytest.mark.usefixtures("keras_loaded")
def test_a_second_run_is_refused_and_changes_nothing(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    run = tmp_path / "run"
    words = ("train", "-e", spec, "-r", run)
    with held(run):
        for more in ((), ("--no-resume",)):
            result = bpnet(*words, *more)
            assert result.exit_code == 1
            assert f"{run}: another run works in this folder (process " in result.output
            assert [path.name for path in run.iterdir()] == [".lock"]
    assert bpnet(*words).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with held(run):
        assert bpnet(*words, "--no-resume").exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path != run} == {
        path: time for path, time in before.items() if path != run
    }
    assert not (run / ".lock").exists()
