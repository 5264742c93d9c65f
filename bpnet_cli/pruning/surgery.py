"""The same graph with fewer channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.models.channels import Channels, is_convolution


def shrink(network: Any, channels: Channels, keep: set[int]) -> Any:
    """A network without the channels that are not in `keep`, with the weights of those that stay.

    Channels of the network's input and outputs always stay. Layer names, and so regularisation and rates by name, stay.
    """
    gone = channels.removable - keep

    def kept(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.flatnonzero([number not in gone for number in numbers.tolist()])

    def smaller(layer: Any) -> Any:
        config = layer.get_config()
        if is_convolution(layer):
            config["filters"] = len(kept(channels.outputs[layer.name]))
        return type(layer).from_config(config)

    result = keras.models.clone_model(network, clone_function=smaller)
    for layer in network.layers:
        if layer.weights:
            inside, outside = kept(channels.inputs[layer.name]), kept(channels.outputs[layer.name])
            weights = [_part(layer, weight, inside, outside) for weight in layer.get_weights()]
            result.get_layer(layer.name).set_weights(weights)
    return result


def macs_left(macs: Mapping[str, int], channels: Channels, keep: set[int]) -> int:
    """MACs of the network that `shrink` would make; macs: of the whole one, by layer."""
    gone = channels.removable - keep
    total = 0
    for name, full in macs.items():
        inputs, outputs = (side[name].tolist() for side in (channels.inputs, channels.outputs))
        inside, outside = (sum(number not in gone for number in numbers) for numbers in (inputs, outputs))
        # A depthwise convolution's cost grows with its channels, not with their square.
        depthwise = inputs == outputs
        total += full * inside // len(inputs) if depthwise else full * inside * outside // (len(inputs) * len(outputs))
    return total


def _part(
    layer: Any, weight: NDArray[np.float32], inside: NDArray[np.intp], outside: NDArray[np.intp]
) -> NDArray[np.float32]:
    """The part of a weight that belongs to the channels that stay; per-channel vectors follow the output."""
    if weight.ndim == 1:
        return weight[outside]
    if isinstance(layer, layers.PReLU):
        return weight[..., outside]
    if isinstance(layer, layers.DepthwiseConv2D):
        return weight[:, :, inside]
    return weight[:, :, inside][:, :, :, outside]
