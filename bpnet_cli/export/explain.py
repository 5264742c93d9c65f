"""What each quantised convolution costs: the error of the maps if only this one is quantised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.export.layers import convolutions
from bpnet_cli.log import progress

Values = dict[str, NDArray[Any]]

# Number of photos to measure on. The order of the layers hardly depends on it.
EXPLAINED = 3


@dataclass(frozen=True)
class Cost:
    """What quantising one convolution costs.

    layer: its Keras name. weights: error of its weights as a share of the weights (root mean squares), mean over the
    output channels. maps: mean absolute difference of all map values to float32 if only this convolution is quantised:
    its weights, what it reads and what it makes.
    """

    layer: str
    weights: float
    maps: float


def layer_costs(quantized: Any, exact: Any, feeds: Sequence[Values]) -> list[Cost]:
    """The costs of all quantised convolutions, the highest first; nothing without feeds.

    quantized: made of `exact` by ONNX Runtime's quantiser (QDQ), with the same names of nodes and tensors. feeds: {name
    of the input: values}.
    """
    import onnx

    if not feeds:
        return []
    constants, floats = (
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for model in (quantized, exact)
    )
    rounded = _rounded_weights(quantized.graph, constants)
    steps = {node.input[0]: node for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    expected = _maps(exact, feeds)
    nodes = [node for node in convolutions(exact.graph) if node.name in rounded]
    costs = []
    for node in progress(nodes, len(nodes), "measuring layers"):
        weights = floats[node.input[1]]
        change = rounded[node.name] - weights
        model = _only(exact, node, rounded[node.name], steps, constants)
        error = np.mean([np.abs(a - b).mean() for a, b in zip(_maps(model, feeds), expected, strict=True)])
        sizes = [np.linalg.norm(values.reshape(len(values), -1), axis=1) for values in (change, weights)]
        share = np.mean(sizes[0] / np.maximum(sizes[1], np.finfo(np.float32).tiny))
        costs.append(Cost(node.name, float(share), float(error)))
    return sorted(costs, key=lambda cost: -cost.maps)


def cost_table(costs: Sequence[Cost]) -> list[str]:
    """The costs as lines of text."""
    width = max([len(cost.layer) for cost in costs], default=0)
    head = [
        "cost of each int8 convolution (its weights' error; error of the maps if only this convolution is int8):",
        f"  {'layer':<{width}}  weights      maps",
    ]
    return head + [f"  {cost.layer:<{width}}  {cost.weights:7.2%}  {cost.maps:.2e}" for cost in costs]


def _rounded_weights(graph: Any, constants: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """For the name of each quantised convolution, its weights as the int8 numbers give them."""
    makers = {node.output[0]: node for node in graph.node}
    found = {}
    for node in convolutions(graph):
        maker = makers.get(node.input[1])
        if maker is not None and maker.op_type == "DequantizeLinear":
            numbers, scale, zero = (constants[name] for name in maker.input)
            shape = (-1, *[1] * (numbers.ndim - 1))
            steps = numbers.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            found[node.name] = np.asarray(steps * scale.reshape(shape), np.float32)
    return found


def _only(
    exact: Any, convolution: Any, weights: NDArray[Any], steps: dict[str, Any], constants: dict[str, NDArray[Any]]
) -> Any:
    """A copy of the float model in which one convolution is quantised. steps: by tensor, the node that quantises it."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(exact)
    graph = model.graph
    node = next(node for node in graph.node if node.name == convolution.name)
    name = f"{node.name}/rounded"
    graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    node.input[1] = name
    for tensor in {node.input[0], _quantised_output(graph, node, steps)} & steps.keys():
        _round_tensor(graph, tensor, [constants[each] for each in steps[tensor].input[1:]], node)
    return model


def _quantised_output(graph: Any, node: Any, steps: dict[str, Any]) -> str:
    """The tensor that is quantised behind a convolution: its own output, or that of the activation function."""
    output = str(node.output[0])
    readers = [each for each in graph.node if output in each.input]
    return output if output in steps or len(readers) != 1 else str(readers[0].output[0])


def _round_tensor(graph: Any, tensor: str, numbers: Sequence[NDArray[Any]], convolution: Any) -> None:
    """Round a tensor to its quantised values, in place: for `convolution` if it reads it, else for all readers."""
    import onnx

    scale, zero = (f"{tensor}/{word}" for word in ("step", "zero"))
    graph.initializer.extend(
        onnx.numpy_helper.from_array(values, name) for values, name in zip(numbers, (scale, zero), strict=True)
    )
    whole, back = f"{tensor}/whole", f"{tensor}/back"
    reads = tensor == convolution.input[0]
    for reader in [convolution] if reads else graph.node:
        reader.input[:] = [back if name == tensor else name for name in reader.input]
    place = next(i for i, node in enumerate(graph.node) if back in node.input)
    pair = ("QuantizeLinear", tensor, whole), ("DequantizeLinear", whole, back)
    for kind, read, made in reversed(pair):
        graph.node.insert(place, onnx.helper.make_node(kind, [read, scale, zero], [made]))


def _maps(model: Any, feeds: Sequence[Values]) -> list[NDArray[np.float32]]:
    """All map values of each feed, as one row."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Otherwise ONNX Runtime quantises weights between quantised tensors once more, with one scale for all channels.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.concatenate([maps.ravel() for maps in session.run(None, feed)]) for feed in feeds]
