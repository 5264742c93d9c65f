"""Deployment through the real command: precisions, fixed sizes, NVIDIA's layout, peaks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import DecodeOptions, decode, decode_peaks
from bpnet_cli.data.synthetic import generate
from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import Run

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
Words = tuple[object, ...]
# The network of the tests has hardly learnt; so low, it finds people all the same.
FINDING = tuple(
    word
    for change in ("input_width=80", "min_person_score=0", "decode.peak_threshold=0.001", "decode.person_threshold=0")
    for word in ("--set", f"inference.{change}")
)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 32 photos, half of them one level down."""
    directory = tmp_path_factory.mktemp("calibration")
    generate(directory, 32, people=(1, 2), height=64, width=96, seed=3)
    below = directory / "images" / "below"
    below.mkdir()
    for path in sorted((directory / "images").glob("*.jpg"))[:16]:
        path.rename(below / path.name)
    return directory / "images"


@pytest.fixture
def model(trained: Path) -> Path:
    return trained / "run" / "model.keras"


def labelled(drawn: Path) -> Words:
    return "--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json"


def persons(bpnet: Run, model: Path, photos: Path, results: Path) -> list:
    result = bpnet("infer", photos, "-m", model, "-r", results, "--no-annotate", *FINDING)
    assert result.exit_code == 0, result.output
    return [image["persons"] for image in json.loads((results / "detections.json").read_text())["images"]]


def same_people(a: list, b: list) -> bool:
    """Alike within what rounding of float32 arithmetic may do to coordinates."""
    if [len(people) for people in a] != [len(people) for people in b]:
        return False
    pairs = [(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
    points = [
        (np.array(j or [-1] * 3), np.array(k or [-1] * 3))
        for x, y in pairs
        for j, k in zip(x["keypoints"], y["keypoints"], strict=True)
    ]
    return all(np.abs(j - k).max() < 0.05 for j, k in points)


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
    from bpnet_cli.inference.sources import read_photo

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


def one_too_few(photos: Path) -> None:
    """What a Mac keeps beside a photo is none."""
    one = next(photos.glob("*.jpg"))
    one.rename(photos / f"._{one.name}")


def corrupt(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")


REFUSED = [
    (no_folder, "no such folder of calibration photos"),
    (no_photos, "has 0 photos, calibration needs at least 32"),
    (one_too_few, "has 31 photos, calibration needs at least 32"),
    (corrupt, "broken.jpg: can't be decoded as an image; is it damaged, or unknown to OpenCV?; mend it or take it out"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--precision", "int8"), "int8 needs --calibration-images"),
        (("--max-ap-drop", 0.1), "need --precision int8 or fp16"),
        (("--height", 64), "export: height and width go together"),
        (("--height", 64, "--width", 68), "export.width: must be a multiple of 8 for this model (got 68)"),
        (("--opset", 12), "--opset 12: export.opset: must be at least 13 (got 12)"),
        (("--opset", 19), "--opset 19: export.opset: must be at most 18 (got 19)"),
        (("--quantize-heads",), "--quantize-heads needs --precision int8 (export.precision is fp32)"),
        (("--quantize-heads", "--precision", "fp16"), "--quantize-heads needs --precision int8"),
        (("--with-peaks", "--tao-layout"), "export: with_peaks and tao_layout exclude each other"),
        (("--precision", "fp16", "--max-ap-drop", 0, "--set", "dataset.validation=null"), "needs labelled photos"),
        (("--precision", "fp16", "--images", "none", "--annotations", "none.json"), "none.json"),
    ],
)
def test_what_can_not_be_exported(model: Path, tmp_path: Path, bpnet: Run, words: Words, message: str) -> None:
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 1
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_highest_operator_set_is_tf2onnxs(model: Path, tmp_path: Path, bpnet: Run, keras_loaded: None) -> None:
    from tf2onnx.constants import OPSET_TO_IR_VERSION

    newest = max(OPSET_TO_IR_VERSION)
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", "--opset", newest)
    assert result.exit_code == 0, result.output
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == newest
    assert bpnet("export", "-m", model, "-o", tmp_path / "n.onnx", "--opset", newest + 1).exit_code == 1


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
    assert "nothing written: AP falls from 0.900 to 0.700 on 12 photos, by more than --max-ap-drop 0.1" in result.output
    assert not list(out.rglob("*.*"))


def test_existing_and_unwritable_targets(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("--precision", "int8", "--calibration-images", photos)
    (tmp_path / "m.onnx").write_text("mine")
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 1
    assert "exists already; give --overwrite" in result.output
    assert (tmp_path / "m.onnx").read_text() == "mine"
    assert bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words, "--overwrite").exit_code == 0
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx" / "x.onnx", *words)
    assert result.exit_code == 1
    assert "can't be written" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_fixed_sizes_are_fed_as_they_want_it(model: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    out = tmp_path / "m.onnx"
    words = ("--height", 64, "--width", 80, "--batch", 2, "--opset", 15)
    result = bpnet("export", "-m", model, "-o", out, *words)
    assert "input   image: uint8 [2, 64, 80, 3]" in result.output
    assert "output  pafs: float32 [2, 8, 10, 38]" in result.output
    assert onnx.load(out).opset_import[0].version == 15
    assert bpnet("evaluate", "-m", out, *labelled(drawn), "-r", tmp_path / "a", *FINDING).exit_code == 0
    assert bpnet("evaluate", "-m", model, *labelled(drawn), "-r", tmp_path / "b", *FINDING).exit_code == 0
    found = [json.loads((tmp_path / name / "coco_results.json").read_text()) for name in "ab"]
    assert len(found[0]) == len(found[1]) > 0
    np.testing.assert_allclose(*([e["keypoints"] for e in entries] for entries in found), atol=0.05)
    refused = bpnet("infer", drawn / "images", "-m", out, "-r", tmp_path / "r", "--set", "inference.input_height=96")
    assert refused.exit_code == 1
    assert "takes inputs of 64 x 80 only, got 96 x 80; leave inference.input_height=64" in refused.output


@pytest.mark.parametrize("upsampling", [1, 4])
def test_nvidias_layout_finds_the_same_people(
    model: Path, drawn: Path, tmp_path: Path, bpnet: Run, upsampling: int
) -> None:
    out = tmp_path / "m.onnx"
    words = ("--tao-layout", "--set", f"export.tao_paf_upsampling={upsampling}")
    result = bpnet("export", "-m", model, "-o", out, *words)
    assert result.exit_code == 0, result.output
    graph = onnx.load(out).graph
    assert [value.name for value in graph.input] == ["input_1:0"]
    pafs = {1: "paf_out/BiasAdd:0", 4: "conv2d_transpose_1/BiasAdd:0"}[upsampling]
    assert [value.name for value in graph.output] == [pafs, "heatmap_out/BiasAdd:0"]
    expected = persons(bpnet, model, drawn / "images", tmp_path / "keras")
    assert sum(map(len, expected)) > 0
    assert same_people(persons(bpnet, out, drawn / "images", tmp_path / "tao"), expected)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_peaks_as_a_third_output(
    model: Path, photos: Path, drawn: Path, tmp_path: Path, bpnet: Run, precision: str
) -> None:
    """Found in float32 whatever the precision; all that reads maps goes on as without."""
    words = ("--precision", precision, *(("--calibration-images", photos) if precision == "int8" else ()), *FINDING)
    words = (*words, "--set", "inference.decode.max_peaks=9")
    plain, out = tmp_path / "plain.onnx", tmp_path / "m.onnx"
    assert bpnet("export", "-m", model, "-o", plain, *words).exit_code == 0
    result = bpnet("export", "-m", model, "-o", out, "--with-peaks", *words)
    assert result.exit_code == 0, result.output
    assert "output  peaks: float32 [batch, 18, 9, 3]" in result.output
    about = json.loads(bpnet("info", "-m", out, "--json").output)["outputs"]
    assert about[2:] == ["peaks: float32 [batch, 18, 9, 3], x, y in input pixels and score"]
    inside = [node for node in onnx.load(out).graph.node if node.name.startswith("peaks/")]
    assert {node.op_type for node in inside} >= {"TopK", "Log"}
    assert not {node.op_type for node in inside} & {"QuantizeLinear", "DequantizeLinear"}
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    session = ort.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    heatmaps, pafs, peaks = session.run(["heatmaps", "pafs", "peaks"], {"image": image})
    for a, b in zip(OnnxBackend(plain).maps(image), (heatmaps, pafs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    options = DecodeOptions(peak_threshold=0.001, max_peaks=9, person_threshold=0)
    assert (peaks[..., 2] > 0).sum() > 18
    for rows, heat, paf in zip(peaks, heatmaps, pafs, strict=True):
        found, wanted = decode_peaks(rows, paf, options=options), decode(heat, paf, options=options)
        assert len(found) == len(wanted) > 0
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one.keypoints, other.keypoints, rtol=0, atol=0.05)
    people = [persons(bpnet, file, drawn / "images", tmp_path / file.stem) for file in (plain, out)]
    assert sum(map(len, people[0])) > 0
    assert same_people(*people)
    assert bpnet("evaluate", "-m", out, *labelled(drawn), "-r", tmp_path / "evaluation").exit_code == 0


def test_export_needs_somewhere_to_write(model: Path, bpnet: Run) -> None:
    assert bpnet("export", "-m", model).exit_code == 2
    assert bpnet("export", "-m", model, "-o", "x.onnx", "--images", "y").exit_code == 2
