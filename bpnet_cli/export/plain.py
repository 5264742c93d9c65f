"""Rewrites a converted graph in plain operators. OpenCV silently computes wrong maps from what tf2onnx writes for free
sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def make_plain(graph: Any) -> None:
    """Rewrite a graph in place; the values that it computes stay the same.

    Automatic padding becomes fixed padding. Convolutions pad by themselves. Each upsampling by 2 with nearest
    neighbours becomes one Resize.
    """
    for node in graph.node:
        _fix_padding(node)
    _pad_in_convolutions(graph)
    _use_scalars(graph)
    for first in [node for node in graph.node if node.name.endswith("/Repeat/ExpandDims")]:
        _use_resize(graph, first)
    drop_unused(graph)


def drop_unread_constants(graph: Any) -> None:
    """Remove the constants that no node reads, in place."""
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def rename_tensors(graph: Any, names: Mapping[str, str]) -> None:
    """Rename tensors in all nodes and constants, in place. names: {old: new}.

    The graph's own inputs and outputs are not renamed.
    """
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _use_scalars(graph: Any) -> None:
    """Replace a sum's constant of three equal numbers by one number: ONNX Runtime adds it twenty times as fast."""
    from onnx import numpy_helper

    added = {name for node in graph.node if node.op_type == "Add" for name in node.input}
    others = {name for node in graph.node if node.op_type != "Add" for name in node.input}
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in added - others and values.shape == (3,) and (values == values[0]).all():
            tensor.CopyFrom(numpy_helper.from_array(values[0], tensor.name))


def _fix_padding(node: Any) -> None:
    """Replace automatic padding by fixed padding, in place.

    Here the fixed padding fits all inputs, because the size of a strided layer's input is a multiple of its stride.
    """
    from onnx import helper

    attributes = {attribute.name: attribute for attribute in node.attribute}
    if "auto_pad" not in attributes:
        return
    node.attribute.remove(attributes["auto_pad"])
    if attributes["auto_pad"].s != b"SAME_UPPER":
        return  # VALID means no padding, which is the default
    rates = attributes["dilations"].ints if "dilations" in attributes else (1, 1)
    sizes = zip(attributes["kernel_shape"].ints, attributes["strides"].ints, rates, strict=True)
    totals = [max((kernel - 1) * rate + 1 - stride, 0) for kernel, stride, rate in sizes]
    begins = [total // 2 for total in totals]
    ends = [total - begin for total, begin in zip(totals, begins, strict=True)]
    node.attribute.append(helper.make_attribute("pads", begins + ends))


def _pad_in_convolutions(graph: Any) -> None:
    """Let a convolution pad with zeros in place of a Pad node that only it reads, in place."""
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        values = [numpy_helper.to_array(constants[name]) for name in pad.input[1:] if name in constants]
        if [node.op_type for node in readers] != ["Conv"] or len(values) != len(pad.input) - 1 or pad.attribute:
            continue
        begins, ends = values[0][:4], values[0][4:]
        if len(values[0]) != 8 or any((*begins[:2], *ends[:2])) or any(each.any() for each in values[1:]):
            continue  # it pads other axes, or with other values than zero
        (conv,) = readers
        conv.input[0] = pad.input[0]
        old = next((attribute for attribute in conv.attribute if attribute.name == "pads"), None)
        before = list(old.ints) if old else [0, 0, 0, 0]
        added = [*begins[2:].tolist(), *ends[2:].tolist()]
        if old:
            conv.attribute.remove(old)
        conv.attribute.append(helper.make_attribute("pads", [a + b for a, b in zip(before, added, strict=True)]))
        graph.node.remove(pad)


def drop_unused_domains(model: Any) -> None:
    """Remove the operator sets that no node needs from a model, in place."""
    used = {"" if node.domain == "ai.onnx" else node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _use_resize(graph: Any, first: Any) -> None:
    """Replace Keras' upsampling with nearest neighbours by one Resize, in place. first: first node of the upsampling.

    Keras repeats rows, then columns. If the converter has written this in another way, nothing changes.
    """
    from onnx import helper, numpy_helper

    layer = first.name.removesuffix("/Repeat/ExpandDims")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tiles = [values.get(node.input[1]) for node in graph.node if node.name.startswith(layer) and node.op_type == "Tile"]
    doubles = len(tiles) == 2 and all(tile is not None and tile.max() == tile.prod() == 2 for tile in tiles)
    end = next((node for node in graph.node if node.name == f"{layer}/Repeat_1/Reshape_1"), None)
    axis = values.get(first.input[1])
    if end is None or axis is None or not doubles:
        return
    coarse, fine = f"{layer}/coarse", f"{layer}/fine"
    nodes = []
    # Rows are repeated along a new axis after the axis of rows: axis 2 with channels last, axis 3 with channels first.
    if axis.tolist() == [3]:
        coarse = first.input[0]
    else:
        nodes.append(helper.make_node("Transpose", [first.input[0]], [coarse], perm=[0, 3, 1, 2]))
    scales = f"{layer}/scales"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), scales))
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes.append(helper.make_node("Resize", [coarse, "", scales], [fine], name=layer, **how))
    nodes.append(helper.make_node("Transpose", [fine], [end.output[0]], perm=[0, 2, 3, 1]))
    place = list(graph.node).index(end)
    graph.node.remove(end)
    for node in reversed(nodes):
        graph.node.insert(place, node)
    _join_transposes(graph, fine, end.output[0])


def _join_transposes(graph: Any, planes: str, pixels: str) -> None:
    """Remove transposes of `pixels` (channels last) to channels first; their readers read `planes` instead.

    `planes` has the same values with channels first.
    """
    for node in list(graph.node):
        if node.op_type == "Transpose" and node.input[0] == pixels and list(node.attribute[0].ints) == [0, 3, 1, 2]:
            graph.node.remove(node)
            for reader in graph.node:
                reader.input[:] = [planes if name == node.output[0] else name for name in reader.input]


def drop_unused(graph: Any) -> None:
    """Remove the nodes and constants that nothing reads, in place."""
    while True:
        read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        unused = [node for node in graph.node if not read & set(node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    drop_unread_constants(graph)
