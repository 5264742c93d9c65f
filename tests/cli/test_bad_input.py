"""Bad data through the real command: one clear message, exit 1, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_spec
from tests.conftest import coco_person, write_coco


def no_folder(data: Path) -> None:
    (data / "images" / "1.png").unlink()
    (data / "images").rmdir()


def empty_file(data: Path) -> None:
    (data / "annotations" / "person_keypoints.json").write_text("")


def absent_photo(data: Path) -> None:
    (data / "images" / "1.png").unlink()


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        path = data / "annotations" / "person_keypoints.json"
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))

    return spoil


CASES = [
    (no_folder, "images: no such folder of photos"),
    (empty_file, "person_keypoints.json: not JSON: the file is empty"),
    (absent_photo, "1.png does not exist"),
    (edit(lambda raw: raw["annotations"][0]["keypoints"].pop()), "annotation 1: keypoints must hold 3 x 17"),
    (edit(lambda raw: raw["images"][0].update(width=77)), "is 120 x 100, but the labels are for 77 x 100"),
    (edit(lambda raw: raw["annotations"].clear()), "no annotation of category 'person'"),
    (edit(lambda raw: raw["images"].append(raw["images"][0])), "image id 1 occurs more than once"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), CASES)
def test_train_and_evaluate_refuse(
    tmp_path: Path, trained: Path, bpnet: Run, spoil: Callable[[Path], None], message: str
) -> None:
    data = tmp_path / "data"
    path = write_coco(data, [coco_person()])
    (data / "annotations").mkdir()
    path.rename(data / "annotations" / "person_keypoints.json")
    spoil(data)
    spec = write_spec(tmp_path, data, "{epochs: 1, batch_size: 1}")
    words = ("--images", data / "images", "--annotations", data / "annotations" / "person_keypoints.json")
    for result in (
        bpnet("train", "-e", spec, "-r", tmp_path / "run"),
        bpnet("evaluate", "-m", trained / "run" / "model.keras", *words, "-r", tmp_path / "run"),
    ):
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_spec_without_data_says_which_key(tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "s.yaml").write_text("name: x\n")
    result = bpnet("train", "-e", tmp_path / "s.yaml", "-r", tmp_path / "run")
    assert result.exit_code == 1
    assert "dataset.train: needed for training" in result.output


def test_results_folder_that_cannot_be_written(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    (tmp_path / "file").write_text("")
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "file")
    assert result.exit_code == 1
    assert "is a file, not a folder for results" in result.output


def test_damaged_model_files(tmp_path: Path, drawn: Path, bpnet: Run) -> None:
    for name in ("m.keras", "m.onnx"):
        (tmp_path / name).write_bytes(b"damaged")
        result = bpnet("infer", drawn / "images", "-m", tmp_path / name, "-r", tmp_path / "out")
        assert result.exit_code == 1
        assert name in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flag", "least"), [("--batch", 1), ("--height", 32), ("--width", 32)])
def test_a_size_of_zero_is_refused_and_not_taken_for_any(tmp_path: Path, bpnet: Run, flag: str, least: int) -> None:
    result = bpnet("export", "-o", tmp_path / "m.onnx", flag, 0)
    assert result.exit_code == 1
    assert f"{flag} 0: export.{flag[2:]}: must be at least {least} (got 0)" in result.output
    assert not list(tmp_path.iterdir())
