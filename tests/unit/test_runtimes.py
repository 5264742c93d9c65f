"""The exported file gives the same maps in every runtime, at a size that its conversion did not see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.inference.backends import KerasBackend, OnnxBackend
from bpnet_cli.inference.openvino import openvino_core
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.experiment import ExperimentSpec

pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.usefixtures("keras_loaded")
SIZES = ((96, 160), (64, 64))


@pytest.fixture(
    scope="module", params=["tiny", "vgg19_strided", "efficientnet_lite0", "mobilenet_v3_large", "resnet50"]
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, keras_loaded: None) -> Path:
    return export_network(tmp_path_factory.mktemp("runtimes") / "m.onnx", request.param)


def export_network(path: Path, backbone: str) -> Path:
    """A small network, not trained, whose maps reach 1."""
    from bpnet_cli.export.onnx import to_onnx

    stage = {"kernel_sizes": [3], "channels": 8, "head_channels": 8}
    model = {"backbone": backbone, "stages": 2, "feature_channels": 8, "convolution": "separable"}
    model |= {"initial_stage": stage, "refinement_stage": stage}
    spec = ExperimentSpec.model_validate_json(json.dumps({"model": model}))
    network, metadata = network_of(spec, BODY_18), metadata_of(spec, BODY_18)
    # Fresh maps are next to zero; maps of everyday size make differences show.
    for maps, name in zip(
        KerasBackend(network, metadata).maps(photo(SIZES[0])), ("heatmap_out", "paf_out"), strict=True
    ):
        kernel = network.get_layer(name).kernel
        kernel.assign(kernel / np.abs(maps).max())
    path.write_bytes(to_onnx(network, metadata, 17).SerializeToString())
    return path


def photo(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, *size, 3), dtype=np.uint8)


def expected(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = photo(size)
    return (image, *OnnxBackend(path).maps(image))


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="cv2.dnn takes no free sizes before OpenCV 5")
@pytest.mark.parametrize("size", SIZES)
def test_opencv(exported: Path, size: tuple[int, int]) -> None:
    image, *maps = expected(exported, size)
    network = cv2.dnn.readNetFromONNX(str(exported))
    network.setInput(image, "image")
    for answer, wanted in zip(network.forward(["heatmaps", "pafs"]), maps, strict=True):
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(answer, wanted, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_openvino(exported: Path, size: tuple[int, int]) -> None:
    pytest.importorskip("openvino")
    image, *maps = expected(exported, size)
    answers = openvino_core().compile_model(str(exported), "CPU")([image])
    for name, wanted in zip(("heatmaps", "pafs"), maps, strict=True):
        np.testing.assert_allclose(answers[name], wanted, atol=1e-4)


SIGNAL_AFTER_RELEASE = """
import os, signal, sys, threading
from bpnet_cli.inference.openvino import OpenVinoNetwork

noted = []
signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
held = [OpenVinoNetwork(sys.argv[1])]
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
assert noted == [signal.SIGTERM]
"""


def test_a_signal_after_another_thread_let_an_openvino_network_go(tmp_path: Path) -> None:
    """OpenVINO's own stack for signal handlers must outlive the network, or the process ends by a crash."""
    pytest.importorskip("openvino")
    path = export_network(tmp_path / "m.onnx", "tiny")
    subprocess.run([sys.executable, "-c", SIGNAL_AFTER_RELEASE, str(path)], check=True)
