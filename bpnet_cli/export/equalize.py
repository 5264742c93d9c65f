"""Channels of one size, so that one INT8 scale fits all of a tensor's.

A convolution's channel may be divided by a number that its readers multiply by: behind ReLU the network stays the same
(Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019; the split between
activations and weights is that of Xiao et al., SmoothQuant, ICML 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A channel is scaled by this factor at most: one that never lights up on the photos may light up later.
_LARGEST_FACTOR = 32.0


@dataclass(frozen=True)
class _Pair:
    """A convolution and the one that alone reads it. tensor: between them, behind the ReLU."""

    first: Any
    second: Any
    tensor: str


def equalize(model: Any, name: str, inputs: Iterable[NDArray[Any]]) -> None:
    """Scale the channels between pairs of convolutions of a float32 ONNX model in place; its maps stay the same.

    name: of the model's input. inputs: photos as it takes them, whose activations tell how large each channel gets.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = [pair for pair in _pairs(model.graph) if _known(pair, constants)]
    if not pairs:
        return
    ranges = _channel_ranges(model, name, [pair.tensor for pair in pairs], inputs)
    for pair in pairs:
        first, second = (numpy_helper.to_array(constants[node.input[1]]) for node in (pair.first, pair.second))
        factors = _factors(ranges[pair.tensor], second, is_depthwise(pair.second, constants))
        shape = (-1, 1, 1, 1)
        _replace(constants[pair.first.input[1]], first / factors.reshape(shape))
        if len(pair.first.input) > 2:
            bias = constants[pair.first.input[2]]
            _replace(bias, numpy_helper.to_array(bias) / factors)
        place = shape if is_depthwise(pair.second, constants) else (1, -1, 1, 1)
        _replace(constants[pair.second.input[1]], second * factors.reshape(place))


def is_depthwise(node: Any, constants: Any) -> bool:
    """Whether a convolution works on each channel by itself."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return bool(groups > 1 and groups == constants[node.input[1]].dims[0])


def _factors(ranges: NDArray[Any], kernel: NDArray[Any], depthwise: bool) -> NDArray[np.float32]:
    """(C,) what each channel is divided by.

    A depthwise kernel is quantised with a scale for each channel, so nothing is lost there.
    """
    largest = max(float(ranges.max()), np.finfo(np.float32).tiny)
    factors = ranges / largest
    if not depthwise:
        weights = np.abs(kernel).max(axis=(0, 2, 3))
        factors = np.sqrt(factors / np.maximum(weights / max(float(weights.max()), 1e-12), 1e-6))
        factors = factors / max(float(factors.max()), 1e-12)
    return np.asarray(np.maximum(factors, 1 / _LARGEST_FACTOR), np.float32)


def _pairs(graph: Any) -> list[_Pair]:
    outputs = {value.name for value in graph.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for read in node.input:
            readers.setdefault(read, []).append(node)
    pairs = []
    for node in graph.node:
        tensor, following = node.output[0], readers.get(node.output[0], [])
        if node.op_type == "Conv" and len(following) == 1 and following[0].op_type == "Relu":
            tensor = following[0].output[0]
            following = readers.get(tensor, [])
        if node.op_type == "Conv" and len(following) == 1 and following[0].op_type == "Conv" and tensor not in outputs:
            pairs.append(_Pair(node, following[0], tensor))
    return pairs


def _known(pair: _Pair, constants: Any) -> bool:
    """Whether weights are constants of the two alone, and every channel of the second reads one or all of the first."""
    names = [*pair.first.input[1:], pair.second.input[1]]
    if not all(name in constants for name in names):
        return False
    depthwise = is_depthwise(pair.second, constants)
    first, second = (constants[node.input[1]].dims for node in (pair.first, pair.second))
    return bool(first[0] == second[0] if depthwise else first[0] == second[1])


def _channel_ranges(
    model: Any, name: str, tensors: Sequence[str], inputs: Iterable[NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """Largest absolute value of each channel, (C,), over all inputs."""
    import onnx
    import onnxruntime as ort

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for tensor in tensors:
        # Only the maxima leave the graph: the activations of a photo are hundreds of megabytes.
        largest = onnx.helper.make_node("GlobalMaxPool", [f"{tensor}/abs"], [f"{tensor}/range"])
        probe.graph.node.extend([onnx.helper.make_node("Abs", [tensor], [f"{tensor}/abs"]), largest])
        probe.graph.output.append(onnx.helper.make_tensor_value_info(f"{tensor}/range", 1, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges: list[NDArray[np.float32]] = []
    for values in inputs:
        found = [largest.max(axis=(0, 2, 3)) for largest in session.run(None, {name: values})]
        ranges = [np.maximum(old, new) for old, new in zip(ranges, found, strict=True)] if ranges else found
    return dict(zip(tensors, ranges, strict=True))


def _replace(tensor: Any, values: NDArray[Any]) -> None:
    from onnx import numpy_helper

    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), tensor.name))
