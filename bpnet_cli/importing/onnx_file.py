"""Reads an ONNX file from PyTorch, TensorFlow, NVIDIA's TAO or bpnet as a `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError
from bpnet_cli.importing.graph import Folding, Graph, ImageInput, Node, unknown
from bpnet_cli.importing.onnx_constants import FOLDED

_ARITHMETIC = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
_FUNCTIONS = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "HardSwish": "hard_swish",
}
# These are dropped: they only change types or round activations, and a Keras graph computes in float.
_DROPPED = ("Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear")


def read_onnx(path: str | Path) -> Graph:
    """Read the graph of a file.

    An operator that can't be imported becomes a node of kind "refused". Raises ModelFileError if the file is damaged,
    if it doesn't have one photo as input, or if a constant can't be computed.
    """
    import onnx

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=False)
    except Exception as error:  # noqa: BLE001 - protobuf's and the checker's errors have no common base but this one
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(f"{path}: not a whole ONNX file ({reason})") from None
    constants = {tensor.name: _array(tensor, path) for tensor in model.graph.initializer}
    image = _image(model.graph, constants, path)
    reader = _Reader(str(path), Folding(constants))
    for node in model.graph.node:
        reader.add(node)
    outputs = [value.name for value in model.graph.output]
    rounded = any(node.op_type == "QuantizeLinear" for node in model.graph.node) or any(
        tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer
    )
    graph = Graph(str(path), image, reader.nodes, reader.folding.constants, outputs, rounded)
    return graph.without_identities()


def _image(graph: Any, constants: Mapping[str, Any], path: str | Path) -> ImageInput:
    import onnx

    inputs = [value for value in graph.input if value.name not in constants]
    axes = [[axis.dim_value or None for axis in value.type.tensor_type.shape.dim] for value in inputs]
    if len(axes) != 1 or len(axes[0]) != 4 or 3 not in axes[0][1::2]:
        found = ", ".join(f"{value.name} {shape}" for value, shape in zip(inputs, axes, strict=True))
        raise ModelFileError(
            f"{path}: must have one input, a photo with 3 channels (got {found or 'none'}); nothing was written"
        )
    first = axes[0][1] == 3
    batch, height, width = (axes[0][axis] for axis in ((0, 2, 3) if first else (0, 1, 2)))
    kind = onnx.helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)
    size = (height, width) if height and width else None
    return ImageInput(inputs[0].name, first, str(kind), size=size, batch=batch)


@dataclass(frozen=True, eq=False)
class _Operator:
    """One ONNX node with its attributes, and the reader that has the file's constants."""

    node: Any
    attributes: Mapping[str, Any]
    reader: _Reader

    @property
    def kind(self) -> str:
        return str(self.node.op_type)

    @property
    def name(self) -> str:
        """Name for messages and layers. PyTorch's exporter before version 2 gives nodes no names."""
        return str(self.node.name or self.node.output[0])

    def constant(self, index: int) -> NDArray[Any] | None:
        """The constant at input number `index`; None without this input. Raises ModelFileError if it is no constant."""
        if index >= len(self.node.input) or not self.node.input[index]:
            return None
        array = self.reader.folding.constants.get(self.node.input[index])
        if array is None:
            raise self.unknown(f"its input {self.node.input[index]!r} is not a constant")
        return array

    def unknown(self, what: str = "") -> ModelFileError:
        return unknown(self.reader.path, self.kind, self.name, what)

    def make(self, kind: str, count: int = 1, **attributes: Any) -> Node:
        return Node(kind, self.name, tuple(self.node.input[:count]), self.node.output[0], attributes)


class _Reader:
    def __init__(self, path: str, folding: Folding) -> None:
        self.path, self.folding = path, folding
        self.nodes: list[Node] = []

    def add(self, node: Any) -> None:
        """Add a node to the graph, or compute it if all its inputs are constants."""
        import onnx

        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        op, known = _Operator(node, attributes, self), self.folding.known(node.input)
        if op.kind in FOLDED and known:
            given = [self.folding.constants[name] if name else None for name in node.input]
            value = FOLDED[op.kind](attributes, given)
            if value is None:
                raise op.unknown("its value can't be computed")
            self.folding.constants[node.output[0]] = value
        else:
            try:
                made = self._node(op)
            except ModelFileError as error:
                made = op.make("refused", len(node.input), error=error)
            if not self.folding.arithmetic(made):
                self.nodes.append(made)

    def _node(self, op: _Operator) -> Node:
        if op.node.domain not in ("", "ai.onnx"):
            raise op.unknown(f"it is from the operator domain {op.node.domain}")
        if op.kind in _ARITHMETIC:
            return op.make(_ARITHMETIC[op.kind], 2)
        if op.kind in _DROPPED:
            return op.make("identity")
        if op.kind in _FUNCTIONS:
            return op.make("activation", function=_FUNCTIONS[op.kind])
        if op.kind not in _READERS:
            raise op.unknown()
        return _READERS[op.kind](op)


def _convolution(op: _Operator) -> Node:
    kernel = op.constant(1)
    if kernel is None or kernel.ndim != 4:
        raise op.unknown("its kernel is not a constant with four axes")
    attributes = op.attributes
    return op.make(
        "convolution",
        3,
        strides=tuple(attributes.get("strides", (1, 1))),
        dilations=tuple(attributes.get("dilations", (1, 1))),
        pads=_pads(op),
        groups=int(attributes.get("group", 1)),
    )


def _pads(op: _Operator) -> Any:
    words = {b"SAME_UPPER": "same_upper", b"SAME_LOWER": "same_lower", b"VALID": (0, 0, 0, 0)}
    automatic = op.attributes.get("auto_pad", b"NOTSET")
    return words.get(automatic, tuple(op.attributes.get("pads", (0, 0, 0, 0))))


def _repeating(op: _Operator) -> Node:
    """A transposed convolution that only repeats the values of each channel on a finer grid: NVIDIA's last layer."""
    kernel = op.constant(1)
    if kernel is None:
        raise op.unknown("its kernel is not a constant")
    one = np.eye(len(kernel)) if kernel.shape[1] == len(kernel) else np.ones(kernel.shape[:2])
    if not np.array_equal(kernel, np.broadcast_to(one[:, :, None, None], kernel.shape)):
        raise op.unknown("a transposed convolution that does more than repeat values")
    factors = tuple(float(stride) for stride in op.attributes.get("strides", (1, 1)))
    return op.make("resize", mode="nearest", scales=(1.0, 1.0, *factors))


def _batch_norm(op: _Operator) -> Node:
    return op.make("batch_norm", 5, epsilon=float(op.attributes.get("epsilon", 1e-5)))


def _pool(op: _Operator) -> Node:
    attributes = op.attributes
    if any(rate != 1 for rate in attributes.get("dilations", (1, 1))):
        raise op.unknown("it is dilated")
    return op.make(
        "max_pool" if op.kind == "MaxPool" else "average_pool",
        kernel=tuple(attributes["kernel_shape"]),
        strides=tuple(attributes.get("strides", (1, 1))),
        pads=_pads(op),
        count_padding=bool(attributes.get("count_include_pad", 0)),
        round_up=bool(attributes.get("ceil_mode", 0)),
    )


def _elu(op: _Operator) -> Node:
    return op.make("activation", function="elu", alpha=float(op.attributes.get("alpha", 1.0)))


def _leaky_relu(op: _Operator) -> Node:
    return op.make("activation", function="leaky_relu", alpha=float(op.attributes.get("alpha", 0.01)))


def _prelu(op: _Operator) -> Node:
    slopes = op.constant(1)
    if slopes is None:
        raise op.unknown("it has no slopes")
    return op.make("activation", function="prelu", slopes=slopes.reshape(-1))


def _clip(op: _Operator) -> Node:
    bounds = [op.attributes.get(name, op.constant(index)) for index, name in ((1, "min"), (2, "max"))]
    if any(bound is not None and np.size(bound) != 1 for bound in bounds):
        raise op.unknown("its bounds are not single numbers")
    low, high = (None if bound is None else float(np.asarray(bound).item()) for bound in bounds)
    return op.make(
        "activation", function="clip", low=-np.inf if low is None else low, high=np.inf if high is None else high
    )


def _concat(op: _Operator) -> Node:
    return op.make("concatenate", len(op.node.input), axis=int(op.attributes["axis"]))


def _transpose(op: _Operator) -> Node:
    return op.make("transpose", order=tuple(op.attributes.get("perm", (3, 2, 1, 0))))


def _pad(op: _Operator) -> Node:
    pads, value, axes = op.attributes.get("pads"), op.attributes.get("value", 0.0), op.constant(3)
    if pads is None:
        array = op.constant(1)
        pads = array.astype(int).tolist() if array is not None else []
        filling = op.constant(2)
        value = 0.0 if filling is None else float(filling)
    if op.attributes.get("mode", b"constant") != b"constant" or value:
        raise op.unknown("it doesn't pad with zeros")
    if axes is not None:
        count = len(axes)
        full = [0] * 8
        for place, axis in enumerate(axes.astype(int).tolist()):
            full[axis % 4], full[4 + axis % 4] = pads[place], pads[count + place]
        pads = full
    return op.make("pad", pads=tuple(pads))


def _resize(op: _Operator) -> Node:
    mode = op.attributes.get("mode", b"nearest").decode()
    scales = op.attributes.get("scales", op.constant(len(op.node.input) - 1) if op.kind == "Upsample" else None)
    if op.kind == "Resize":
        scales = op.constant(2) if len(op.node.input) > 2 else op.constant(1)
    if scales is None or len(scales) != 4:
        raise op.unknown("its scales are not a constant of four numbers")
    where = op.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = op.attributes.get("nearest_mode", b"round_prefer_floor").decode()
    # With whole factors, these modes repeat every value. Other modes take values of neighbours at the edges of a block.
    repeats = (where == "asymmetric" and rounding == "floor") or where.startswith("half_pixel")
    if op.kind == "Resize" and mode == "nearest" and not repeats:
        raise op.unknown(f"{where}, {rounding}")
    return op.make("resize", mode=mode, scales=tuple(np.asarray(scales, float).tolist()))


_READERS: dict[str, Callable[[_Operator], Node]] = {
    "Conv": _convolution,
    "ConvTranspose": _repeating,
    "BatchNormalization": _batch_norm,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Elu": _elu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Clip": _clip,
    "Concat": _concat,
    "Transpose": _transpose,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
}


def _array(tensor: Any, path: str | Path) -> NDArray[Any]:
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor, base_dir=str(Path(path).parent)))
    except (ValueError, TypeError, OSError) as error:
        raise ModelFileError(f"{path}: constant {tensor.name!r} can't be read ({error})") from None
