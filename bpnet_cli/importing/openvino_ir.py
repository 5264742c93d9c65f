"""Reads OpenVINO IR (`.xml` with its `.bin`), float or INT8, as a `Graph`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bpnet_cli.errors import ModelFileError
from bpnet_cli.importing.graph import Folding, Graph, ImageInput, Node, unknown
from bpnet_cli.inference.openvino import check_weights, openvino_core, read_openvino

_ARITHMETIC = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide"}
_FUNCTIONS = {
    "Relu": "relu",
    "ReLU": "relu",
    "Elu": "elu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HSwish": "hard_swish",
    "Swish": "silu",
    "SoftPlus": "softplus",
}
# These are dropped: they change types, or round activations to 256 levels. A Keras graph computes in float, and export
# quantises again.
_DROPPED = ("FakeQuantize", "Convert")


def read_openvino_ir(path: str | Path) -> Graph:
    """Read the graph of an IR file.

    An operator that can't be imported becomes a node of kind "refused". Raises ModelFileError if the file or its `.bin`
    is missing or damaged, or if it doesn't have one photo as input; BpnetError without OpenVINO.
    """
    check_weights(path)
    model = read_openvino(openvino_core(), path)
    operations = model.get_ordered_ops()
    constants = {_name(op.output(0)): _data(op, path) for op in operations if op.get_type_name() == "Constant"}
    folding = Folding(constants)
    images, nodes = [], []
    for op in operations:
        kind = op.get_type_name()
        if kind in ("Constant", "Result"):
            continue
        if kind == "Parameter":
            images.append(op)
            continue
        inputs = tuple(_name(value.get_source_output()) for value in op.inputs())
        if kind == "Reshape" and folding.known(inputs):
            folding.constants[_name(op.output(0))] = folding.constants[inputs[0]].reshape(
                folding.constants[inputs[1]].astype(int)
            )
        else:
            try:
                node = _node(op, kind, inputs, folding, str(path))
            except ModelFileError as error:
                node = Node("refused", op.get_friendly_name(), inputs, _name(op.output(0)), {"error": error})
            if not folding.arithmetic(node):
                nodes.append(node)
    outputs = [_name(result.input(0).get_source_output()) for result in model.get_results()]
    rounded = any(op.get_type_name() == "FakeQuantize" for op in operations)
    graph = Graph(str(path), _image(images, path), nodes, folding.constants, outputs, rounded)
    return graph.without_identities()


def _image(parameters: list[Any], path: str | Path) -> ImageInput:
    shapes = [op.output(0).partial_shape for op in parameters]
    axes = [[axis.get_length() if axis.is_static else None for axis in shape] for shape in shapes]
    if len(axes) != 1 or len(axes[0]) != 4 or 3 not in axes[0][1::2]:
        raise ModelFileError(f"{path}: must have one input, a photo with 3 channels (got {axes})")
    # The model is reshaped before it runs (`original`), so a size in the file is no limit.
    kind = "uint8" if parameters[0].output(0).get_element_type().get_type_name() == "u8" else "float32"
    return ImageInput(_name(parameters[0].output(0)), channels_first=axes[0][1] == 3, dtype=kind)


def _node(op: Any, kind: str, inputs: tuple[str, ...], folding: Folding, path: str) -> Node:
    name, output = op.get_friendly_name(), _name(op.output(0))

    def node(own_kind: str, count: int = 1, **attributes: Any) -> Node:
        return Node(own_kind, name, inputs[:count], output, attributes)

    if kind in _ARITHMETIC:
        return node(_ARITHMETIC[kind], 2)
    if kind in _DROPPED:
        return node("identity")
    if kind in _FUNCTIONS:
        return node("activation", function=_FUNCTIONS[kind], alpha=float(op.get_attributes().get("alpha", 1.0)))
    reader = _READERS.get(kind)
    if reader is None:
        raise unknown(path, kind, name)
    return reader(op, inputs, folding, node, path)


def _convolution(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    attributes = op.get_attributes()
    kernel = folding.constants.get(inputs[1])
    if kernel is None:
        raise unknown(path, op.get_type_name(), op.get_friendly_name(), "its kernel is not a constant")
    groups = 1
    if op.get_type_name() == "GroupConvolution":
        # The kernel's axes in the file are (groups, out, in, height, width).
        groups = kernel.shape[0]
        folding.constants[inputs[1]] = kernel.reshape(-1, *kernel.shape[2:]) if kernel.ndim == 5 else kernel
    pads = {"same_upper": "same_upper", "same_lower": "same_lower", "valid": (0, 0, 0, 0)}.get(
        str(attributes.get("auto_pad", "explicit")), (*attributes["pads_begin"], *attributes["pads_end"])
    )
    return node(
        "convolution", 2, strides=attributes["strides"], dilations=attributes["dilations"], pads=pads, groups=groups
    )


def _pool(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    attributes = op.get_attributes()
    return node(
        "max_pool" if op.get_type_name() == "MaxPool" else "average_pool",
        kernel=attributes["kernel"],
        strides=attributes["strides"],
        pads=(*attributes["pads_begin"], *attributes["pads_end"]),
        count_padding=not attributes.get("exclude-pad", True),
        round_up=str(attributes.get("rounding_type", "floor")) != "floor",
    )


def _prelu(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    slopes = folding.constants.get(inputs[1])
    if slopes is None:
        raise unknown(path, "PRelu", op.get_friendly_name(), "its slopes are not a constant")
    return node("activation", function="prelu", slopes=slopes.reshape(-1))


def _clamp(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    attributes = op.get_attributes()
    return node("activation", function="clip", low=float(attributes["min"]), high=float(attributes["max"]))


def _concat(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    return node("concatenate", len(inputs), axis=int(op.get_attributes()["axis"]))


def _interpolate(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    """Resizing with nearest neighbours, in the modes that repeat every value if the factor is whole."""
    attributes, name = op.get_attributes(), op.get_friendly_name()
    # Before opset 11, the input with the sizes comes before the input with the scales.
    first = 1 if op.get_type_info().version_id == "opset11" else 2
    scales, axes = (folding.constants.get(inputs[i]) if len(inputs) > i else None for i in (first, first + 1))
    if scales is None or attributes.get("shape_calculation_mode") != "scales":
        raise unknown(path, "Interpolate", name, "its scales are not a constant")
    where, rounding = attributes["coordinate_transformation_mode"], attributes["nearest_mode"]
    repeats = (where == "asymmetric" and rounding == "floor") or where == "half_pixel"
    if attributes["mode"] != "nearest" or not repeats:
        raise unknown(path, "Interpolate", name, f"{attributes['mode']}, {where}, {rounding}")
    full = [1.0] * 4
    places = range(4) if axes is None else axes.astype(int).tolist()
    for axis, scale in zip(places, scales.tolist(), strict=True):
        full[axis] = scale
    return node("resize", mode="nearest", scales=tuple(full))


def _transpose(op: Any, inputs: Any, folding: Folding, node: Callable[..., Node], path: str) -> Node:
    return node("transpose", order=tuple(folding.constants[inputs[1]].astype(int).tolist()))


_READERS: dict[str, Callable[..., Node]] = {
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "MaxPool": _pool,
    "AvgPool": _pool,
    "PRelu": _prelu,
    "PReLU": _prelu,
    "Clamp": _clamp,
    "Concat": _concat,
    "Interpolate": _interpolate,
    "Transpose": _transpose,
}


def _name(output: Any) -> str:
    """A name for a tensor that is unique in a model. OpenVINO's own tensor names are not unique."""
    return f"{output.get_node().get_friendly_name()}:{output.get_index()}"


def _data(op: Any, path: str | Path) -> Any:
    try:
        return np.array(op.get_data())
    except RuntimeError as error:
        raise ModelFileError(f"{path}: constant {op.get_friendly_name()!r} can't be read ({error})") from None
