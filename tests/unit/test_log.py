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


@pytest.mark.parametrize(
    ("count", "seconds", "told"),
    [
        (12, 2.0, (2, 10, 12)),  # after 3 seconds, 15 more, and at the end
        (4, 10.0, (1, 3, 4)),
        (3, 10.0, (1, 3)),  # the end, once
        (0, 10.0, ()),
        (4, 0.5, ()),  # short work is silent
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_lines_elsewhere(
    count: int,
    seconds: float,
    told: tuple[int, ...],
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    for _ in log.progress(range(count), count if known else None, "photos"):
        now += seconds
    rate = f"({1 / seconds:.1f}/s)"
    lines = [f"photos: {done}{f'/{count}' if known else ''} {rate}" for done in told]
    assert capsys.readouterr().err.splitlines() == lines


def test_counts() -> None:
    assert [log.counted(number, "photo") for number in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert [log.counted(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]
