"""What `export` writes for inference servers: Triton's model repository, trtexec's line."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bpnet_cli.inference.backends import OnnxBackend
from tests.cli.conftest import Run

onnx = pytest.importorskip("onnx")
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


def test_tritons_own_description_of_the_file_takes_it(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    """Triton's protobuf (from its client) reads each config; names, types and axes are those of the model."""
    description = tritons_description()
    text_format = pytest.importorskip("google.protobuf.text_format")
    types = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}
    int8 = ("--precision", "int8", "--calibration-images", photos)
    for words in ((), ("--with-peaks", *int8), ("--tao-layout", "--height", 64, "--width", 72, "--batch", 2)):
        result = bpnet("export", "-m", model, "--triton", tmp_path, "--overwrite", *words)
        assert result.exit_code == 0, result.output
        config = text_format.Parse((tmp_path / "test" / "config.pbtxt").read_text(), description.ModelConfig())
        graph = onnx.load(tmp_path / "test" / "1" / "model.onnx").graph
        free = "--batch" not in words
        assert (config.max_batch_size, config.HasField("dynamic_batching")) == ((8, True) if free else (0, False))
        for written, made in ((config.input, graph.input), (config.output, graph.output)):
            assert [value.name for value in written] == [value.name for value in made]
            for value, tensor in zip(written, (each.type.tensor_type for each in made), strict=True):
                assert description.DataType.Name(value.data_type) == types[tensor.elem_type]
                axes = [dimension.dim_value or -1 for dimension in tensor.shape.dim]
                assert list(value.dims) == axes[1 if free else 0 :]


def test_a_line_for_tensorrt(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    """As a shell reads it. Only trtexec may see the quotes that it needs around a name with a colon."""
    folder = tmp_path / "my files"
    for words, expected in (
        ((), ["--minShapes=image:1x64x8x3", "--optShapes=image:1x64x88x3", "--maxShapes=image:8x64x256x3"]),
        (("--height", 64, "--width", 64, "--batch", 1, "--precision", "fp16"), ["--stronglyTyped"]),
        (
            ("--tao-layout", "--batch", 2),
            [f"--{name}Shapes='input_1:0':2x64x{width}x3" for name, width in (("min", 8), ("opt", 88), ("max", 256))],
        ),
    ):
        target = folder / "m.onnx"
        result = bpnet("export", "-m", trained / "run" / "model.keras", "-o", target, "--overwrite", *words)
        (line,) = (line for line in result.output.splitlines() if line.startswith("TensorRT: "))
        assert shlex.split(line)[1:] == [
            "trtexec",
            f"--onnx={target}",
            f"--saveEngine={folder / 'm.engine'}",
            *expected,
        ]


def tritons_description() -> ModuleType:
    """Triton's protobuf from the wheel of its client, without the client, which needs an older protobuf."""
    package = importlib.util.find_spec("tritonclient")
    if package is None:
        pytest.skip("needs pip install --no-deps tritonclient")
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    found = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


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
