"""Lower precisions through the real command: what they cost, and the photos that set INT8's ranges."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import Run, labelled, persons

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_lower_precision_says_what_it_costs_and_just_works(
    model: Path, exported: Path, photos: Path, drawn: Path, tmp_path: Path, bpnet: Run, precision: str
) -> None:
    out = tmp_path / "m.onnx"
    words = ("--precision", precision, "--calibration-images", photos, *labelled(drawn), "--max-ap-drop", 1)
    result = bpnet("export", "-m", model, "-o", out, *words)
    assert result.exit_code == 0, result.output
    for pattern in (
        r"size     0\.\d\d x",
        r"latency  \d+\.\d\d x \(",
        r"AP       \d\.\d{3}, was \d\.\d{3}, on 12 photos",
    ):
        assert re.search(pattern, result.output)
    maps = re.search(r"maps     differ by (\S+) at most, (\S+) on average, on 32 photos", result.output)
    said, mean = (float(number) for number in maps.groups())
    assert 0 < mean < said
    exact, lower = OnnxBackend(exported), OnnxBackend(out)
    assert lower.metadata.spec["export"]["precision"] == precision
    assert json.loads(bpnet("info", "-m", out, "--json").output)["precision"] == precision
    assert lower.metadata.skeleton == exact.metadata.skeleton
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    for a, b in zip(exact.maps(image), lower.maps(image), strict=True):
        assert 0 < np.abs(a - b).max() < max(0.05, 3 * said)
    types = {tensor.data_type for tensor in onnx.load(out).graph.initializer}
    assert {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision] in types
    assert len(persons(bpnet, out, drawn / "images", tmp_path / "results")) == 12
    assert bpnet("evaluate", "-m", out, *labelled(drawn), "-r", tmp_path / "evaluation").exit_code == 0


def test_heads_stay_float_unless_asked(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    floats = {}
    for name, words in (("float", ()), ("quantized", ("--quantize-heads",))):
        words = ("--precision", "int8", "--calibration-images", photos, *words)
        assert bpnet("export", "-m", model, "-o", tmp_path / f"{name}.onnx", *words).exit_code == 0
        graph = onnx.load(tmp_path / f"{name}.onnx").graph
        kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        floats[name] = [node.name for node in convolutions if kinds.get(node.input[1]) == onnx.TensorProto.FLOAT]
    assert sorted(name.partition("_out")[0] for name in floats["float"]) == ["heatmap", "paf"]
    assert floats["quantized"] == []


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_calibrations(model: Path, photos: Path, tmp_path: Path, bpnet: Run, method: str) -> None:
    """Each sets other ranges from the same photos."""
    scales = []
    for name in (method, "minmax"):
        words = ("--precision", "int8", "--calibration-images", photos, "--set", f"export.calibration={name}")
        result = bpnet("export", "-m", model, "-o", tmp_path / f"{name}.onnx", *words)
        assert result.exit_code == 0, result.output
        assert f"calibrating with 32 photos ({name})" in result.output
        graph = onnx.load(tmp_path / f"{name}.onnx").graph
        read = {node.input[1] for node in graph.node if node.op_type == "QuantizeLinear"}
        scales.append(sum(onnx.numpy_helper.to_array(t).sum() for t in graph.initializer if t.name in read))
    assert scales[0] < scales[1]


def test_calibration_sees_what_inference_sees(
    model: Path, exported: Path, photos: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bpnet_cli import load_predictor
    from bpnet_cli.export import quantize
    from bpnet_cli.inference.photo_files import read_photo

    seen = []
    get_next = quantize._Inputs.get_next

    def spy(reader: quantize._Inputs) -> object:
        value = get_next(reader)
        seen.extend(value.values() if value else ())
        return value

    monkeypatch.setattr(quantize._Inputs, "get_next", spy)
    words = ("--precision", "int8", "--calibration-images", photos)
    assert bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words).exit_code == 0
    predictor = load_predictor(exported)
    expected = [predictor.prepare(read_photo(path))[0] for path in sorted(photos.rglob("*.jpg"))]
    assert len(seen) == 32
    for image, photo in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(image, photo[None])


def no_folder(photos: Path) -> None:
    shutil.rmtree(photos)


def no_photos(photos: Path) -> None:
    shutil.rmtree(photos)
    photos.mkdir()


def corrupt(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")


REFUSED = [
    (no_folder, "no such folder of calibration photos"),
    (no_photos, "has 0 photos, calibration needs at least 1"),
    (corrupt, "broken.jpg: can't be decoded as an image; is it damaged, or unknown to OpenCV?; repair it or remove it"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_photos_that_will_not_do(
    model: Path, photos: Path, tmp_path: Path, bpnet: Run, spoil: object, message: str
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    spoil(tmp_path / "photos")
    words = ("--precision", "int8", "--calibration-images", tmp_path / "photos")
    result = bpnet("export", "-m", model, "-o", tmp_path / "out" / "m.onnx", *words)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))


def test_few_photos_are_warned_of_and_the_wait_is_told(
    model: Path, photos: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a Mac keeps beside a photo is none."""
    from bpnet_cli import log

    monkeypatch.setattr(log, "_FIRST_LINE", 0.0)
    shutil.copytree(photos, tmp_path / "photos")
    one = next((tmp_path / "photos").glob("*.jpg"))
    one.rename(one.with_name(f"._{one.name}"))
    words = ("--precision", "int8", "--calibration-images", tmp_path / "photos")
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 0, result.output
    assert "has only 31 photos; with fewer than 32, the int8 ranges may be too small for other photos" in result.output
    for what in ("calibrating: 31/31", "comparing: 31/31"):
        assert what in result.output
    enough = bpnet("export", "-m", model, "-o", tmp_path / "n.onnx", *words[:-1], photos)
    assert "fewer than" not in enough.output
    halves = bpnet("export", "-m", model, "-o", tmp_path / "h.onnx", "--precision", "fp16", *words[2:])
    assert "fewer than" not in halves.output


def test_a_model_that_lost_too_much_is_not_written(
    model: Path, photos: Path, drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bpnet_cli.export import precision

    evaluate, drops = precision.evaluate, iter((0.0, 0.2))

    def worse(*arguments: object) -> object:
        result = evaluate(*arguments)
        result.scores.metrics["AP"] = 0.9 - next(drops)
        return result

    monkeypatch.setattr(precision, "evaluate", worse)
    words = ("--precision", "int8", "--calibration-images", photos, *labelled(drawn), "--max-ap-drop", 0.1)
    out = tmp_path / "out"
    result = bpnet("export", "-m", model, "-o", out / "m.onnx", "--triton", out / "triton", *words)
    assert result.exit_code == 1
    assert (
        "nothing written: AP falls from 0.900 to 0.700 on 12 photos, which is more than --max-ap-drop 0.1"
        in result.output
    )
    assert not list(out.rglob("*.*"))
