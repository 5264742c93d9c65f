"""A few changed files for each reader. `make fuzz` tries them for as long as you like."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.seeds import write_all
from tests.fuzz.targets import TARGETS

# These take longest for each file.
FEW = {"network": 12, "import": 8}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tf2onnx")
    return write_all(tmp_path_factory.mktemp("seeds") / "all")


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_file_is_read_or_refused(seeds: Path, name: str) -> None:
    target = TARGETS[name]
    read = []

    @settings(max_examples=FEW.get(name, 60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(target.changed(seeds))
    def try_one(files: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix="bpnet-fuzz-") as folder:
            read.append(target.run(seeds, Path(folder), files))

    try_one()
    assert len(read) > 5
