"""Operations without weights of their own, or with few, as Keras layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import layers

from bpnet_cli.importing.graph import Node, unknown

# What Keras calls an activation that takes no numbers.
_PLAIN = ("relu", "sigmoid", "tanh", "silu", "softplus", "hard_swish")


def plain_layer(node: Node, name: str, axes: Sequence[int], tensors: Sequence[Any], path: str) -> Any:
    """What a node makes of Keras tensors (B, h, w, C).

    axes: Keras' axis of each axis that the file's tensors have. path: for messages. Raises ModelFileError for a kind
    that is not known, or can't be had in Keras.
    """
    builder = _BUILDERS.get(node.kind)
    if builder is None:
        raise unknown(path, node.kind, node.name)
    return builder(node, name, axes, tensors, path)


def pads_of(node: Node, axes: Sequence[int], path: str) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of a node that pads."""
    pads = node.attributes["pads"]
    begins, ends = [dict(zip(axes, side, strict=True)) for side in (pads[:4], pads[4:])]
    if begins[0] or ends[0] or begins[3] or ends[3] or min(pads) < 0:
        raise unknown(path, "pad", node.name, "not along height and width")
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
        raise unknown(path, "concatenate", node.name, "not along channels")
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
        # Keras pads maxima with minus infinity only as "same", which at stride 1 is centred.
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
