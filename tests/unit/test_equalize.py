"""Channels of one size: the float network stays, and INT8 loses less."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from bpnet_cli.export.equalize import equalize  # noqa: E402
from tests.unit.pytorch_style import Writer, pose_network  # noqa: E402

PHOTOS = [np.random.default_rng(i).normal(size=(1, 3, 32, 48)).astype(np.float32) for i in range(3)]


def run(model, values):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": values})


def uneven():
    """A depthwise chain whose channels differ by a thousand."""
    w = Writer()
    x = w.node("Relu", w.conv("input", 3, 8, 3, strides=[8, 8], pads=[1] * 4))
    x = w.node("Relu", w.conv(x, 8, 8, 3, group=8, pads=[1] * 4))
    w.conv(x, 8, 19, 1, output="heat")
    for index, factor in ((0, np.logspace(0, 3, 8)), (1, np.logspace(0, 3, 8))):
        kernel = numpy_helper.to_array(w.constants[index]).astype(np.float32)
        shape = (8, 1, 1, 1) if kernel.ndim == 4 else (8,)
        w.constants[index].CopyFrom(
            numpy_helper.from_array((kernel * factor.reshape(shape)).astype(np.float32), f"c{index}")
        )
    return w.model({"heat": 19})


@pytest.mark.parametrize("make", [pose_network, uneven])
def test_maps_stay_the_same(make) -> None:
    model = make()
    expected = run(model, PHOTOS[0])
    equalize(model, "input", PHOTOS)
    for a, b in zip(expected, run(model, PHOTOS[0]), strict=True):
        assert np.allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_channels_before_a_depthwise_convolution_get_one_size() -> None:
    model = uneven()
    probe = onnx.ModelProto()

    def spread() -> float:
        probe.CopyFrom(model)
        tensor = next(node for node in probe.graph.node if node.op_type == "Relu").output[0]
        probe.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))
        largest = np.max([run(probe, values)[-1].max(axis=(0, 2, 3)) for values in PHOTOS], axis=0)
        return float(largest.max() / largest.min())

    before = spread()
    equalize(model, "input", PHOTOS)
    assert before > 300
    # A factor is at most 32.
    assert spread() < before / 20
