"""A network as its file has it, in a small set of operations. Readers make a `Graph`; `keras_graph` builds from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError

_REASON = 200
# Element-wise arithmetic of two operands.
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


@dataclass(frozen=True)
class Node:
    """One operation.

    kind: one of the kinds below. name: name in the file, for messages and layer names. inputs: names of tensors or
    constants; "" for an optional input that is missing. output: name of its only tensor.

    Kinds and their attributes:
    - convolution: strides, dilations (y, x), pads (top, left, bottom, right) or "same_upper" or "same_lower", groups;
      inputs x, kernel (out, in / groups, height, width), optional bias.
    - batch_norm: epsilon; inputs x, scale, offset, mean, variance.
    - activation: function, and its numbers. concatenate: axis. transpose: order.
    - pad: pads of all axes, first all begins, then all ends.
    - max_pool, average_pool: kernel, strides, pads, count_padding, round_up. resize: scales of all axes, mode.
    - add, subtract, multiply, divide, identity: none.
    - refused: error. The operation can't be imported. The error is raised only if the maps need the operation, because
      other outputs of a file, for example peaks, may use any operation.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ImageInput:
    """The form in which a network takes photos.

    name: name of the file's input. channels_first: axes (B, 3, H, W) if true, otherwise (B, H, W, 3).
    dtype: of the file's input. scale, offset: value = pixel * scale + offset for each channel, in the file's order.
    bgr: whether this order is BGR; otherwise it is RGB. size, batch: the only (height, width) and the only batch size
    that the file takes; None: any.
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
        """Convert (B, H, W, 3) uint8 RGB photos to the values that the file takes."""
        values = images[..., ::-1] if self.bgr else images
        if self.dtype != "uint8":
            values = (values * np.array(self.scale) + np.array(self.offset)).astype(self.dtype)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if self.channels_first else values)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network.

    path: the file, for messages. nodes: each node comes after the nodes that it reads. constants: by name.
    outputs: names of tensors, in the file's order. rounded: whether the file computes in lower precision than float32;
    the nodes here don't show this.
    """

    path: str
    image: ImageInput
    nodes: Sequence[Node]
    constants: Mapping[str, NDArray[Any]]
    outputs: Sequence[str]
    rounded: bool = False

    def consumers(self) -> Counter[str]:
        """For each tensor, how often nodes and outputs read it."""
        return Counter(name for node in self.nodes for name in node.inputs) + Counter(self.outputs)

    def without_identities(self) -> Graph:
        """The same graph without identity nodes: their readers read the identity's input instead."""
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
        """The part of the graph that these tensors depend on. These tensors are its outputs."""
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


@contextmanager
def building(path: str, node: Node) -> Iterator[None]:
    """An operation whose attributes Keras or numpy refuse in the block can't be imported; see `unknown`."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:_REASON]
        raise unknown(path, node.kind, node.name, reason) from None


class Folding:
    """Computes constants while a file is read: a tensor that depends only on constants is a constant too."""

    def __init__(self, constants: Mapping[str, NDArray[Any]]) -> None:
        self.constants: dict[str, NDArray[Any]] = dict(constants)

    def known(self, names: Sequence[str]) -> bool:
        """Whether all of these names are constants; "" (a missing input) counts as one."""
        return all(name in self.constants for name in names if name)

    def arithmetic(self, node: Node) -> bool:
        """Compute a node if all its inputs are constants and its kind is simple; returns whether this was done.

        Simple kinds are those of `ARITHMETIC`, transpose and identity.
        """
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
