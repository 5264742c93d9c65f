"""Builds a plain functional Keras network from a `Graph`: channels last, uint8 RGB input, normalisation inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.importing.graph import ARITHMETIC, Graph, Node, building, unknown
from bpnet_cli.importing.plain_layers import pads_of, plain_layer
from bpnet_cli.importing.values import Value, once

# Keras' axis of each axis of a file's tensor: with channels last, and with channels first.
_LAST, _FIRST = (0, 1, 2, 3), (0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Normalization:
    """The network's first layer: value = pixel * scale + offset, per RGB channel."""

    scale: float
    offset: tuple[float, float, float]


class KerasGraph:
    """Builds the network.

    names: layer names for the tensors that are maps, by tensor; other layers keep their names from the file.
    normalization: known after `build`. Raises ModelFileError for an operation that can't be built.
    """

    def __init__(self, graph: Graph, names: Mapping[str, str]) -> None:
        self.graph = graph
        self.normalization = Normalization(1.0, (0.0, 0.0, 0.0))
        self._consumers = graph.consumers()
        makers = {node.output: node for node in graph.nodes}
        self._names = {_convolution_behind(tensor, makers): name for tensor, name in names.items()}
        self._used: set[str] = {"image", "normalization"}
        self._photo = keras.Input((None, None, 3), dtype="uint8", name="image")
        self._normalized: Any = None
        image = graph.image
        axes = _FIRST if image.channels_first else _LAST
        self._values = {
            image.name: Value(axes, scale=np.array(image.scale, float), offset=np.array(image.offset, float))
        }

    def build(self, outputs: Sequence[str]) -> Any:
        """Build the network with these tensors as outputs, each float32 (B, h, w, C). Raises ModelFileError."""
        for node in self.graph.nodes:
            with building(self.graph.path, node):
                self._values[node.output] = self._through(node)
        tensors = [self._values[name].solid() for name in outputs]
        return keras.Model(self._photo, tensors, name="bodyposenet")

    def _through(self, node: Node) -> Value:
        if node.kind == "refused":
            raise node.attributes["error"]
        if node.kind == "convolution":
            return self._convolution(node)
        if node.kind == "batch_norm":
            return self._batch_norm(node)
        if node.kind in ARITHMETIC:
            return self._arithmetic(node)
        value = self._value(node, node.inputs[0])
        if node.kind == "transpose":
            return replace(value, axes=tuple(value.axes[axis] for axis in node.attributes["order"]))
        if node.kind == "pad" and value.is_photo:
            return replace(value, padding=pads_of(node, value.axes, self.graph.path))
        values = [self._value(node, name) for name in node.inputs if name]
        if any(other.axes != value.axes for other in values):
            raise unknown(self.graph.path, node.kind, node.name, "the axes of its inputs differ")
        tensors = [self._solid(node, name) for name in node.inputs if name]
        return Value(value.axes, plain_layer(node, self._name(node), value.axes, tensors, self.graph.path))

    def _convolution(self, node: Node) -> Value:
        value = self._value(node, node.inputs[0])
        if value.axes != _FIRST:
            raise unknown(self.graph.path, "convolution", node.name, "axis 1 of its input is not the channels")
        kernel = np.asarray(self._constant(node, 1), np.float32)
        bias = self._constant(node, 2) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(len(kernel))
        groups, inputs = node.attributes["groups"], kernel.shape[1]
        if kernel.ndim != 4:
            raise unknown(self.graph.path, "convolution", node.name, f"{kernel.ndim - 2} dimensions")
        if groups > 1 and (inputs != 1 or len(kernel) % groups):
            raise unknown(self.graph.path, "convolution", node.name, f"{groups} groups; Keras needs 1 on a CPU")
        if value.is_photo:
            x, kernel = self._normalized_photo(node, value, kernel, groups)
        else:
            x = value.solid()

        def make(scale: NDArray[Any], offset: NDArray[Any]) -> Any:
            with building(self.graph.path, node):
                return self._convolve(node, x, kernel * scale[:, None, None, None], offset)

        return Value(_FIRST, make=once(make), scale=np.ones(len(kernel)), offset=bias.astype(float))

    def _convolve(self, node: Node, x: Any, kernel: NDArray[Any], bias: NDArray[Any]) -> Any:
        attributes, groups = node.attributes, node.attributes["groups"]
        size = kernel.shape[2:]
        x, padding = self._padded(node, x, size)
        options: dict[str, Any] = {
            "strides": tuple(attributes["strides"]),
            "padding": padding,
            "dilation_rate": tuple(attributes["dilations"]),
            "name": self._name(node),
        }
        # Axes (out, in, height, width) become (height, width, in, out); depthwise (height, width, groups, multiplier).
        if groups > 1:
            layer = layers.DepthwiseConv2D(size, depth_multiplier=len(kernel) // groups, **options)
            values = kernel.reshape(groups, -1, *size).transpose(2, 3, 0, 1)
        else:
            layer = layers.Conv2D(len(kernel), size, **options)
            values = kernel.transpose(2, 3, 1, 0)
        y = layer(x)
        layer.set_weights([values.astype(np.float32), bias.astype(np.float32)])
        return y

    def _padded(self, node: Node, x: Any, size: Sequence[int]) -> tuple[Any, str]:
        """The input, and the word for the layer's padding. If Keras' "same" would differ, the input is padded here.

        Keras' "same" puts an odd row or column at the end. At strides above 1 it depends on the input's size.
        """
        attributes = node.attributes
        pads, strides, dilations = attributes["pads"], attributes["strides"], attributes["dilations"]
        if pads == "same_upper":
            return x, "same"
        reach = [(length - 1) * rate for length, rate in zip(size, dilations, strict=True)]
        if pads == "same_lower":
            raise unknown(self.graph.path, node.kind, node.name, "padding SAME_LOWER")
        top, left, bottom, right = pads
        if not any(pads):
            return x, "valid"
        centred = [reach[0] // 2, reach[1] // 2]
        if (
            set(strides) == {1}
            and [top, left] == centred
            and [bottom, right] == [r - c for r, c in zip(reach, centred, strict=True)]
        ):
            return x, "same"
        name = self._unique(f"{_clean(node.name)}_pad")
        return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(x), "valid"

    def _normalized_photo(self, node: Node, value: Value, kernel: NDArray[Any], groups: int) -> tuple[Any, Any]:
        """The normalised photo, and the kernel that reads it.

        The channels' order and the differences of their scales become part of the kernel. There they don't change the
        zeros of padding.
        """
        if groups > 1 or kernel.shape[1] != 3:
            raise unknown(self.graph.path, "convolution", node.name, "the first one must read all three channels")
        scale, offset = np.asarray(value.scale), np.asarray(value.offset)
        if self.graph.image.bgr:
            scale, offset, kernel = scale[::-1], offset[::-1], kernel[:, ::-1]
        common = float(np.float32(scale.mean()))
        kernel = kernel * (scale / common)[None, :, None, None]
        normalization = Normalization(common, tuple((offset * common / scale).tolist()))
        if self._normalized is None:
            self.normalization = normalization
            rescaling = layers.Rescaling(common, list(normalization.offset), name="normalization")
            self._normalized = rescaling(self._photo)
        elif normalization != self.normalization:
            raise unknown(self.graph.path, "convolution", node.name, "the photo is normalised in two ways")
        if any(value.padding):
            top, left, bottom, right = value.padding
            name = self._unique(f"{_clean(node.name)}_photo_pad")
            return layers.ZeroPadding2D(((top, bottom), (left, right)), name=name)(self._normalized), kernel
        return self._normalized, kernel

    def _batch_norm(self, node: Node) -> Value:
        value = self._value(node, node.inputs[0])
        gamma, beta, mean, variance = (np.asarray(self._constant(node, index), float) for index in (1, 2, 3, 4))
        epsilon = node.attributes["epsilon"]
        scale = gamma / np.sqrt(variance + epsilon)
        if self._takes_in(value, node.inputs[0]):
            return value.affine(scale, beta - mean * scale)
        layer = layers.BatchNormalization(epsilon=epsilon, name=self._name(node))
        y = layer(self._solid(node, node.inputs[0]))
        layer.set_weights([array.astype(np.float32) for array in (gamma, beta, mean, variance)])
        return Value(value.axes, y)

    def _arithmetic(self, node: Node) -> Value:
        constants = self.graph.constants
        known = [name for name in node.inputs if name in constants]
        if not known:
            first = self._value(node, node.inputs[0])
            tensors = [self._solid(node, name) for name in node.inputs]
            if any(self._value(node, name).axes != first.axes for name in node.inputs):
                raise unknown(self.graph.path, node.kind, node.name, "the axes of its inputs differ")
            kinds = {"add": layers.Add, "subtract": layers.Subtract, "multiply": layers.Multiply}
            if node.kind not in kinds:
                raise unknown(self.graph.path, node.kind, node.name)
            return Value(first.axes, kinds[node.kind](name=self._name(node))(tensors))
        source = next(name for name in node.inputs if name not in constants)
        value = self._value(node, source)
        operand = self._per_channel(node, value, np.asarray(constants[known[0]], float))
        scale, offset = self._as_affine(node, operand, node.inputs[0] == source)
        if self._takes_in(value, source):
            return value.affine(scale, offset)
        tensor = self._solid(node, source)
        layer, count = layers.DepthwiseConv2D(1, name=self._name(node)), tensor.shape[-1]
        y = layer(tensor)
        kernel, bias = (np.broadcast_to(values, count).astype(np.float32) for values in (scale, offset))
        layer.set_weights([kernel.reshape(1, 1, count, 1), bias])
        return Value(value.axes, y)

    def _as_affine(self, node: Node, operand: NDArray[Any], first: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """The operation of a tensor and a constant, as scale and offset. first: the tensor is the first operand."""
        if node.kind == "multiply":
            return operand, np.zeros(1)
        if node.kind == "divide" and first:
            return 1 / operand, np.zeros(1)
        if node.kind == "divide":
            raise unknown(self.graph.path, node.kind, node.name, "a constant divided by a tensor")
        if node.kind == "subtract":
            return (np.ones(1), -operand) if first else (-np.ones(1), operand)
        return np.ones(1), operand

    def _per_channel(self, node: Node, value: Value, constant: NDArray[Any]) -> NDArray[Any]:
        """A constant operand as one number or (C,). Raises ModelFileError if it differs along height or width."""
        if constant.size == 1:
            return constant.reshape(())
        full = constant.reshape((1,) * (len(value.axes) - constant.ndim) + constant.shape)
        channel = value.axes.index(3)
        if full.size != full.shape[channel]:
            raise unknown(self.graph.path, node.kind, node.name, f"a constant of shape {constant.shape}")
        return full.reshape(-1)

    def _takes_in(self, value: Value, name: str) -> bool:
        """Whether a following scale and offset can become part of the photo's normalisation or of the convolution."""
        if value.is_photo:
            return not any(value.padding)
        return value.make is not None and self._consumers[name] == 1

    def _value(self, node: Node, name: str) -> Value:
        if name not in self._values:
            raise unknown(self.graph.path, node.kind, node.name, f"it reads the constant {name!r} as a tensor")
        return self._values[name]

    def _solid(self, node: Node, name: str) -> Any:
        value = self._value(node, name)
        if value.is_photo:
            raise unknown(self.graph.path, node.kind, node.name, "the photo must go into a convolution first")
        return value.solid()

    def _constant(self, node: Node, index: int) -> NDArray[Any]:
        try:
            return self.graph.constants[node.inputs[index]]
        except KeyError:
            raise unknown(self.graph.path, node.kind, node.name, f"{node.inputs[index]!r} is no constant") from None

    def _name(self, node: Node) -> str:
        return self._unique(self._names.get(node.output) or _clean(node.name))

    def _unique(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._used:
            count += 1
            name = f"{wanted}_{count}"
        self._used.add(name)
        return name


def _convolution_behind(tensor: str, makers: Mapping[str, Node]) -> str:
    """Name of the output of the convolution that makes a map, before its bias is added."""
    while (node := makers[tensor]).kind != "convolution":
        tensor = next(name for name in node.inputs if name in makers)
    return tensor


def _clean(name: str) -> str:
    """A name as a layer name: Keras doesn't allow "/"."""
    name = name.removesuffix("/WithoutBiases").strip("/")
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "layer"
