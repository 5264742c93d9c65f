"""Finds out which channels of a graph can only be removed together.

Every channel of every tensor gets a number:
- Layers that compute new channels (convolutions) give new numbers.
- Layers that work on each channel separately (batch norm, activations, depthwise convolutions, pooling, resizing) keep
  the numbers of their input.
- A concatenation puts the numbers of its inputs one after the other.
- Element-wise operations (sums, products) tie the channels that they combine: these get one common number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError

_PER_CHANNEL = (
    layers.Activation,
    layers.AveragePooling2D,
    layers.BatchNormalization,
    layers.DepthwiseConv2D,
    layers.Dropout,
    layers.ELU,
    layers.GlobalAveragePooling2D,
    layers.LeakyReLU,
    layers.MaxPooling2D,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
)
_ACROSS_CHANNELS = ("softmax", "log_softmax", "sparsemax", "glu")
_ELEMENT_WISE = (layers.Add, layers.Average, layers.Maximum, layers.Multiply, layers.Subtract)


@dataclass(frozen=True, eq=False)
class Channels:
    """Channel numbers of a network's layers. Channels with equal numbers can only be kept or removed together.

    inputs, outputs: (C,) numbers of a layer's input and output channels, by layer name. For a layer with several
    inputs, `inputs` has the first one.
    groups: pairs (names of convolutions, numbers). These convolutions, one or several tied ones, compute the channels
    with these numbers. Numbers of the network's outputs and of its input image are in no group.
    """

    inputs: dict[str, NDArray[np.intp]]
    outputs: dict[str, NDArray[np.intp]]
    groups: list[tuple[tuple[str, ...], NDArray[np.intp]]]

    @property
    def removable(self) -> set[int]:
        """All numbers that are in a group, so all channels that may be removed."""
        return {number for _, numbers in self.groups for number in numbers.tolist()}


def trace_channels(network: Any) -> Channels:
    """Follow the channels through a functional network that has one image as input.

    Raises BpnetError for a layer of an unsupported kind.
    """
    numbers = _Numbers()
    image = numbers.new(network.inputs[0].shape[-1])
    tensors = {id(network.inputs[0]): image}
    inputs, outputs = {}, {}
    for layer in _in_order(network):
        arrived = [tensors[id(tensor)] for tensor in _as_list(layer.input)]
        inputs[layer.name] = arrived[0]
        outputs[layer.name] = _through(layer, arrived, numbers)
        tensors[id(layer.output)] = outputs[layer.name]
    # The PAFs of a skeleton of one keypoint have no channels, and no layer makes them.
    maps = [tensors[id(output)] for output in network.outputs if output.shape[-1]]
    fixed = set(numbers.roots(np.concatenate([image, *maps])).tolist())
    inputs = {name: numbers.roots(array) for name, array in inputs.items()}
    outputs = {name: numbers.roots(array) for name, array in outputs.items()}
    return Channels(inputs, outputs, _groups(network, outputs, fixed))


def _through(layer: Any, arrived: list[NDArray[np.intp]], numbers: _Numbers) -> NDArray[np.intp]:
    if isinstance(layer, layers.DepthwiseConv2D) and layer.depth_multiplier != 1:
        raise BpnetError(
            f"prune: can't prune this network: layer {layer.name} is a depthwise convolution with depth_multiplier"
            f" {layer.depth_multiplier} (must be 1)"
        )
    if isinstance(layer, layers.Activation) and layer.activation.__name__ in _ACROSS_CHANNELS:
        raise BpnetError(
            f"prune: can't prune this network: layer {layer.name} ({layer.activation.__name__}) mixes channels"
        )
    if isinstance(layer, _PER_CHANNEL):
        return arrived[0]
    if isinstance(layer, _ELEMENT_WISE):
        for other in arrived[1:]:
            numbers.tie(arrived[0], other)
        return max(arrived, key=len)
    if isinstance(layer, layers.Concatenate):
        return np.concatenate(arrived)
    # `Conv2D` is also the base class of the depthwise convolution, which is handled above.
    if isinstance(layer, layers.Conv2D) and layer.groups == 1:
        return numbers.new(layer.filters)
    raise BpnetError(
        f"prune: can't prune this network: layer {layer.name} has the unsupported kind {type(layer).__name__}"
    )


def _groups(
    network: Any, outputs: dict[str, NDArray[np.intp]], fixed: set[int]
) -> list[tuple[tuple[str, ...], NDArray[np.intp]]]:
    """`Channels.groups`: each set of convolutions with tied channels, and the numbers of these channels."""
    makers: dict[int, list[str]] = {}
    for layer in network.layers:
        if is_convolution(layer):
            for number in outputs[layer.name].tolist():
                makers.setdefault(number, []).append(layer.name)
    by_makers: dict[tuple[str, ...], list[int]] = {}
    for number, names in makers.items():
        if number not in fixed:
            by_makers.setdefault(tuple(names), []).append(number)
    return [(names, np.array(members, np.intp)) for names, members in by_makers.items()]


def is_convolution(layer: Any) -> bool:
    """Whether a layer is a convolution that computes new channels (not a depthwise convolution)."""
    return isinstance(layer, layers.Conv2D) and not isinstance(layer, layers.DepthwiseConv2D)


class _Numbers:
    """Channel numbers, some of them tied to each other (a disjoint-set structure)."""

    def __init__(self) -> None:
        self._parent = np.arange(0)

    def new(self, count: int) -> NDArray[np.intp]:
        """Return `count` numbers that were not used before."""
        start = len(self._parent)
        self._parent = np.concatenate([self._parent, np.arange(start, start + count)])
        return np.arange(start, start + count)

    def tie(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> None:
        """Tie channel a[i] to channel b[i]. If one side is a single channel that is broadcast, nothing is tied."""
        if len(a) == len(b):
            for x, y in zip(self.roots(a).tolist(), self.roots(b).tolist(), strict=True):
                self._parent[max(x, y)] = min(x, y)

    def roots(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """For each number, the smallest number that it is tied to."""
        found = self._parent[numbers]
        while (found != (further := self._parent[found])).any():
            found = further
        return found


def _in_order(network: Any) -> Iterable[Any]:
    """The layers without the input layer, each after the layers that it depends on: Keras keeps them in this order."""
    return (layer for layer in network.layers if not isinstance(layer, layers.InputLayer))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
