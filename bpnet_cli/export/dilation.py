"""Writes dilated convolutions as single ONNX nodes. TensorFlow's converter would write about sixty nodes for each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

# (kernel, dilation rates) of each dilated convolution. Its kernel identifies the convolution in the converted graph.
Marks = list[tuple[NDArray[np.float32], tuple[int, int]]]


def without_dilation(network: Any) -> tuple[Any, Marks]:
    """A copy of the network without dilation, and the marks for `restore_dilation`.

    Only convolutions with "same" padding change, because the size of their output doesn't depend on the rate. If the
    network has no such convolution, the result is the network itself and no marks.
    """
    dilated = [layer for layer in network.layers if _is_dilated(layer)]
    if not dilated:
        return network, []
    rates = {layer.name: tuple(layer.dilation_rate) for layer in dilated}

    def plain(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | {"dilation_rate": (1, 1)} if layer.name in rates else config)

    copy = keras.models.clone_model(network, clone_function=plain)
    copy.set_weights(network.get_weights())
    return copy, [(_as_onnx(layer), rates[layer.name]) for layer in dilated]


def restore_dilation(graph: Any, marks: Marks) -> None:
    """Set the dilation rates of the convolutions in a converted graph, in place.

    The convolutions are found by their kernels. The converter may have folded a batch norm into a kernel, so each
    output channel may have another scale. Raises ValueError if a convolution is not found.
    """
    from onnx import helper, numpy_helper

    kernels = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in kernels]
    for kernel, rates in marks:
        found = [node for node in convolutions if _alike(numpy_helper.to_array(kernels[node.input[1]]), kernel)]
        if not found:
            raise ValueError(f"no convolution has the dilated kernel of shape {kernel.shape}")
        for node in found:
            kept = [each for each in node.attribute if each.name not in ("dilations", "pads", "auto_pad")]
            # At a fixed size, the converter has already written pads: those of the kernel without dilation.
            totals = [(size - 1) * rate for size, rate in zip(kernel.shape[2:], rates, strict=True)]
            begins = [total // 2 for total in totals]
            pads = begins + [total - begin for total, begin in zip(totals, begins, strict=True)]
            del node.attribute[:]
            node.attribute.extend(
                [*kept, helper.make_attribute("dilations", rates), helper.make_attribute("pads", pads)]
            )


def _alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two kernels are equal, apart from a factor for each output channel."""
    return a.shape == b.shape and np.allclose(_directions(a), _directions(b), atol=1e-5)


def _directions(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """The kernel as (out, values): the weights of each output channel, divided by the one with the largest size."""
    rows = kernel.reshape(len(kernel), -1).astype(np.float64)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows / np.where(largest == 0, 1, largest)


def _as_onnx(layer: Any) -> NDArray[np.float32]:
    """A layer's kernel as (out, in / groups, height, width)."""
    kernel = np.asarray(layer.kernel, np.float32)
    return kernel.transpose(2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else kernel.transpose(3, 2, 0, 1)


def _is_dilated(layer: Any) -> bool:
    kinds = layers.Conv2D | layers.DepthwiseConv2D
    return isinstance(layer, kinds) and max(layer.dilation_rate) > 1 and layer.padding == "same"
