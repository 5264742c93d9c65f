"""Operators of exported files against NVIDIA's table for TensorRT 10.15, because TensorRT itself doesn't run here.

Source: onnx-tensorrt, docs/operators.md. The table is for opset 9 to 24.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

onnx = pytest.importorskip("onnx")

# Those of the supported operators that files of this project may contain.
SUPPORTED = """
    Abs Add And Cast Clip Concat Conv Div Elu Floor GatherElements Greater GreaterOrEqual LeakyRelu LessOrEqual Log
    Max MaxPool Min Mul Neg PRelu Pad Relu Reshape Resize Shape Sigmoid Slice Split Sub TopK Transpose
    Unsqueeze Where
"""


@pytest.mark.parametrize(
    "words",
    [
        ("--opset", 13, "--with-peaks"),
        ("--opset", 18, "--with-peaks"),
        ("--precision", "fp16", "--with-peaks"),
        ("--tao-layout", "--precision", "fp16"),
    ],
    ids=["opset 13", "opset 18", "fp16", "tao"],
)
def test_files_hold_what_tensorrt_reads(model: Path, tmp_path: Path, bpnet: Run, words: tuple[object, ...]) -> None:
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.onnx", *words)
    assert result.exit_code == 0, result.output
    check(onnx.load(tmp_path / "m.onnx"))


def test_the_model_in_the_box_too(tmp_path: Path, bpnet: Run) -> None:
    assert bpnet("export", "-m", "box", "-o", tmp_path / "m.onnx", "--with-peaks").exit_code == 0
    check(onnx.load(tmp_path / "m.onnx"))


def check(model: object) -> None:
    graph = model.graph
    kinds = {node.op_type for node in graph.node}
    assert kinds <= set(SUPPORTED.split()), kinds - set(SUPPORTED.split())
    assert {"Conv", "Relu"} <= kinds
    (image,) = graph.input
    readers = [node.op_type for node in graph.node if image.name in node.input]
    if image.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        assert readers == ["Cast"], "uint8 is for inputs and outputs only"
    for node in graph.node:
        words = {each.name: each.s for each in node.attribute}
        if node.op_type == "Resize":
            assert [words[name] for name in ("mode", "coordinate_transformation_mode", "nearest_mode")] == [
                b"nearest",
                b"asymmetric",
                b"floor",
            ]
        if node.op_type == "MaxPool":
            assert len(node.output) == 1
