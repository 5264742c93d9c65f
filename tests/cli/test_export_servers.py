"""What `export` writes for inference servers: Triton's model repository, trtexec's line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import Run

ort = pytest.importorskip("onnxruntime")


def test_peaks_at_a_fixed_size_and_for_triton(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    words = (
        "export",
        "-m",
        trained / "run" / "model.keras",
        "--triton",
        tmp_path,
        "--with-peaks",
        "--set",
        "inference.decode.max_peaks=9",
    )
    assert bpnet(*words).exit_code == 0
    config = parse((tmp_path / "test" / "config.pbtxt").read_text())
    assert config["output"][2] == {"name": ["peaks"], "data_type": ["TYPE_FP32"], "dims": [18, 9, 3]}
    assert bpnet(*words, "--overwrite", "--height", 64, "--width", 72, "--batch", 2).exit_code == 0
    config = parse((tmp_path / "test" / "config.pbtxt").read_text())
    assert config["output"][2]["dims"] == [2, 18, 9, 3]
    session = ort.InferenceSession(str(tmp_path / "test" / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    (peaks,) = session.run(["peaks"], {"image": np.zeros((2, 64, 72, 3), np.uint8)})
    assert peaks.shape == (2, 18, 9, 3)


def test_triton_repository(trained: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("export", "-m", trained / "run" / "model.keras", "--triton", tmp_path, "--set", "name=my net/2")
    assert bpnet(*words).exit_code == 0
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == [
        "my_net_2/1/model.onnx",
        "my_net_2/config.pbtxt",
    ]
    config = parse((tmp_path / "my_net_2" / "config.pbtxt").read_text())
    assert config["name"] == ["my_net_2"]
    assert config["platform"] == ["onnxruntime_onnx"]
    assert config["max_batch_size"] == [8]
    assert config["input"] == [{"name": ["image"], "data_type": ["TYPE_UINT8"], "dims": [-1, -1, 3]}]
    assert config["output"] == [
        {"name": ["heatmaps"], "data_type": ["TYPE_FP32"], "dims": [-1, -1, 19]},
        {"name": ["pafs"], "data_type": ["TYPE_FP32"], "dims": [-1, -1, 38]},
    ]
    image = np.zeros((1, 64, 64, 3), np.uint8)
    for a, b in zip(
        OnnxBackend(tmp_path / "my_net_2" / "1" / "model.onnx").maps(image),
        OnnxBackend(exported).maps(image),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    again = bpnet(*words)
    assert again.exit_code == 1
    assert "my_net_2: exists already; give --overwrite" in again.output
    fixed = bpnet(*words, "--overwrite", "--height", 64, "--width", 64, "--batch", 4)
    assert fixed.exit_code == 0
    config = parse((tmp_path / "my_net_2" / "config.pbtxt").read_text())
    assert config["max_batch_size"] == [0]
    assert config["input"][0]["dims"] == [4, 64, 64, 3]


def test_a_line_for_tensorrt(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    for words, expected in (
        ((), "--minShapes='image':1x64x8x3 --optShapes='image':1x64x88x3 --maxShapes='image':8x64x256x3"),
        (("--height", 64, "--width", 64, "--batch", 1, "--precision", "fp16"), "m.engine --fp16\n"),
    ):
        result = bpnet(
            "export", "-m", trained / "run" / "model.keras", "-o", tmp_path / "m.onnx", "--overwrite", *words
        )
        assert f"trtexec --onnx={tmp_path / 'm.onnx'} --saveEngine=" in result.output
        assert expected in result.output


def parse(text: str) -> dict:
    """A protobuf text: every field is a list of its values, messages are dicts. Fails on what is no such text."""
    tokens = re.findall(r'"[^"]*"|[\w.-]+|[\[\]{}:,]', text)
    assert "".join(tokens) == re.sub(r"\s(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", "", text)
    fields, rest = _message(tokens)
    assert rest == []
    return fields


def _message(tokens: list[str]) -> tuple[dict, list[str]]:
    fields: dict[str, list] = {}
    while tokens and tokens[0] != "}":
        name, tokens = tokens[0], tokens[1:]
        assert re.fullmatch(r"[a-z_]+", name)
        if tokens[0] == ":":
            tokens = tokens[1:]
        else:
            assert tokens[0] in "{["
        value, tokens = _value(tokens)
        fields.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return fields, tokens


def _value(tokens: list[str]) -> tuple[object, list[str]]:
    first, rest = tokens[0], tokens[1:]
    if first == "{":
        message, rest = _message(rest)
        assert rest[0] == "}"
        return message, rest[1:]
    if first == "[":
        values = []
        while rest[0] != "]":
            value, rest = _value(rest)
            values.append(value)
            if rest[0] == ",":
                rest = rest[1:]
                assert rest[0] != "]"
        return values, rest[1:]
    assert re.fullmatch(r'"[^"]*"|-?\d+|TYPE_\w+', first)
    return (int(first) if re.fullmatch(r"-?\d+", first) else first.strip('"')), rest
