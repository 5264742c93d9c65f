"""`bpnet benchmark infer`: every model, size and batch is measured in turn, and what can't be is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from bpnet_cli import load_predictor
from bpnet_cli.benchmark.infer import benchmark_infer, find_people, summarise
from bpnet_cli.benchmark.report import describe_inference, model_names
from bpnet_cli.data.synthetic import generate
from bpnet_cli.inference.backends import Backend, load_backend
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.predictor import InputSize
from tests.cli.conftest import Run

pytest.importorskip("tf2onnx")
LOAD = "bpnet_cli.benchmark.contenders.load_backend"
PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


@pytest.fixture(autouse=True)
def opencv_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def fixed(trained: Path, bpnet: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's layout, 64 x 80 pixels and batches of 2 only."""
    path = tmp_path_factory.mktemp("fixed") / "fixed.onnx"
    words = ("--height", 64, "--width", 80, "--batch", 2, "--tao-layout")
    result = bpnet("export", "-m", trained / "run" / "model.keras", "-o", path, *words)
    assert result.exit_code == 0, result.output
    return path


def cases(rows: list[dict]) -> list[tuple]:
    return [(Path(row["model"]).name, row["height"], row["width"], row["batch"]) for row in rows]


def test_every_model_in_every_size_and_batch(exported: Path, trained: Path, drawn: Path, bpnet: Run) -> None:
    words = ("-m", trained / "run" / "model.keras", "-m", exported, "--size", "64x64", "--size", "64x96")
    words += ("--batch", 1, "--batch", 3, "--repeats", 5, "--images", drawn / "images")
    result = bpnet("benchmark", "infer", *words, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["photos"], figures["threads"], figures["skipped"]) == (12, None, [])
    wanted = [
        (name, 64, width, batch) for width in (64, 96) for batch in (1, 3) for name in ("model.keras", "model.onnx")
    ]
    for kind in ("network", "end_to_end"):
        rows = figures[kind]
        assert cases(rows) == wanted
        assert all(row["runs"] == 6 for row in rows)  # three turns of two
        assert all(0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] for row in rows)
        assert all(row["images_per_second"] > 0 for row in rows)
        assert [row["ratio"] for row in rows[::2]] == [1.0] * 4
        for first, second in zip(rows[::2], rows[1::2], strict=True):
            assert second["ratio"] == pytest.approx(second["p50_ms"] / first["p50_ms"], abs=0.01, rel=0.01)
    table = describe_inference(figures)
    assert table.count("| model.onnx ") == 8
    assert "photo file to people, 12 photos: ms per photo (percentiles of 6 runs)" in table
    assert max(len(line) for line in table.splitlines()) <= 100


def test_networks_alone_without_photos(exported: Path, bpnet: Run) -> None:
    result = bpnet("benchmark", "infer", "-m", exported, "--repeats", 1)
    assert result.exit_code == 0, result.output
    assert "measuring only the networks; for end-to-end times (photo file to people) give --images DIR" in result.stderr
    title, _, head, _, row = result.stdout.splitlines()
    assert title == "network alone: ms per photo (percentiles of 2 runs)"
    assert head.split()[1::2] == ["model", "engine", "size", "batch", "p50", "p90", "p99", "images/s", "ratio"]
    assert row.split()[1:8:2] == [
        "model.onnx",
        "onnxruntime",
        "64x64",
        "1",
    ]  # the size that the spec in the file infers with


def test_a_fixed_size_is_measured_alone_and_the_others_told(exported: Path, fixed: Path, bpnet: Run) -> None:
    words = ("benchmark", "infer", "--repeats", 1, "--json", "-m", exported, "-m", fixed)
    result = bpnet(*words, "--size", "64x64", "--size", "96x96")
    assert result.exit_code == 0, result.output
    line = f"{fixed}: takes only 64x80; 64x64, 96x96 skipped"
    figures = json.loads(result.stdout)
    assert line in result.stderr
    assert f"{fixed}: takes only batches of 2; other batches are split or padded to it" in result.stderr
    assert figures["skipped"] == [line]
    rows = [("model.onnx", 64, 64, 1), ("model.onnx", 96, 96, 1), ("fixed.onnx", 64, 80, 1)]
    assert cases(figures["network"]) == rows
    assert [row["ratio"] for row in figures["network"]] == [1.0, 1.0, None]
    assert describe_inference(figures).splitlines()[-1].endswith("| -     |")
    both = json.loads(bpnet(*words, "--size", "64x80").stdout)
    assert both["skipped"] == []
    assert cases(both["network"]) == [("model.onnx", 64, 80, 1), ("fixed.onnx", 64, 80, 1)]
    alone = json.loads(bpnet("benchmark", "infer", "--repeats", 1, "--json", "-m", fixed).stdout)
    assert cases(alone["network"]) == [("fixed.onnx", 64, 80, 1)]


def test_openvino(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    pytest.importorskip("openvino")
    from tests.unit.test_openvino import write_network

    path, *_ = write_network(tmp_path / "network.xml")
    words = ("--size", "48x80", "--batch", 2, "--threads", 1, "--repeats", 1, "--images", drawn / "images")
    result = bpnet("benchmark", "infer", "-m", path, "-m", exported, *words, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    rows = [("network.xml", 48, 80, 2), ("model.onnx", 48, 80, 2)]
    assert cases(figures["network"]) == cases(figures["end_to_end"]) == rows


def test_onnx_models_in_each_engine(exported: Path, trained: Path, fixed: Path, tmp_path: Path, bpnet: Run) -> None:
    pytest.importorskip("openvino")
    from tests.unit.test_openvino import write_network

    path, *_ = write_network(tmp_path / "network.xml")
    words = ("-m", exported, "-m", trained / "run" / "model.keras", "-m", path, "-m", fixed, "--repeats", 1)
    words += ("--engine", "openvino", "--engine", "onnxruntime", "--engine", "openvino", "--size", "64x64", "--json")
    result = bpnet("benchmark", "infer", *words)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    rows = [(Path(row["model"]).name, row["engine"]) for row in figures["network"]]
    both = ("openvino", "onnxruntime")
    ours, others = [("model.onnx", name) for name in both], [("model.keras", "keras"), ("network.xml", "openvino")]
    assert rows == [*ours, *others, *(("fixed.onnx", name) for name in both)]
    assert len(figures["skipped"]) == 1
    assert result.stderr.count("takes only batches of 2") == 1
    lines = describe_inference(figures).splitlines()
    assert [tuple(line.split()[1:4:2]) for line in lines[4:]] == rows
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", [(), ("-m", "box")])
def test_the_model_in_the_box(bpnet: Run, words: tuple[str, ...]) -> None:
    result = bpnet("benchmark", "infer", *words, "--size", "64x64", "--repeats", 1, "--json")
    assert result.exit_code == 0, result.output
    assert cases(json.loads(result.stdout)["network"]) == [("box.onnx", 64, 64, 1)]


@dataclass
class Slow:
    """A backend whose runs take a set time by the clock of the test."""

    backend: Backend
    name: str
    seconds: list[float]
    world: SimpleNamespace

    @property
    def metadata(self) -> object:
        return self.backend.metadata

    def maps(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.world.calls.append(self.name)
        self.world.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return self.backend.maps(images)


def test_models_take_turns_and_times_are_what_the_clock_says(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SimpleNamespace(now=0.0, calls=[])
    backend = load_backend(exported)
    # The runs before the first turn build and warm: they must not be counted.
    times = {"quick": [9.0, 9.0, 9.0, 0.004], "slow": [9.0, 9.0, 9.0, 0.012]}
    files = [str(shutil.copy(exported, tmp_path / f"{name}.onnx")) for name in times]
    monkeypatch.setattr(LOAD, lambda path, *_: Slow(backend, Path(path).stem, times[Path(path).stem], world))
    monkeypatch.setattr("bpnet_cli.timing.time", SimpleNamespace(perf_counter=lambda: world.now, sleep=lambda _: None))
    quick, slow = benchmark_infer(files, [(64, 64)], [2], 4, None, None)["network"]
    assert [(name, len(list(runs))) for name, runs in groupby(world.calls)] == [
        ("quick", 5),
        ("slow", 5),
        ("quick", 3),
        ("slow", 3),
    ]
    assert [quick[name] for name in PERCENTILES] == [2.0] * 3
    assert [slow[name] for name in PERCENTILES] == [6.0] * 3
    assert (quick["images_per_second"], slow["images_per_second"]) == (500.0, 166.67)
    assert (quick["ratio"], slow["ratio"]) == (1.0, 3.0)


def test_statistics() -> None:
    row = summarise([value / 1000 for value in range(101, 0, -1)], batch=1)
    assert row == {"p50_ms": 51.0, "p90_ms": 91.0, "p99_ms": 100.0, "images_per_second": 19.61}
    # Of four photos a run: a quarter of the time each.
    assert summarise([0.2, 0.4], batch=4) == {
        "p50_ms": 75.0,
        "p90_ms": 95.0,
        "p99_ms": 99.5,
        "images_per_second": 13.33,
    }


def test_a_batch_of_photos_gives_the_people_that_infer_finds(exported: Path, tmp_path: Path) -> None:
    """Of photos of different shapes; the network of the tests finds people where thresholds are this low."""
    changes = ("min_person_score=0", "decode.peak_threshold=0.001", "decode.person_threshold=0")
    predictor = load_predictor(exported, [f"inference.{change}" for change in changes])
    predictor = replace(predictor, size=InputSize(64, 96))
    for seed, (height, width) in enumerate(((96, 128), (150, 90))):
        generate(tmp_path / str(seed), 2, people=(1, 3), height=height, width=width, seed=seed)
    files = sorted(tmp_path.rglob("*.jpg"))
    found = find_people(predictor, files)
    assert [len(people) for people in found] == [len(predictor.predict(read_photo(path))) for path in files]
    assert sum(map(len, found)) > 0
    for path, people in zip(files, found, strict=True):
        for person, wanted in zip(people, predictor.predict(read_photo(path)), strict=True):
            np.testing.assert_allclose(person.keypoints, wanted.keypoints, atol=0.05)


def test_names_are_short_and_told_apart() -> None:
    long = "runs/a_name_that_goes_on_for_much_too_long.onnx"
    names = model_names(["a/model.keras", "b/model.keras", "m.onnx", long])
    assert list(names.values()) == ["1 model.keras", "2 model.keras", "m.onnx", "..much_too_long.onnx"]
    assert list(model_names([f"a_{long[5:]}", long]).values()) == [
        "1 uch_too_long.onnx",
        "2 uch_too_long.onnx",
    ]


def test_threads_reach_every_runtime(exported: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(
        LOAD, lambda path, threads, engine: given.append((threads, engine)) or load_backend(path, threads)
    )
    figures = benchmark_infer([str(exported)], [(64, 64)], [1], 1, 1, None)
    assert (given, cv2.getNumThreads(), figures["threads"]) == ([(1, "onnxruntime")], 1, 1)
    code = """if True:
        import sys, cv2
        from bpnet_cli.benchmark.infer import benchmark_infer
        benchmark_infer([sys.argv[1]], [(64, 64)], [1], 1, 1, None)
        import tensorflow as tf
        threading = tf.config.threading
        print(threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads(),
              cv2.getNumThreads())"""
    model = str(trained / "run" / "model.keras")
    # A process of its own: TensorFlow's threads are settled once it has computed anything.
    fresh = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True)
    assert fresh.stdout.split() == ["1", "1", "1"], fresh.stderr


def test_threads_that_come_too_late_are_refused(trained: Path, bpnet: Run) -> None:
    result = bpnet("benchmark", "infer", "-m", trained / "run" / "model.keras", "--threads", 3)
    assert result.exit_code == 1
    assert "TensorFlow has already started its threads in this process" in result.output


def test_threads_of_another_engine_are_refused(
    trained: Path, keras_loaded: None, monkeypatch: pytest.MonkeyPatch, bpnet: Run
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    result = bpnet("benchmark", "infer", "-m", trained / "run" / "model.keras", "--threads", 1)
    assert result.exit_code == 1
    assert "--threads: can't be set for Keras on jax" in result.output


def test_what_can_not_be_measured(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "photo.jpg").write_bytes(b"no photo")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"")
    good = ("-m", exported)
    for words, message in (
        (("-m", exported, "-m", tmp_path / "none.onnx"), f"{tmp_path / 'none.onnx'}: no such model file"),
        ((*good, "--size", "60x64"), "height and width must be multiples of 8 (got --size 60x64); give --size 64x64"),
        ((*good, "--images", tmp_path / "none"), f"{tmp_path / 'none'}: no such folder of photos"),
        ((*good, "--images", tmp_path / "empty"), f"{tmp_path / 'empty'}: no photos or videos found"),
        ((*good, "--images", tmp_path / "videos"), f"{tmp_path / 'videos'}: has videos, but no photos"),
        ((*good, "--images", tmp_path / "bad"), f"OpenCV?; repair it or remove it from {tmp_path / 'bad'}"),
    ):
        result = bpnet("benchmark", "infer", *words)
        assert (result.exit_code, result.stdout) == (1, ""), words
        assert message in result.output


def test_wrong_usage(exported: Path, bpnet: Run) -> None:
    assert bpnet("benchmark", "infer", "--engine", "nothing").exit_code == 2
    for size in ("256", "0x64", "64x", "64,64", "-8x8"):
        result = bpnet("benchmark", "infer", "-m", exported, "--size", size)
        assert result.exit_code == 2
        assert "must be HEIGHTxWIDTH in pixels, as in 368x656" in result.output
    assert bpnet("benchmark", "infer", "-m", exported, "--batch", 0).exit_code == 2
