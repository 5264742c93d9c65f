"""Builds Keras layers for operations that have no weights or few weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import layers

from bpnet_cli.importing.graph import Node, unknown

# Keras' names of the activations that have no parameters.
_PLAIN = ("relu", "sigmoid", "tanh", "silu", "softplus", "hard_swish")


def plain_layer(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    """Apply a node to Keras tensors (B, h, w, C); returns its output tensor.

    name: of the new layer. axes: for each axis of the file's tensors, the axis in Keras. tensors: the node's inputs.
    path: the file, for messages. Raises ModelFileError for an unknown kind, or if Keras has no such layer.
    """
    builder = _BUILDERS.get(node.kind)
    if builder is None:
        raise unknown(path, node.kind, node.name)
    return builder(node, name, axes, tensors, path)


def pads_of(node: Node, axes: Sequence[int], path: str) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) padding of a pad node. axes: for each axis of the file's tensor, the axis in Keras.

    Raises ModelFileError if the node pads along the batch or channels, or by a negative number.
    """
    pads = node.attributes["pads"]
    begins, ends = [dict(zip(axes, side, strict=True)) for side in (pads[:4], pads[4:])]
    if begins[0] or ends[0] or begins[3] or ends[3] or min(pads) < 0:
        raise unknown(path, "pad", node.name, "it doesn't pad only along height and width")
    return begins[1], begins[2], ends[1], ends[2]


def _activation(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    attributes, function = node.attributes, node.attributes["function"]
    (x,) = tensors
    if function == "relu":
        return layers.ReLU(name=name)(x)
    if function == "elu":
        return layers.ELU(alpha=attributes["alpha"], name=name)(x)
    if function == "leaky_relu":
        return layers.LeakyReLU(negative_slope=attributes["alpha"], name=name)(x)
    if function == "prelu":
        layer = layers.PReLU(shared_axes=[1, 2], name=name)
        y = layer(x)
        slopes = np.broadcast_to(attributes["slopes"], x.shape[-1]).astype(np.float32)
        layer.set_weights([slopes.reshape(1, 1, -1)])
        return y
    if function == "clip" and attributes["low"] == 0:
        high = attributes["high"]
        return layers.ReLU(max_value=None if np.isinf(high) else high, name=name)(x)
    if function in _PLAIN:
        return layers.Activation(function, name=name)(x)
    raise unknown(path, function, node.name)


def _concatenate(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    if axes[node.attributes["axis"]] != 3:
        raise unknown(path, "concatenate", node.name, "it doesn't concatenate along channels")
    return layers.Concatenate(name=name)(list(tensors))


def _pad(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    top, left, bottom, right = pads_of(node, axes, path)
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(tensors[0])


def _pool(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    attributes, is_max = node.attributes, node.kind == "max_pool"
    size, strides, pads = tuple(attributes["kernel"]), tuple(attributes["strides"]), attributes["pads"]
    padding = "same" if pads == "same_upper" else "valid"
    if pads == "same_lower" or attributes.get("round_up"):
        raise unknown(path, node.kind, node.name, "padding SAME_LOWER, or sizes rounded up")
    if padding == "valid" and any(pads):
        # Max pooling has to pad with minus infinity. Keras does this only for "same", which is centred at stride 1.
        centred = list(pads) == [length // 2 for length in size] * 2 and set(strides) == {1}
        if not (is_max and centred and all(length % 2 for length in size)):
            raise unknown(path, node.kind, node.name, f"padding {list(pads)}")
        padding = "same"
    layer = layers.MaxPooling2D if is_max else layers.AveragePooling2D
    return layer(size, strides, padding=padding, name=name)(tensors[0])


def _resize(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    mode, scales = node.attributes["mode"], dict(zip(axes, node.attributes["scales"], strict=True))
    factor = (round(scales[1]), round(scales[2]))
    whole = all(abs(scales[axis] - f) < 1e-6 for axis, f in zip((1, 2), factor, strict=True))
    if scales[0] != 1 or scales[3] != 1 or not whole or mode != "nearest":
        raise unknown(path, "resize", node.name, f"{mode} by {list(node.attributes['scales'])}")
    return layers.UpSampling2D(factor, interpolation="nearest", name=name)(tensors[0])


_BUILDERS: dict[str, Callable[..., Any]] = {
    "activation": _activation,
    "concatenate": _concatenate,
    "pad": _pad,
    "max_pool": _pool,
    "average_pool": _pool,
    "resize": _resize,
}
