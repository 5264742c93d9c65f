"""Networks in OpenVINO's format: colour order, layout, and what is no pose network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.backends import load_backend
from bpnet_cli.inference.info import describe_model

onnx = pytest.importorskip("onnx")
openvino = pytest.importorskip("openvino")


def write_network(path: Path, pafs: int = 38) -> tuple[Path, np.ndarray, np.ndarray]:
    """A network that mixes the means of 8 x 8 pixels; returns the file and both outputs' (channels, 3) BGR weights."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    heat, paf = (rng.normal(size=(channels, 3, 1, 1)).astype(np.float32) for channels in (19, pafs))
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["data"], ["mean"], kernel_shape=[8, 8], strides=[8, 8]),
            # PAFs first: outputs are told apart by their channels.
            helper.make_node("Conv", ["mean", "paf"], ["pafs"]),
            helper.make_node("Conv", ["mean", "heat"], ["heatmaps"]),
        ],
        "network",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 64, 64])],
        [
            helper.make_tensor_value_info("pafs", TensorProto.FLOAT, [1, pafs, 8, 8]),
            helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 19, 8, 8]),
        ],
        [numpy_helper.from_array(heat, "heat"), numpy_helper.from_array(paf, "paf")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path.with_suffix(".onnx")))
    openvino.save_model(openvino.convert_model(str(path.with_suffix(".onnx"))), str(path), compress_to_fp16=False)
    return path, heat[..., 0, 0], paf[..., 0, 0]


def test_maps_of_every_size_and_colour_order(tmp_path: Path) -> None:
    path, heat, paf = write_network(tmp_path / "network.xml")
    backend = load_backend(path, threads=1)
    assert backend.metadata.stride == 8
    for shape in ((1, 64, 64, 3), (2, 48, 80, 3)):
        images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        means = images.reshape(shape[0], shape[1] // 8, 8, shape[2] // 8, 8, 3).mean(axis=(2, 4))[..., ::-1]
        heatmaps, pafs = backend.maps(images)
        np.testing.assert_allclose(heatmaps, means @ heat.T, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(pafs, means @ paf.T, rtol=1e-4, atol=1e-2)


def test_it_is_described(tmp_path: Path) -> None:
    path, *_ = write_network(tmp_path / "network.xml")
    values = describe_model(str(path), ()).values
    assert (values["name"], values["skeleton"], values["graph"]) == ("network", "body_18", "imported")
    assert "backbone" not in values
    assert values["input"] == "BGR, 0..255 [batch, 3, height, width]"
    assert values["outputs"][1] == "pafs: [batch, 38, height / 8, width / 8]"
    files = (path, path.with_suffix(".bin"))
    assert values["file_bytes"] == sum(each.stat().st_size for each in files)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path, *_ = write_network(tmp_path / "network.xml", pafs=10)
    with pytest.raises(ModelFileError, match="no output has 38 channels"):
        load_backend(path)
    path.write_text("<nothing/>")
    with pytest.raises(ModelFileError, match="OpenVINO can't read it"):
        load_backend(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match="its weights are missing"):
        load_backend(path)


FIRST_CALLS = """
import sys, threading
import numpy as np
from bpnet_cli.inference.backends import load_backend

backend = load_backend(sys.argv[1], threads=1)
backend._compiled((1, 3, 64, 64))  # so that the threads meet where it matters
barrier = threading.Barrier(4)


def call():
    barrier.wait()
    backend.maps(np.zeros((1, 64, 64, 3), np.uint8))


threads = [threading.Thread(target=call) for _ in range(4)]
for thread in threads:
    thread.start()
"""


def test_threads_may_be_the_first_to_call(tmp_path: Path) -> None:
    """Half of such processes used to hang: the workers of a training pipeline with a teacher are such threads."""
    path, *_ = write_network(tmp_path / "network.xml")
    for _ in range(4):
        subprocess.run([sys.executable, "-c", FIRST_CALLS, str(path)], check=True, timeout=60)
