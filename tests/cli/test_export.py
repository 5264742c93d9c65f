"""Deployment through the real command: fixed sizes, NVIDIA's layout, peaks, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli import DecodeOptions, decode, decode_peaks
from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import FINDING, Run, Words, labelled, persons

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def same_people(a: list, b: list) -> bool:
    """Alike within what rounding of float32 arithmetic may do to coordinates.

    The network of the tests has hardly learnt, so some of its weak keypoints are tied: the last bit decides whose they
    are.
    """
    if [len(people) for people in a] != [len(people) for people in b]:
        return False
    pairs = [(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
    points = [
        (np.array(j or [-1] * 3), np.array(k or [-1] * 3))
        for x, y in pairs
        for j, k in zip(x["keypoints"], y["keypoints"], strict=True)
    ]
    return mostly([np.abs(j - k).max() < 0.05 for j, k in points])


def mostly(same: Any) -> bool:
    """All but one of 200, and more than a few."""
    return len(same) > 200 and np.mean(same) > 0.995


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--precision", "int8"), "int8 needs --calibration-images"),
        (("--max-ap-drop", 0.1), "need --precision int8 or fp16"),
        (("--height", 64), "export: height and width must be given together"),
        (("--height", 64, "--width", 68), "export.width: must be a multiple of 8 for this model (got 68)"),
        (("--opset", 12), "--opset 12: export.opset: must be at least 13 (got 12)"),
        (("--opset", 19), "--opset 19: export.opset: must be at most 18 (got 19)"),
        (("--quantize-heads",), "--quantize-heads needs --precision int8 (export.precision is fp32)"),
        (("--quantize-heads", "--precision", "fp16"), "--quantize-heads needs --precision int8"),
        (("--with-peaks", "--tao-layout"), "export: with_peaks and tao_layout can't be used together"),
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
    assert "is a file, not a folder" in result.output
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
    a, b = (np.array([e["keypoints"] for e in entries]) for entries in found)
    assert mostly((np.abs(a - b) < 0.05).ravel())
    refused = bpnet("infer", drawn / "images", "-m", out, "-r", tmp_path / "r", "--set", "inference.input_height=96")
    assert refused.exit_code == 1
    assert "takes inputs of 64 x 80 only, got 96 x 80; keep inference.input_height=64" in refused.output


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
