"""Adds channels of zeros to what refinement stages read, because runtimes compute some numbers of channels faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bpnet_cli.export.plain import drop_unread_constants

# Runtimes compute channels in blocks of 8 or 16. The channels that don't fill a block take much longer.
_MULTIPLE = 16


@dataclass(frozen=True)
class _Change:
    """A constant of a node that gets zeros along one axis, because the node reads or makes channels of zeros.

    index: position of the constant among the node's inputs. axis: the axis that gets longer.
    """

    node: Any
    index: int
    axis: int

    @property
    def name(self) -> str:
        return str(self.node.input[self.index])

    def fits(self, constants: Any) -> bool:
        return self.name in constants and len(constants[self.name].dims) > self.axis


def align_channels(graph: Any) -> None:
    """Pad what each stage reads (the concatenation of features, heatmaps and PAFs) to a multiple of 16 channels.

    The maps stay the same, because the new channels are zero and the weights that read them are zero. A stage is not
    changed if other nodes also read the last tensor of its concatenation, or if unsupported operators follow it.
    """
    for concat in [node for node in graph.node if node.op_type == "Concat"]:
        constants = {tensor.name: tensor for tensor in graph.initializer}
        maker = next((node for node in graph.node if concat.input[-1] in node.output), None)
        if maker is None or maker.op_type != "Conv" or _readers(graph, concat.input[-1]) != [concat]:
            continue
        changes = _changes(graph, constants, concat.output[0])
        if not changes or not all(change.fits(constants) for change in changes):
            continue
        missing = -constants[changes[0].name].dims[changes[0].axis] % _MULTIPLE
        if missing:
            _widen(graph, constants, [*changes, *_own(maker)], missing)
    drop_unread_constants(graph)


def _changes(graph: Any, constants: Any, tensor: str) -> list[_Change]:
    """The constants that must change if a tensor gets channels of zeros; empty if it can't get any."""
    changes = []
    for node in _readers(graph, tensor):
        if node is None:
            return []
        if node.op_type == "Conv" and _groups(node) == 1:
            changes.append(_Change(node, 1, 1))
            continue
        if node.op_type == "Conv" and _groups(node) == constants[node.input[1]].dims[0]:
            own = _own(node)
        elif node.op_type in ("Mul", "Add") and node.input[0] == tensor:
            own = [_Change(node, 1, 1)]
        else:
            return []
        further = _changes(graph, constants, node.output[0])
        if not further:
            return []
        changes += own + further
    return changes


def _own(convolution: Any) -> list[_Change]:
    """The constants that must change if a convolution makes channels of zeros: its kernel and its bias."""
    return [_Change(convolution, index, 0) for index in range(1, len(convolution.input))]


def _widen(graph: Any, constants: Any, changes: list[_Change], missing: int) -> None:
    from onnx import numpy_helper

    for change in changes:
        node, values = change.node, numpy_helper.to_array(constants[change.name])
        widths = [(0, missing if axis == change.axis else 0) for axis in range(values.ndim)]
        # Other nodes may read the same constant, so the longer one gets a new name.
        node.input[change.index] = f"{node.output[0]}/wide{change.index}"
        graph.initializer.append(numpy_helper.from_array(np.pad(values, widths), node.input[change.index]))
        for attribute in node.attribute:
            if attribute.name == "group" and attribute.i > 1:
                attribute.i = values.shape[0] + missing


def _readers(graph: Any, tensor: str) -> list[Any]:
    """The nodes that read a tensor. The list also has a None if the tensor is an output of the graph."""
    outputs = [None for value in graph.output if value.name == tensor]
    return [*outputs, *(node for node in graph.node if tensor in node.input)]


def _groups(convolution: Any) -> int:
    return next((int(attribute.i) for attribute in convolution.attribute if attribute.name == "group"), 1)
