"""The lock of a results folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpnet_cli.errors import BpnetError
from bpnet_cli.lock import NAME, held

HOLDING = """
import sys, time
from pathlib import Path
from bpnet_cli.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        text = rf"{tmp_path}: another run works in this folder \(process {other.pid} on .*\); wait until it ends"
        with pytest.raises(BpnetError, match=text), held(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert (tmp_path / NAME).exists()
    with held(tmp_path):
        assert (tmp_path / NAME).read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_goes_if_nothing_was_written(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "x").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]


def test_an_error_in_the_block_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    with held(tmp_path), pytest.raises(BpnetError, match="another run works"), held(tmp_path):
        pass


def test_a_disk_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fails)
    with held(tmp_path):
        pass
    assert f"{tmp_path}: this disk has no locks (No locks available)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(BpnetError, match=r"file/run/\.lock: can't be written: Not a directory"),
        held(tmp_path / "file/run"),
    ):
        pass
