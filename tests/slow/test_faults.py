"""A kill, a power cut or a full disk at some of the writes of a few commands; `make faults` tries all of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.sweep import COMMANDS, Sweep, compiled, sweep, write_inputs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "in"
    write_inputs(folder)
    return folder


@pytest.mark.parametrize(("name", "every"), [("infer", 40), ("evaluate again", 10), ("train", 60)])
def test_a_fault_at_any_write_leaves_whole_files(inputs: Path, tmp_path: Path, name: str, every: int) -> None:
    library = compiled(tmp_path)
    if library is None:
        pytest.skip("needs Linux and a C compiler named cc")
    found = list(sweep(Sweep(library, inputs, tmp_path), COMMANDS[name], ("kill", "half", "power", "full"), every))
    assert len(found) >= 8
    assert {f"{kind} at {at}": faults for kind, at, faults in found if faults} == {}
