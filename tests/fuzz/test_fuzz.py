"""A few changed files for each reader. `make fuzz` tries them for as long as you like."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.seeds import write_all
from tests.fuzz.targets import REPOSITORY, TARGETS

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


def sound(name: str, seeds: Path) -> dict[str, bytes]:
    """The unchanged file of a target that has no folder of files."""
    if name == "decoder":
        return {
            "heatmaps": json.dumps(np.zeros((3, 4, 19)).tolist()).encode(),
            "pafs": json.dumps(np.zeros((3, 4, 38)).tolist()).encode(),
        }
    paths = {
        "spec": REPOSITORY / "specs" / "quickstart.yaml",
        "tao": REPOSITORY / "tests" / "unit" / "tao" / "bpnet_train_m1_coco.yaml",
        "skeleton": REPOSITORY / "specs" / "skeletons" / "hand_21.yaml",
        "photo": seeds / "photos" / "p.png",
        "video": seeds / "videos" / "a.mp4",
        "metadata": seeds / "models" / "m.onnx",
        "network": seeds / "models" / "m.onnx",
        "import": seeds / "models" / "theirs.onnx",
        "checkpoint": seeds / "checkpoints" / "epoch-00001-step-0000002.npz",
    }
    path = paths[name]
    return {"spec.yaml" if path.suffix == ".yaml" else path.name: path.read_bytes()}


@pytest.mark.parametrize("name", TARGETS)
def test_the_unchanged_file_is_read(seeds: Path, tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    assert target.run(seeds, tmp_path, {} if target.base else sound(name, seeds))
