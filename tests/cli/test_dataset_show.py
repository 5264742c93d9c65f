"""`bpnet dataset show`: the sheet holds what training sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18, render_targets
from bpnet_cli.inspection.sheet import GAP, LEGEND, LINE_HEIGHT, arrange
from bpnet_cli.inspection.tiles import MIN_WIDTH, SEAM, draw_sample
from tests.cli.conftest import Run, write_spec

TILE_HEIGHT = MIN_WIDTH + SEAM + MIN_WIDTH // 2


@pytest.fixture
def spec(tmp_path: Path, drawn: Path) -> Path:
    return write_spec(tmp_path, drawn, "{batch_size: 2}")


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_the_sheet_has_a_tile_for_each_sample(tmp_path: Path, spec: Path, bpnet: Run) -> None:
    output = tmp_path / "new" / "sheet.png"
    result = bpnet("dataset", "show", "-e", spec, "-o", output, "--count", 5, "--columns", 3)
    assert result.exit_code == 0, result.output
    assert f"5 samples: {output}" in result.output
    sheet = read(output)
    heading = GAP + (1 + len(LEGEND)) * LINE_HEIGHT + GAP
    assert sheet.shape == (heading + 2 * (TILE_HEIGHT + 2 * LINE_HEIGHT + 2 * GAP), GAP + 3 * (MIN_WIDTH + GAP), 3)
    rows = heading + np.array([0, TILE_HEIGHT + 2 * LINE_HEIGHT + 2 * GAP])
    columns = GAP + (MIN_WIDTH + GAP) * np.arange(3)
    filled = [(sheet[y : y + MIN_WIDTH, x : x + MIN_WIDTH] < 255).mean() > 0.5 for y in rows for x in columns]
    assert filled == [True] * 5 + [False]


def test_a_skeleton_without_pairs_is_told(tmp_path: Path, spec: Path, bpnet: Run) -> None:
    skeleton = "skeleton={name: head, keypoints: [nose, neck], limbs: [[nose, neck]]}"
    words = ("dataset", "show", "-e", spec, "-o", tmp_path / "sheet.png", "--count", 1, "--set", skeleton)
    assert "skeleton head: no left/right pairs are found" in bpnet(*words).output
    assert "skeleton head" not in bpnet(*words, "--set", "augmentation.flip_probability=0").output
    assert "skeleton head" not in bpnet(*words, "--set", "skeleton.flip_pairs=[]").output


def test_the_legend_speaks_of_sides_only_where_there_are_pairs(
    tmp_path: Path, spec: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    headings: list[str] = []

    def noted(tiles: object, captions: object, columns: object, heading: list[str]) -> np.ndarray:
        headings.append(" ".join(heading))
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("bpnet_cli.inspection.sheet.arrange", noted)
    for words in (
        (),
        ("--set", "skeleton={name: head, keypoints: [nose, neck], limbs: [[nose, neck]], flip_pairs: []}"),
    ):
        assert bpnet("dataset", "show", "-e", spec, "-o", tmp_path / "s.png", "--count", 1, *words).exit_code == 0
    assert "Left is blue" in headings[0]
    assert "Left is blue" not in headings[1]
    assert "no left/right pairs" in headings[1]


def test_the_sheet_follows_the_seed_and_is_the_same_twice(tmp_path: Path, spec: Path, bpnet: Run) -> None:
    sheets = []
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        words = ("--count", 2, "--set", f"training.seed={seed}")
        assert bpnet("dataset", "show", "-e", spec, "-o", tmp_path / f"{name}.png", *words).exit_code == 0
        sheets.append(read(tmp_path / f"{name}.png"))
    assert not np.array_equal(sheets[0], sheets[1])
    assert np.array_equal(sheets[0], sheets[2])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("sheet.jpg", "the name must end in .png"),
        ("spec.yaml/sheet.png", "spec.yaml: is a file, not a folder"),
        ("", "must end in .png"),
    ],
)
def test_a_wrong_output_is_refused(tmp_path: Path, spec: Path, bpnet: Run, output: str, message: str) -> None:
    result = bpnet("dataset", "show", "-e", spec, "-o", tmp_path / output, "--count", 1)
    assert result.exit_code == 1
    assert message in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_without_data_nothing_is_left(tmp_path: Path, spec: Path, bpnet: Run) -> None:
    for change, message in (("dataset.train=null", "dataset.train: needed"), ("model.input_width=68", "multiple of 8")):
        result = bpnet("dataset", "show", "-e", spec, "-o", tmp_path / "new" / "sheet.png", "--set", change)
        assert result.exit_code == 1
        assert message in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_tile_shows_occlusion_ignored_parts_and_targets() -> None:
    keypoints = np.zeros((2, 18, 3), np.float32)  # one person and padding
    keypoints[0, 0], keypoints[0, 1] = (80, 80, 1), (200, 200, 2)
    mask = np.ones((40, 40), np.float32)
    mask[:, 30:] = 0
    maps = render_targets(keypoints, 320, 320)
    grey = np.full((320, 320, 3), 100, np.uint8)
    tile = draw_sample(grey, keypoints, mask, *maps, BODY_18).astype(int)
    assert tile.shape == (TILE_HEIGHT, 320, 3)
    assert (tile[80, 80] > 240).all()  # hollow
    assert not (tile[200, 200] > 240).all()
    assert (tile[:236, :236] == 100).all(axis=2).mean() > 0.9
    ignored = tile[:320, 244:].mean(axis=2)
    assert set(np.unique(ignored)) == {40, 150}  # dimmed, striped
    heatmaps = (
        tile[320 + SEAM :, :158].ptp(axis=2) if hasattr(tile, "ptp") else np.ptp(tile[320 + SEAM :, :158], axis=2)
    )
    assert heatmaps[40, 40] > 50
    assert heatmaps[10, 100] == 0


def test_long_and_foreign_names_fit_below_their_tile() -> None:
    tile = np.zeros((40, 320, 3), np.uint8)
    sheet = arrange([tile], [("häuser/" + "x" * 200 + ".jpg", "sample 0")], 4, ["a heading " * 12])
    assert sheet.shape[1] == 320 + 2 * GAP
    ink = (sheet < 250).any(axis=2)
    assert not ink[:, :GAP].any()
    assert not ink[:, -GAP:].any()
    top = np.flatnonzero((sheet == 0).all(axis=(1, 2)) | (sheet[:, GAP:-GAP] == 0).all(axis=(1, 2)))[0]
    assert top >= GAP + 3 * LINE_HEIGHT  # the heading took several lines
