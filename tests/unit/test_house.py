"""The layout holds: imports point down, the public names load, importing stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bpnet_cli

PACKAGE = Path(bpnet_cli.__file__).parent
# A module may import from the layers before its own; modules of one layer don't see each other.
LAYERS = (
    {"__init__"},
    {"errors"},
    {"storage"},
    {"log"},
    {"files", "lock", "engine", "timing", "strides", "box", "signals", "sides", "sharing", "untrusted"},
    {"pose", "spec"},
    {"data", "models"},
    {"build"},
    {"plan"},
    {"inference"},
    {"evaluation"},
    {"training", "pruning", "export", "importing", "labelling"},
    {"benchmark", "inspection", "scale"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports_of(path: Path) -> set[str]:
    """First components, inside the package, of everything a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bpnet_cli":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names} & LEVEL.keys() or {"__init__"}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the public interface names everything, lazily
    for other in imports_of(path) - {own}:
        assert LEVEL[other] < LEVEL[own], f"{path.name} ({own}) imports {other}"


def test_specs_stop_at_the_workflow_of_training() -> None:
    """What lies below `train` takes plain arguments."""
    seeing = {path.name for path in (PACKAGE / "training").glob("*.py") if imports_of(path) & {"spec", "build"}}
    assert seeing == {"train.py"}


def test_files_stay_short() -> None:
    long = {str(p): n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def loaded_after(code: str) -> set[str]:
    code += "; import sys; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_a_run_of_photos_does_not_load_the_libraries_of_video() -> None:
    assert "av" not in loaded_after("import bpnet_cli.inference.workflow, bpnet_cli.inference.photo_run")


def test_local_files_need_no_package_for_urls(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import cv2, numpy
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.outputs import announced
from bpnet_cli.inference.sources import find_inputs
import bpnet_cli.inference.workflow, bpnet_cli.evaluation.workflow, bpnet_cli.data.convert
folder = Path({str(tmp_path)!r})
check_folder(folder)
cv2.imwrite(str(folder / "a.jpg"), numpy.zeros((8, 8, 3), numpy.uint8))
write_text(folder / "a.txt", "text")
(photo,) = find_inputs([str(folder)]).photos
read_photo(photo.path)
with announced([folder / "b.txt"], folder, keep=lambda: False):
    pass
del folder"""
    assert not loaded_after(code) & {"fsspec", "s3fs", "upath"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_after("import bpnet_cli")
    assert not loaded & {"numpy", "cv2", "keras", "tensorflow", "pydantic", "click", "yaml"}


def test_help_needs_only_click() -> None:
    loaded = loaded_after("import bpnet_cli.cli")
    assert "click" in loaded
    assert not loaded & {"numpy", "cv2", "keras", "tensorflow", "pydantic", "yaml", "onnxruntime"}


def test_public_names_load_without_keras() -> None:
    names = ", ".join(bpnet_cli.__all__)
    assert not loaded_after(f"from bpnet_cli import {names}") & {"keras", "tensorflow", "onnxruntime", "jax", "torch"}


def test_public_names_exist() -> None:
    assert all(getattr(bpnet_cli, name) is not None for name in bpnet_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bpnet_cli.nothing
