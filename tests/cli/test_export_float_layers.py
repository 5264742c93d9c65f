"""Which int8 convolution costs how much, and convolutions that stay float."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import Run

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def test_each_int8_convolution_is_explained(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    """By its Keras name, the most expensive first; a layer that stays float is no part of it."""
    words = ("--precision", "int8", "--calibration-images", photos, "--explain")
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 0, result.output
    rows = re.findall(r"^  (\w+) +(\d+\.\d+)% +(\S+)$", result.output, re.MULTILINE)
    maps = [float(row[2]) for row in rows]
    assert maps == sorted(maps, reverse=True)
    assert all(0.01 < float(row[1]) < 10 for row in rows)
    assert maps[0] > 0
    names = {row[0] for row in rows}
    assert {"conv1", "stage2_conv1_depthwise", "stage2_conv1"} <= names
    assert not {"heatmap_out", "paf_out"} & names
    kept = bpnet(
        *("export", "-m", model, "-o", tmp_path / "n.onnx", *words, "--set", f"export.float_layers=[{rows[0][0]}]")
    )
    assert rows[0][0] not in {row[0] for row in re.findall(r"^  (\w+) +(\S+)% +\S+$", kept.output, re.MULTILINE)}


def test_named_layers_stay_float(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    words = (
        "--precision",
        "int8",
        "--calibration-images",
        photos,
        "--set",
        'export.float_layers=["stage1*", heatmap_out]',
    )
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 0, result.output
    graph = onnx.load(tmp_path / "m.onnx").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    floats = {node.name for node in convolutions if kinds.get(node.input[1]) == onnx.TensorProto.FLOAT}
    expected = {node.name for node in convolutions if node.name.startswith("stage1")} | {"heatmap_out", "paf_out"}
    assert floats == expected
    assert len(floats) < len(convolutions)
    # ONNX Runtime quantises the weights of convolutions that read quantised tensors itself, in its default setting.
    quantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert {node.name for node in convolutions if node.input[0] not in quantized} >= expected - {"paf_out"}
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    literally = ort.SessionOptions()
    literally.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), literally, providers=["CPUExecutionProvider"])
    expected = session.run(["heatmaps", "pafs"], {"image": image})
    for a, b in zip(OnnxBackend(tmp_path / "m.onnx").maps(image), expected, strict=True):
        assert np.abs(a - b).mean() < 1e-3
    about = json.loads(bpnet("info", "-m", tmp_path / "m.onnx", "--json").output)
    assert about["precision"] == "int8"


def test_what_needs_int8_and_names_that_do_not_exist(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    int8 = ("--precision", "int8", "--calibration-images", photos)
    refused = {
        ("--explain",): "--explain needs --precision int8 (export.precision is fp32)",
        ("--set", "export.float_layers=[paf_out]", "--precision", "fp16"): "export.float_layers needs --precision int8",
        (
            *int8,
            "--set",
            "export.float_layers=[paf_uot]",
        ): "export.float_layers: no convolution of this network is called 'paf_uot', did you mean 'paf_out'?",
        (*int8, "--set", 'export.float_layers=["zzz*"]'): "called 'zzz*'; --explain lists them",
    }
    for words, message in refused.items():
        result = bpnet("export", "-m", model, "-o", tmp_path / "out" / "m.onnx", *words)
        assert result.exit_code == 1
        assert message in result.output
        assert "Traceback" not in result.output
        assert not list((tmp_path / "out").glob("*"))
