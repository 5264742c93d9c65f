"""`bpnet dataset import`, and `dataset check` on what it wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bpnet_cli.labelling.formats import FORMATS
from tests.cli.conftest import Run
from tests.unit.other_tools import TOOLS


@pytest.mark.parametrize("tool", TOOLS)
def test_check_reads_what_import_wrote(tool: str, tmp_path: Path, bpnet: Run) -> None:
    path = TOOLS[tool][0](tmp_path / "in")
    result = bpnet("dataset", "import", path, "-o", tmp_path / "out", "--format", tool)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    annotations = tmp_path / "out" / "annotations" / "person_keypoints.json"
    assert lines[0] == f"{tool}: 3 photos, 3 people with keypoints: {annotations}"
    assert "person: nose, left_ear, right_ear" in lines
    (step,) = [line for line in lines if line.startswith("next: bpnet ")]
    check = bpnet(*step.removeprefix("next: bpnet ").split())
    assert check.exit_code == 0, check.output
    rows = [" ".join(line.split()) for line in check.stdout.splitlines()]
    assert "photos 3 3 0 0" in rows
    assert "people with keypoints 3 3 0 0" in rows
    assert any(row.startswith("nose 3") for row in rows)
    assert any(row.startswith("left_ear 2") for row in rows)


def test_photos_that_are_left_out_are_listed(tmp_path: Path, bpnet: Run) -> None:
    path = TOOLS["yolo-pose"][0](tmp_path / "in")
    (tmp_path / "in" / "images" / "train" / "b.png").unlink()
    result = bpnet("dataset", "import", path, "-o", tmp_path / "out")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert "photos left out: 1" in lines
    assert f"  images/train/b: not found in {tmp_path / 'in'}" in lines


def test_a_file_that_can_not_be_read_is_one_message(tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("dataset", "import", tmp_path / "no.xml", "-o", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path / 'no.xml'}: there is no such file or folder\n")
    assert not (tmp_path / "out").exists()


def test_sleap_asks_for_its_package(tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    (tmp_path / "a.slp").write_bytes(b"")
    result = bpnet("dataset", "import", tmp_path / "a.slp", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'a.slp'}: to read SLEAP's files: pip install 'bpnet-cli[sleap]'\n"


def test_the_flag_names_all_formats(bpnet: Run) -> None:
    output = bpnet("dataset", "import", "--help").output
    assert "[auto|" in output
    assert all(name in output.replace("\n", "") for name in FORMATS)
    wrong = bpnet("dataset", "import", "x", "-o", "y", "--format", "voc")
    assert wrong.exit_code == 2
    assert all(f"'{name}'" in wrong.output for name in FORMATS)
