"""Gives the channels of a tensor similar ranges, so that one INT8 scale fits all of them.

A channel of a convolution can be divided by a positive number, if the next convolution multiplies it by this number.
This also holds with a ReLU between them, and the network's result stays the same. Sources: Nagel et al., Data-free
quantization through weight equalization and bias correction, ICCV 2019; the split between activations and weights is
from Xiao et al., SmoothQuant, ICML 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A channel is scaled by this factor at most: a channel that is zero on all these photos may be active on others.
_LARGEST_FACTOR = 32.0


@dataclass(frozen=True)
class _Pair:
    """A convolution, and the convolution that is the only reader of its output.

    tensor: name of the tensor that `second` reads, after the ReLU if there is one.
    """

    first: Any
    second: Any
    tensor: str


def equalize(model: Any, name: str, inputs: Iterable[NDArray[Any]]) -> None:
    """Scale the channels between pairs of convolutions in a float32 ONNX model, in place. The maps stay the same.

    name: name of the model's input. inputs: values for this input. Their activations show the range of each channel.
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
    """Whether a convolution is depthwise, so works on each channel separately."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return bool(groups > 1 and groups == constants[node.input[1]].dims[0])


def _factors(ranges: NDArray[Any], kernel: NDArray[Any], depthwise: bool) -> NDArray[np.float32]:
    """(C,) the number that each channel is divided by.

    For a depthwise kernel, only the activations count: such a kernel is quantised with one scale for each channel, so
    scaling it loses nothing.
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
    """Whether the weights of a pair are constants, and the second convolution is depthwise or reads all channels."""
    names = [*pair.first.input[1:], pair.second.input[1]]
    if not all(name in constants for name in names):
        return False
    depthwise = is_depthwise(pair.second, constants)
    first, second = (constants[node.input[1]].dims for node in (pair.first, pair.second))
    return bool(first[0] == second[0] if depthwise else first[0] == second[1])


def _channel_ranges(
    model: Any, name: str, tensors: Sequence[str], inputs: Iterable[NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """For each tensor name, (C,) the largest absolute value of each channel over all inputs."""
    import onnx
    import onnxruntime as ort

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for tensor in tensors:
        # Only the maxima are outputs, because the activations of one photo need hundreds of megabytes.
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
