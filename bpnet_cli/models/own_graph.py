"""Changes a graph that no spec describes, so that it gives the maps of another skeleton."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError
from bpnet_cli.models.bodyposenet import split_outputs
from bpnet_cli.models.channels import is_convolution, trace_channels
from bpnet_cli.models.transfer import Channels, heatmap_channels, paf_channels
from bpnet_cli.pose.skeleton import Skeleton

# Number of a channel in the new graph -> its number in the old graph, and its sign.
_Origins = dict[int, tuple[int, float]]


class NewChannels(NamedTuple):
    """The channels of a layer that the other network does not have, True: new. read: (C,) of its input; made: (C,)."""

    read: NDArray[np.bool_]
    made: NDArray[np.bool_]


def with_maps_of(network: Any, theirs: Skeleton, ours: Skeleton) -> tuple[Any, dict[str, NewChannels]]:
    """The same graph with the maps of skeleton `ours`, and, for each layer with weights, which of its channels are new.

    network: a network with the maps of skeleton `theirs`. Keypoints and limbs with the same names keep the weights of
    their channels, also where later stages read these channels. The weights of all other channels are new.
    Raises ModelFileError if a layer that makes maps is not a convolution or `ours` has no limbs, BpnetError as
    `trace_channels` does.
    """
    if theirs.limbs and not ours.limbs:
        raise ModelFileError(
            f"skeleton {ours.name} has no limbs, so this graph can't give its maps; write model.graph: spec, or two"
            " keypoints with a limb"
        )
    heatmaps, pafs = split_outputs(network.outputs)
    makers = {}
    for tensors, channels in ((heatmaps, heatmap_channels(theirs, ours)), (pafs, paf_channels(theirs, ours))):
        for tensor in tensors:
            layer = tensor._keras_history.operation
            if not is_convolution(layer):
                raise ModelFileError(
                    f"layer {layer.name} makes maps, but is not a convolution, so its number of channels can't change"
                )
            makers[layer.name] = channels

    def resized(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in makers:
            config["filters"] = len(makers[layer.name].index)
        return type(layer).from_config(config)

    result = keras.models.clone_model(network, clone_function=resized)
    return result, _take_over(network, result, makers)


def _take_over(old: Any, new: Any, makers: dict[str, Channels]) -> dict[str, NewChannels]:
    """Copy weights channel by channel; returns the new channels of each layer with weights."""
    before, after = trace_channels(old), trace_channels(new)
    origins: _Origins = {}
    for name, numbers in after.outputs.items():
        theirs = before.outputs[name].tolist()
        if name in makers:
            channels = makers[name]
            for number, index, sign in zip(numbers.tolist(), channels.index, channels.sign, strict=True):
                origins[number] = (theirs[index], float(sign)) if index >= 0 else (-1, 1.0)
        elif is_convolution(new.get_layer(name)):
            origins |= {number: (origin, 1.0) for number, origin in zip(numbers.tolist(), theirs, strict=True)}
    fresh = {}
    for layer in new.layers:
        if layer.weights:
            read = _places(after.inputs[layer.name], before.inputs[layer.name], origins)
            made = _places(after.outputs[layer.name], before.outputs[layer.name], origins)
            theirs = old.get_layer(layer.name).get_weights()
            layer.set_weights(
                [_part(layer, w, v, read, made) for w, v in zip(layer.get_weights(), theirs, strict=True)]
            )
            fresh[layer.name] = NewChannels(read.index < 0, made.index < 0)
    return fresh


def _places(new: NDArray[np.intp], old: NDArray[np.intp], origins: _Origins) -> Channels:
    """For each channel of the new tensor, the position of its origin in the old tensor; -1 if there is none."""
    places = {number: place for place, number in enumerate(old.tolist())}
    found = [origins.get(number, (number, 1.0)) for number in new.tolist()]
    index = np.array([places.get(origin, -1) for origin, _ in found], np.intp)
    return Channels(index, np.array([sign for _, sign in found], np.float32))


def _part(layer: Any, fresh: NDArray[Any], source: NDArray[Any], read: Channels, made: Channels) -> NDArray[Any]:
    """A weight with the old values in all channels that the old network has.

    If a limb has the opposite direction, two kinds of weights change their sign: the kernel and bias of the convolution
    that makes its channels, and the kernels that read these channels. The weights of depthwise convolutions and of
    batch norm keep their sign.
    """
    if isinstance(layer, layers.DepthwiseConv2D) and fresh.ndim == 4:
        return read.fill(fresh, source, 2, signed=False)
    if fresh.ndim < 4:
        return made.fill(fresh, source, fresh.ndim - 1, signed=is_convolution(layer))
    columns = made.fill(np.zeros((*source.shape[:3], fresh.shape[3]), fresh.dtype), source, 3, signed=True)
    filled = read.fill(fresh, columns, 2, signed=True)
    unknown = made.index < 0
    filled[..., unknown] = fresh[..., unknown]
    return filled
