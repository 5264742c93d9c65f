"""A converted graph in plain operators: OpenCV computes wrong maps, silently, from what tf2onnx makes of free sizes."""

from __future__ import annotations

from typing import Any

import numpy as np


def make_plain(graph: Any) -> None:
    """Fixed padding for automatic, one Resize for each doubling by nearest neighbours; the values stay the same."""
    for node in graph.node:
        _fix_padding(node)
    for first in [node for node in graph.node if node.name.endswith("/Repeat/ExpandDims")]:
        _use_resize(graph, first)
    _drop_unused(graph)


def _fix_padding(node: Any) -> None:
    """Padding that keeps sizes is the same for all inputs here: a strided layer's input is a multiple of its stride."""
    from onnx import helper

    attributes = {attribute.name: attribute for attribute in node.attribute}
    if "auto_pad" not in attributes:
        return
    node.attribute.remove(attributes["auto_pad"])
    if attributes["auto_pad"].s != b"SAME_UPPER":
        return  # VALID: none
    rates = attributes["dilations"].ints if "dilations" in attributes else (1, 1)
    sizes = zip(attributes["kernel_shape"].ints, attributes["strides"].ints, rates, strict=True)
    totals = [max((kernel - 1) * rate + 1 - stride, 0) for kernel, stride, rate in sizes]
    begins = [total // 2 for total in totals]
    ends = [total - begin for total, begin in zip(totals, begins, strict=True)]
    node.attribute.append(helper.make_attribute("pads", begins + ends))


def _use_resize(graph: Any, first: Any) -> None:
    """Replace Keras' nearest neighbour upsampling, which starts with `first`: it repeats rows, then columns.

    Left as it is where the converter arranged it differently.
    """
    from onnx import helper, numpy_helper

    layer = first.name.removesuffix("/Repeat/ExpandDims")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tiles = [values.get(node.input[1]) for node in graph.node if node.name.startswith(layer) and node.op_type == "Tile"]
    end = next((node for node in graph.node if node.name == f"{layer}/Repeat_1/Reshape_1"), None)
    after = [node for node in graph.node if end is not None and end.output[0] in node.input]
    axis = values.get(first.input[1])
    channels_first = axis is not None and axis.tolist() == [3]
    doubles = len(tiles) == 2 and all(tile is not None and tile.max() == tile.prod() == 2 for tile in tiles)
    if len(after) != 1 or after[0].op_type != "Transpose" or not channels_first or not doubles:
        return
    scales = f"{layer}/scales"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), scales))
    resize = helper.make_node(
        "Resize",
        [first.input[0], "", scales],
        [after[0].output[0]],
        name=layer,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    place = list(graph.node).index(after[0])
    graph.node.remove(after[0])
    graph.node.insert(place, resize)


def _drop_unused(graph: Any) -> None:
    """Take out nodes and constants that nothing reads."""
    while True:
        read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        unused = [node for node in graph.node if not read & set(node.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
