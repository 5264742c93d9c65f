"""A network as its file has it, in one small vocabulary: what every reader gives and `keras_graph` builds from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError

# Element-wise arithmetic of two operands.
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


@dataclass(frozen=True)
class Node:
    """One operation. kind: a word of the vocabulary below. name: in the file, for messages and layer names.

    inputs: tensors or constants, "" for one left out. output: its one tensor.

    convolution: strides, dilations (y, x), pads (top, left, bottom, right) or "same_upper" or "same_lower", groups;
    inputs x, kernel (out, in / groups, height, width), perhaps bias. batch_norm: epsilon; inputs x, scale, offset,
    mean, variance. activation: function and its numbers. concatenate: axis. pad: pads of all axes, begins then ends.
    max_pool, average_pool: kernel, strides, pads, count_padding. resize: scales of all axes, mode. transpose: order.
    add, subtract, multiply, divide, and identity. refused: an operation that no layer stands for, with the error to
    raise where the maps need it; other outputs, peaks for example, may be of any kind.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ImageInput:
    """The photo that a network wants. channels_first: (B, 3, H, W), else (B, H, W, 3).

    scale, offset: value = pixel * scale + offset for each channel of the file's own order. bgr: that order. dtype: of
    the file's input. size, batch: the only (height, width) and batch that the file takes; None is any.
    """

    name: str
    channels_first: bool
    dtype: str = "float32"
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bgr: bool = False
    size: tuple[int, int] | None = None
    batch: int | None = None

    def feed(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """(B, H, W, 3) uint8 RGB photos as the file wants them."""
        values = images[..., ::-1] if self.bgr else images
        if self.dtype != "uint8":
            values = (values * np.array(self.scale) + np.array(self.offset)).astype(self.dtype)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if self.channels_first else values)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network. nodes: each after those that it reads. constants: by name. outputs: names of tensors, as in the file.

    path: of the file, for messages. rounded: the file computes in less than float32, which the nodes here don't show.
    """

    path: str
    image: ImageInput
    nodes: Sequence[Node]
    constants: Mapping[str, NDArray[Any]]
    outputs: Sequence[str]
    rounded: bool = False

    def consumers(self) -> Counter[str]:
        """How many nodes and outputs read each tensor."""
        return Counter(name for node in self.nodes for name in node.inputs) + Counter(self.outputs)

    def without_identities(self) -> Graph:
        """The same without nodes that do nothing: who reads them reads what they read."""
        origin: dict[str, str] = {}
        nodes = []
        for node in self.nodes:
            inputs = tuple(origin.get(name, name) for name in node.inputs)
            if node.kind == "identity":
                origin[node.output] = inputs[0]
            else:
                nodes.append(replace(node, inputs=inputs))
        return replace(self, nodes=nodes, outputs=[origin.get(name, name) for name in self.outputs])

    def needed(self, outputs: Sequence[str]) -> Graph:
        """The part of the graph that these tensors depend on, with these as its outputs."""
        wanted, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if node.output in wanted:
                wanted |= set(node.inputs)
                nodes.append(node)
        return replace(self, nodes=nodes[::-1], outputs=list(outputs))


def unknown(path: str, kind: str, name: str, what: str = "") -> ModelFileError:
    """The error for an operation that the importer can't turn into a Keras layer."""
    detail = f" ({what})" if what else ""
    return ModelFileError(f"{path}: operator {kind} of node {name!r} can't be imported{detail}; nothing was written")


class Folding:
    """Constants that a reader computes on its way: what only depends on constants is one."""

    def __init__(self, constants: Mapping[str, NDArray[Any]]) -> None:
        self.constants: dict[str, NDArray[Any]] = dict(constants)

    def known(self, names: Sequence[str]) -> bool:
        """Whether all of these are constants."""
        return all(name in self.constants for name in names if name)

    def arithmetic(self, node: Node) -> bool:
        """Compute a node of `ARITHMETIC`, or pass an identity on, where all that it reads is constant."""
        if not self.known(node.inputs):
            return False
        values = [self.constants[name] for name in node.inputs]
        if node.kind == "identity":
            self.constants[node.output] = values[0]
        elif node.kind == "transpose":
            self.constants[node.output] = values[0].transpose(node.attributes["order"])
        elif node.kind in ARITHMETIC:
            first, second = (value.astype(np.float32) for value in values)
            self.constants[node.output] = ARITHMETIC[node.kind](first, second)
        else:
            return False
        return True
