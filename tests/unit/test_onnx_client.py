"""`examples/onnx_client.py`, run as its reader would: it finds the limbs of a known person and draws them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18, render_targets
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec
from tests.unit.test_predictor import standing_person

onnx = pytest.importorskip("onnx")
CLIENT = Path(__file__).parents[2] / "examples" / "onnx_client.py"


def write_network(path: Path, heatmaps: np.ndarray, pafs: np.ndarray, image: str = "image") -> None:
    """A network with bpnet's metadata that answers every photo with these maps. image: what its input is called."""
    from onnx import TensorProto, helper, numpy_helper

    maps = {"heatmaps": heatmaps[None].astype(np.float32), "pafs": pafs[None].astype(np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{name}_known"], [name]) for name in maps],
        "network",
        [helper.make_tensor_value_info(image, TensorProto.UINT8, ["b", "h", "w", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name, values in maps.items()],
        [numpy_helper.from_array(values, f"{name}_known") for name, values in maps.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = ExperimentSpec.model_validate({"inference": {"input_height": 256}}).model_dump(mode="json")
    metadata = ModelMetadata(spec, BODY_18, 8, 8, 1 / 256, (-0.5,) * 3, "test")
    onnx.helper.set_model_props(model, {ONNX_KEY: metadata.to_json()})
    onnx.save(model, str(path))


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, CLIENT, *words], capture_output=True, text=True)


def test_it_draws_the_limbs_of_a_person(tmp_path: Path) -> None:
    person = standing_person(128, 10, 236)
    write_network(tmp_path / "m.onnx", *render_targets(person[None], 256, 256))
    photo = np.full((512, 512, 3), 90, np.uint8)  # twice the network's input
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    result = run(tmp_path / "m.onnx", tmp_path / "photo.png", tmp_path / "out.png")
    assert result.returncode == 0, result.stderr
    lines = re.findall(r"(\w+) - (\w+): \((\d+), (\d+)\) - \((\d+), (\d+)\)", result.stdout)
    assert {("neck", "right_hip"), ("left_hip", "left_knee"), ("right_elbow", "right_wrist")} <= {x[:2] for x in lines}
    for start, end, *pixels in lines:
        known = [2 * person[BODY_18.keypoints.index(name), :2] for name in (start, end)]
        # Peaks are whole cells, of 8 pixels of the input.
        assert np.abs(np.array(pixels, float).reshape(2, 2) - known).max() <= 9
    drawn = cv2.imread(str(tmp_path / "out.png"))
    assert (drawn != photo).any(axis=2).sum() > 500
    assert len(CLIENT.read_text().splitlines()) < 70


def test_what_it_can_not_use_is_one_line(tmp_path: Path) -> None:
    maps = np.zeros((32, 32, 19)), np.zeros((32, 32, 38))
    plain, nvidias, out = tmp_path / "m.onnx", tmp_path / "tao.onnx", tmp_path / "out.png"
    write_network(plain, *maps)
    write_network(nvidias, *maps, image="input_1:0")
    (tmp_path / "photo.jpg").write_bytes(b"no photo")
    for words, message in (
        ((), "usage: python examples/onnx_client.py MODEL.onnx PHOTO.jpg OUT.jpg"),
        ((plain, tmp_path / "photo.jpg", out), "photo.jpg: can't be read as a photo"),
        ((nvidias, tmp_path / "photo.jpg", out), "tao.onnx: must be a file of bpnet export without --tao-layout"),
    ):
        result = run(*words)
        assert result.returncode == 1
        lines = [line for line in result.stderr.splitlines() if "imread" not in line]  # OpenCV's own warning
        assert len(lines) == 1
        assert message in lines[0]
    assert not out.exists()
