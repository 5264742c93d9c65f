"""Progress where the output is no terminal."""

from __future__ import annotations

import pytest

from bpnet_cli import log


@pytest.mark.parametrize(("total", "shown"), [(5, "/5"), (None, "")])
def test_the_last_line_tells_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int | None, shown: str
) -> None:
    now = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    for _ in log.progress(range(5), total, "measuring"):
        now += 10.0
    counts = [line.partition(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert counts == [f"measuring: {done}{shown}" for done in (2, 4, 5)]


@pytest.mark.parametrize("count", [0, 4])
def test_no_line_comes_twice_and_short_work_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], count: int
) -> None:
    now = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    for _ in log.progress(range(count), count, "measuring"):
        now += 10.0
    assert len(capsys.readouterr().err.splitlines()) == count / 2
    assert list(log.progress(range(count), count, "measuring")) == list(range(count))
    assert capsys.readouterr().err == ""
