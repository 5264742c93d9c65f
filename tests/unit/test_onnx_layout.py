"""ONNX files that bpnet did not write: NVIDIA's BodyPoseNet in its variants, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18, BpnetError, load_predictor
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.backends import OnnxBackend
from bpnet_cli.inference.paf_grid import on_the_heatmaps_grid

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
HEAT, PAF = (RNG.normal(size=(channels, 3, 1, 1)).astype(np.float32) for channels in (19, 38))


def write_network(
    path: Path, *, first: bool = False, repeat: int = 1, size: tuple = ("n", "h", "w"), paf: int = 38
) -> Path:
    """A network that mixes the means of 8 x 8 normalised pixels, in NVIDIA's form; first: channels come first."""
    from onnx import TensorProto, helper, numpy_helper

    def axes(channels: int, names: tuple) -> list:
        return [names[0], channels, *names[1:]] if first else [*names, channels]

    to_first, to_last = ([], []) if first else ([0, 3, 1, 2], [0, 2, 3, 1])
    nodes = [
        helper.make_node("Transpose", ["input_1:0"], ["planes"], perm=to_first or [0, 1, 2, 3]),
        helper.make_node("AveragePool", ["planes"], ["mean"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["mean", "paf"], ["cells"]),
        helper.make_node("Resize", ["cells", "", "scales"], ["fine"], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Transpose", ["fine"], ["paf_out/BiasAdd:0"], perm=to_last or [0, 1, 2, 3]),
        helper.make_node("Conv", ["mean", "heat"], ["heat_cells"]),
        helper.make_node("Transpose", ["heat_cells"], ["heatmap_out/BiasAdd:0"], perm=to_last or [0, 1, 2, 3]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input_1:0", TensorProto.FLOAT, axes(3, size))],
        [
            helper.make_tensor_value_info("paf_out/BiasAdd:0", TensorProto.FLOAT, axes(paf, ("n", "a", "b"))),
            helper.make_tensor_value_info("heatmap_out/BiasAdd:0", TensorProto.FLOAT, axes(19, ("n", "c", "d"))),
        ],
        [
            numpy_helper.from_array(PAF[:paf], "paf"),
            numpy_helper.from_array(HEAT, "heat"),
            numpy_helper.from_array(np.array([1, 1, repeat, repeat], np.float32), "scales"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("repeat", [1, 4])
def test_nvidias_files_are_read(tmp_path: Path, first: bool, repeat: int) -> None:
    backend = OnnxBackend(write_network(tmp_path / "mine.onnx", first=first, repeat=repeat))
    metadata = backend.metadata
    assert (metadata.skeleton, metadata.stride, metadata.input_multiple) == (BODY_18, 8, 8)
    assert (metadata.scale, metadata.offset, metadata.spec["name"]) == (1 / 256, (-0.5,) * 3, "mine")
    images = RNG.integers(0, 256, (2, 48, 80, 3), dtype=np.uint8)
    normalised = images.astype(np.float64) / 256 - 0.5
    means = normalised.reshape(2, 6, 8, 10, 8, 3).mean(axis=(2, 4))
    heatmaps, pafs = backend.maps(images)
    np.testing.assert_allclose(heatmaps, means @ HEAT[..., 0, 0].T, atol=1e-5)
    expected = on_the_heatmaps_grid((means @ PAF[..., 0, 0].T).astype(np.float32), metadata)
    np.testing.assert_allclose(pafs, expected, atol=1e-5)


@pytest.mark.parametrize("first", [False, True])
def test_a_fixed_size_is_what_photos_are_brought_to(tmp_path: Path, first: bool) -> None:
    path = write_network(tmp_path / "m.onnx", first=first, size=(2, 64, 96))
    predictor = load_predictor(path)
    assert (predictor.size.height, predictor.size.width) == (64, 96)
    heatmaps, pafs, _ = predictor.maps(RNG.integers(0, 256, (100, 77, 3), dtype=np.uint8))
    assert (heatmaps.shape, pafs.shape) == ((8, 12, 19), (8, 12, 38))
    images = RNG.integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        for whole, one in zip(predictor.backend.maps(images), predictor.backend.maps(image[None]), strict=True):
            np.testing.assert_allclose(whole[index], one[0], atol=1e-6)
    with pytest.raises(BpnetError, match="takes inputs of 64 x 96 only, got 64 x 64"):
        predictor.backend.maps(np.zeros((1, 64, 64, 3), np.uint8))


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path / "m.onnx", paf=20)
    with pytest.raises(
        ModelFileError, match=r"bpnet did not export it, .* outputs with 38 and 19 channels \(got input_1:0"
    ):
        OnnxBackend(path)


def test_what_is_taken_for_granted_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network of another tool may read BGR; with NVIDIA's own names there is no doubt."""
    OnnxBackend(write_network(tmp_path / "nvidia.onnx"))
    assert capsys.readouterr().err == ""
    model = onnx.load(tmp_path / "nvidia.onnx")
    model.graph.input[0].name = model.graph.node[0].input[0] = "data"
    onnx.save(model, str(tmp_path / "other.onnx"))
    OnnxBackend(tmp_path / "other.onnx")
    assert "other.onnx: is not from bpnet, and taken to read RGB as (pixel - 128) / 256" in capsys.readouterr().err
