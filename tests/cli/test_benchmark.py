"""`bpnet benchmark`: the figures are real and come in the documented forms. Times are not judged here."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18, render_targets
from bpnet_cli.benchmark.crowds import draw_crowd
from bpnet_cli.benchmark.decode import benchmark_stored
from bpnet_cli.benchmark.report import describe_training
from bpnet_cli.data.photos import load_photos
from bpnet_cli.data.pipeline import SampleLoader
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.options import DecodeOptions
from tests.cli.conftest import Run, write_spec

BLOCK = 4  # steps that one reading of the clock covers


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
    figures = json.loads(result.stdout)
    rendered, stored = figures["photos"]
    assert rendered["photos"] == stored["photos"] == 12
    assert rendered["AP"] > 0.9
    assert 0 < stored["AP"] <= rendered["AP"]
    assert [row["found"] for row in figures["crowds"]] == [1, 12]
    assert all(row[key] > 0 for row in figures["crowds"] for key in ("decode_ms", "first_ms", "upsample_ms"))
    assert rendered["ratio"] == pytest.approx(rendered["decode_ms"] / rendered["upsample_ms"], rel=0.5)
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")


def test_thresholds_come_from_the_spec(drawn: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    words = ("benchmark", "decode", "--annotations", labels, "--json")
    strict = json.loads(bpnet(*words, "--set", "inference.decode.peak_threshold=1.0").stdout)
    assert strict["photos"][0]["AP"] == 0


def test_the_table_is_markdown(bpnet: Run) -> None:
    lines = bpnet("benchmark", "decode").stdout.splitlines()
    assert lines[0].split() == ["|", "people", "|", "found", "|", "decode_ms", "|", "first_ms", "|", "upsample_ms", "|"]
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
    with pytest.raises(BpnetError, match="must be 1 to 112 people"):
        draw_crowd(113, 736, 1312, BODY_18)


def test_data_measures_decoding_loading_and_rendering(trained: Path, bpnet: Run) -> None:
    result = bpnet("benchmark", "data", "-e", trained / "spec.yaml", "--seconds", 0, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["samples"]
    assert [row["work"] for row in rows] == ["decode", "pipeline", "pipeline + targets"]
    assert all(row["slowest"] <= row["images_per_second"] <= row["fastest"] for row in rows)
    assert all(row["lowest_ratio"] <= row["ratio"] <= row["highest_ratio"] for row in rows)
    assert all(row["cpu_ms"] > 0 for row in rows)
    assert rows[0]["ratio"] == 1


def test_data_tells_the_cores_that_an_accelerator_needs(trained: Path, bpnet: Run) -> None:
    words = ("benchmark", "data", "-e", trained / "spec.yaml", "--seconds", 0, "--rate", 5000)
    figures = json.loads(bpnet(*words, "--json").stdout)
    pipeline = next(row for row in figures["samples"] if row["work"] == "pipeline")
    a_core = figures["feed"]["images_per_second_and_core"]
    assert a_core == pytest.approx(1e3 / pipeline["cpu_ms"], rel=0.01)
    assert figures["feed"]["cores_needed"] - 1 < 5000 / a_core * 1.01
    assert figures["feed"]["cores_needed"] >= 5000 / a_core * 0.99
    assert "an accelerator that trains on 5000 images/s needs" in bpnet(*words).output


def test_data_takes_photos_without_a_spec(drawn: Path, bpnet: Run) -> None:
    labels = drawn / "annotations" / "person_keypoints.json"
    words = ("benchmark", "data", "--seconds", 0, "--set", "training.batch_size=2", "--images", drawn / "images")
    assert bpnet(*words).exit_code == 2
    assert "| pipeline + targets |" in bpnet(*words, "--annotations", labels).output
    nothing = bpnet("benchmark", "data")
    assert nothing.exit_code == 1
    assert "dataset.train: needed" in nothing.output


def test_train_compares_itself_with_the_bare_step(
    tmp_path: Path, drawn: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With photos that take their time, the input is found to be the bottleneck, in the run as much as alone."""
    load = SampleLoader.load_batch

    def slowly(loader: SampleLoader, batch_size: int, start: int, step: int) -> tuple[np.ndarray, ...]:
        time.sleep(0.05 * batch_size)
        return load(loader, batch_size, start, step)

    monkeypatch.setattr(SampleLoader, "load_batch", slowly)
    before = set(Path(tempfile.gettempdir()).iterdir())
    spec = write_spec(tmp_path, drawn, "{batch_size: 4, workers: 1}")
    result = bpnet("benchmark", "train", "-e", spec, "--steps", 1, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["steps"] == BLOCK
    times = figures["ms_per_step"]
    assert set(times) == {"bare step", "bpnet train", "input alone"}
    assert figures["overhead"] == pytest.approx(times["bpnet train"] / times["bare step"], rel=0.01)
    # Four photos of 50 ms each; batches that were loaded before a block began come at once.
    assert times["input alone"] > 200 * (BLOCK - 3) / BLOCK
    assert times["bpnet train"] > 200 * (BLOCK - 3) / BLOCK
    assert figures["bottleneck"] == "input"
    cpu = figures["cpu_ms_per_step"]
    assert figures["cpu_overhead"] == pytest.approx(cpu["bpnet train"] / cpu["bare step"], rel=0.01)
    assert 0 < cpu["input alone"] < times["input alone"]  # it slept
    assert figures["images_per_second"]["bare step"] == pytest.approx(4000 / times["bare step"], rel=0.01)
    text = describe_training(figures)
    assert "tiny, 2 stages, 64 x 64, batch 4, float32; 4 steps of each kind" in text
    assert f"| input alone | {times['input alone']} " in text
    assert "bottleneck: input" in text
    assert not [path for path in set(Path(tempfile.gettempdir()).iterdir()) - before if (path / "spec.yaml").exists()]


def test_train_needs_data(tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "spec.yaml").write_text("model: {backbone: tiny}\n")
    result = bpnet("benchmark", "train", "-e", tmp_path / "spec.yaml")
    assert result.exit_code == 1
    assert "dataset.train: needed for training" in result.output
