"""Progress, on a terminal and elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bpnet_cli import log

SCRIPT = "from bpnet_cli.log import progress; [None for _ in progress(range(9), 9, 'photos')]"


def test_a_terminal_that_does_not_know_its_size_shows_a_bar() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    assert tuple(os.get_terminal_size(theirs)) == (0, 0)
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=theirs, check=True)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    os.close(theirs)
    assert "photos: " in shown
    assert "/9" in shown


def test_elsewhere_the_first_line_comes_soon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr(log.time, "monotonic", lambda: float(next(now)))
    assert list(log.progress(range(12), 12, "photos")) == list(range(12))
    assert capsys.readouterr().err.splitlines() == ["photos: 2/12 (0.5/s)", "photos: 10/12 (0.5/s)"]


def test_counts() -> None:
    assert [log.counted(number, "photo") for number in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert [log.counted(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]
