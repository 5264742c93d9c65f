"""`bpnet benchmark`: the figures are real and come in the documented forms. Times are not judged here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18, render_targets
from bpnet_cli.benchmark.crowds import draw_crowd
from bpnet_cli.benchmark.decode import benchmark_stored
from bpnet_cli.data.coco import load_photos
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.options import DecodeOptions
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def few_crowds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpnet_cli.benchmark.decode.CROWDS", (1, 12))


def test_decode_measures_rendered_and_stored_maps(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    arrays = {}
    for photo in load_photos(drawn / "images", labels, BODY_18):
        arrays[f"{photo.image_id:012d}"] = np.concatenate(render_targets(photo.keypoints, 128, 128), axis=2)
    np.savez(tmp_path / "maps.npz", **arrays)
    words = ("--annotations", labels, "--maps", tmp_path / "maps.npz", "--size", 256, 256)
    result = bpnet("benchmark", "decode", *words, "--plot", tmp_path / "plot.svg", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    rendered, stored = figures["photos"]
    assert rendered["photos"] == stored["photos"] == 12
    assert rendered["AP"] > 0.9
    assert 0 < stored["AP"] <= rendered["AP"]
    assert [row["found"] for row in figures["crowds"]] == [1, 12]
    assert all(row["decode_ms"] > 0 and row["upsample_ms"] > 0 for row in figures["crowds"])
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")


def test_thresholds_come_from_the_spec(drawn: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    words = ("benchmark", "decode", "--annotations", labels, "--json")
    strict = json.loads(bpnet(*words, "--set", "inference.decode.peak_threshold=1.0").output)
    assert strict["photos"][0]["AP"] == 0


def test_the_table_is_markdown(bpnet: Run) -> None:
    lines = bpnet("benchmark", "decode").output.splitlines()
    assert lines[0].split() == ["|", "people", "|", "found", "|", "decode_ms", "|", "upsample_ms", "|"]
    assert len(lines) == 4


def test_maps_that_do_not_fit_are_named(drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    with pytest.raises(DataError, match="no such file of stored maps"):
        benchmark_stored(tmp_path / "none.npz", labels, BODY_18, DecodeOptions())
    np.savez(tmp_path / "maps.npz", **{"000000000001": np.zeros((4, 4, 5))})
    with pytest.raises(DataError, match=r"000000000001 must have shape \(height, width, 57\), got \(4, 4, 5\)"):
        benchmark_stored(tmp_path / "maps.npz", labels, BODY_18, DecodeOptions())
    np.savez(tmp_path / "maps.npz", **{"000000000001": np.zeros((4, 4, 57), np.float32)})
    with pytest.raises(DataError, match="has no array 000000000002"):
        benchmark_stored(tmp_path / "maps.npz", labels, BODY_18, DecodeOptions())
    assert bpnet("benchmark", "decode", "--maps", "x.npz").exit_code == 2


def test_crowds_keep_their_places() -> None:
    for count in (1, 100):
        keypoints = draw_crowd(count, 736, 1312, BODY_18)
        assert keypoints.shape == (count, 18, 3)
        assert (keypoints[..., :2] >= 0).all()
        assert (keypoints[..., 0] < 1312).all()
        assert (keypoints[..., 1] < 736).all()
    with pytest.raises(BpnetError, match="between 1 and 112 people"):
        draw_crowd(113, 736, 1312, BODY_18)


def test_data_measures_decoding_loading_and_rendering(trained: Path, bpnet: Run) -> None:
    result = bpnet("benchmark", "data", "-e", trained / "spec.yaml", "--seconds", 0, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)["samples"]
    assert [row["work"] for row in rows] == ["decode", "pipeline", "pipeline + targets"]
    assert all(row["slowest"] <= row["images_per_second"] <= row["fastest"] for row in rows)
    assert all(row["lowest_ratio"] <= row["ratio"] <= row["highest_ratio"] for row in rows)
    assert all(row["cpu_ms"] > 0 for row in rows)
    assert rows[0]["ratio"] == 1


def test_data_takes_photos_without_a_spec(drawn: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    words = ("benchmark", "data", "--seconds", 0, "--set", "training.batch_size=2", "--images", drawn / "images")
    assert bpnet(*words).exit_code == 2
    assert "| pipeline + targets |" in bpnet(*words, "--annotations", labels).output
    nothing = bpnet("benchmark", "data")
    assert nothing.exit_code == 1
    assert "dataset.train: needed" in nothing.output
