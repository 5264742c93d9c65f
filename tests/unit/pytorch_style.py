"""A small pose network as PyTorch's exporter writes them: channels first, nothing but `onnx.helper`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEATMAPS, PAFS = 19, 38


class Writer:
    """Collects nodes and constants; `conv` and the rest return the name of their output."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, *shape: int, low: float = -1.0, high: float = 1.0) -> str:
        name = f"c{len(self.constants)}"
        values = self.rng.uniform(low, high, shape).astype(np.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def given(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"/features/{kind}_{len(self.nodes)}_output"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"/n{len(self.nodes)}/{kind}", **attributes)
        )
        return output

    def conv(self, x: str, width: int, to: int, size: int, *, group: int = 1, output: str = "", **how: Any) -> str:
        kernel = self.constant(to, width // group, size, size, low=-0.3, high=0.3)
        return self.node(
            "Conv", x, kernel, self.constant(to), group=group, kernel_shape=[size] * 2, output=output, **how
        )

    def norm(self, x: str, width: int) -> str:
        positive = {"low": 0.5, "high": 1.5}
        parts = [self.constant(width, **positive), self.constant(width), self.constant(width)]
        return self.node("BatchNormalization", x, *parts, self.constant(width, **positive), epsilon=1e-5)

    def model(self, outputs: dict[str, int], size: tuple[Any, Any] = ("h", "w")) -> Any:
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["b", 3, *size])
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", c, "r", "q"]) for n, c in outputs.items()]
        graph = helper.make_graph(self.nodes, "main_graph", [image], values, self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made, full_check=False)
        return made


def pose_network(*, extra: str = "", heatmaps: int = HEATMAPS) -> Any:
    """Two stages; strided and dilated convolutions padded on both sides, depthwise ones, a residual sum.

    extra: an operator put in the middle of the trunk.
    """
    w = Writer()
    x = w.node("Relu", w.norm(w.conv("input", 3, 8, 3, strides=[2, 2], pads=[1] * 4), 8))
    x = w.node("LeakyRelu", w.conv(x, 8, 8, 3, group=8, strides=[2, 2], pads=[1] * 4), alpha=0.1)
    x = w.node("Pad", x, w.given(np.array([0, 0, 1, 1, 0, 0, 0, 0])))
    x = w.conv(x, 8, 16, 2, strides=[2, 2])
    x = w.node("Clip", x, w.given(np.float32(0)), w.given(np.float32(6)))
    x = w.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    if extra:
        x = w.node(extra, x)
    y = w.node("Elu", w.conv(x, 16, 16, 3, pads=[2] * 4, dilations=[2, 2]), alpha=1.0)
    x = w.node("PRelu", w.node("Add", x, y), w.constant(16, 1, 1))
    x = w.node("Mul", w.node("Sigmoid", x), x)
    maps = []
    for stage in (1, 2):
        features = x if stage == 1 else w.node("Concat", x, *maps, axis=1)
        width = 16 if stage == 1 else 16 + heatmaps + PAFS
        hidden = w.node("Relu", w.conv(features, width, 8, 1))
        maps = [w.conv(hidden, 8, heatmaps, 1, output=f"heat{stage}"), w.conv(hidden, 8, PAFS, 1, output=f"paf{stage}")]
    return w.model({"heat1": heatmaps, "paf1": PAFS, "heat2": heatmaps, "paf2": PAFS})
