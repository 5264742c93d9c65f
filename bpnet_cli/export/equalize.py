"""Gives the channels of a tensor similar ranges, so that one INT8 scale fits all of them.

A channel of a convolution can be divided by a positive number, if the convolutions that read it multiply it by this
number. This also holds with a ReLU, padding or a concatenation between them, and the network's maps stay the same.
Sources: Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019; the split
between activations and weights is from Xiao et al., SmoothQuant, ICML 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.log import progress
from bpnet_cli.models.bodyposenet import layers_read

# A channel is scaled by this factor at most: a channel that is zero on all these photos may be active on others.
_LARGEST_FACTOR = 32.0


@dataclass(frozen=True)
class _Pair:
    """A convolution, and the only convolution that reads its output.

    tensor: name of the layer whose output `second` reads. start: the first channel of `first` in this tensor.
    """

    first: Any
    second: Any
    tensor: str
    start: int


def equalized(network: Any, photos: Sequence[NDArray[np.uint8]]) -> Any:
    """A copy of a functional network with similar ranges of its channels on photos, and with the same maps.

    photos: (B, H, W, 3) uint8 network inputs.
    """
    result = keras.models.clone_model(network)
    result.set_weights(network.get_weights())
    pairs = _pairs(result)
    ranges = _channel_ranges(result, list({pair.tensor: None for pair in pairs}), photos)
    for pair in pairs:
        stop = pair.start + _channels(pair.first)
        kernel, *bias = pair.second.get_weights()
        depthwise = isinstance(pair.second, layers.DepthwiseConv2D)
        factors = _factors(ranges[pair.tensor], kernel, depthwise)[pair.start : stop]
        # The third axis of both kinds of kernels is the channel that is read.
        kernel[:, :, pair.start : stop] *= factors[:, None]
        pair.second.set_weights([kernel, *bias])
        _divide(pair.first, factors)
    return result


def _divide(layer: Any, factors: NDArray[np.float32]) -> None:
    kernel, *bias = layer.get_weights()
    across = factors[:, None] if isinstance(layer, layers.DepthwiseConv2D) else factors
    layer.set_weights([kernel / across, *(each / factors for each in bias)])


def _factors(ranges: NDArray[np.float32], kernel: NDArray[np.float32], depthwise: bool) -> NDArray[np.float32]:
    """(C,) the number that each channel of a tensor is divided by. kernel: of the convolution that reads the tensor.

    For a depthwise kernel, only the activations count: such a kernel is quantised with one scale for each channel, so
    scaling it loses nothing.
    """
    factors = ranges / max(float(ranges.max()), float(np.finfo(np.float32).tiny))
    if not depthwise:
        weights = np.abs(kernel).max(axis=(0, 1, 3))
        factors = np.sqrt(factors / np.maximum(weights / max(float(weights.max()), 1e-12), 1e-6))
        factors = factors / max(float(factors.max()), 1e-12)
    return np.asarray(np.maximum(factors, 1 / _LARGEST_FACTOR), np.float32)


def _pairs(network: Any) -> list[_Pair]:
    readers: dict[str, list[Any]] = {}
    for layer in network.layers:
        for source in layers_read(layer):
            readers.setdefault(source.name, []).append(layer)
    ends = {tensor._keras_history.operation.name for tensor in network.outputs}
    pairs = []
    for first in network.layers:
        if _is_plain(first) and not ends & {first.name}:
            layer, start = first, 0
            while layer.name not in ends and len(readers.get(layer.name, [])) == 1:
                (following,) = readers[layer.name]
                if _is_plain(following, reads=True):
                    pairs.append(_Pair(first, following, layer.name, start))
                    break
                if isinstance(following, layers.Concatenate):
                    start += _before(following, layer)
                elif not _keeps_scale(following):
                    break
                layer = following
    return pairs


def _is_plain(layer: Any, reads: bool = False) -> bool:
    """Whether a layer is a convolution whose channels can be scaled. reads: as the one that reads them."""
    if isinstance(layer, layers.DepthwiseConv2D):
        known = layer.depth_multiplier == 1
    else:
        known = isinstance(layer, layers.Conv2D) and layer.groups == 1
    return known and (reads or layer.activation in (keras.activations.linear, keras.activations.relu))


def _keeps_scale(layer: Any) -> bool:
    """Whether a positive factor of each channel goes through a layer unchanged."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and not layer.threshold
    if isinstance(layer, layers.Activation):
        return layer.activation in (keras.activations.linear, keras.activations.relu)
    return isinstance(layer, layers.ZeroPadding2D | layers.LeakyReLU | layers.UpSampling2D | layers.MaxPooling2D)


def _before(concatenation: Any, layer: Any) -> int:
    """The number of channels in front of those of a layer."""
    names = [source.name for source in layers_read(concatenation)]
    return sum(int(tensor.shape[-1]) for tensor in concatenation.input[: names.index(layer.name)])


def _channels(layer: Any) -> int:
    return int(layer.output.shape[-1])


def _channel_ranges(
    network: Any, tensors: Sequence[str], photos: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """For each layer name, (C,) the largest absolute value of each channel of its output on all photos."""
    if not tensors:
        return {}
    probe = keras.Model(network.inputs[0], [network.get_layer(name).output for name in tensors])

    def largest(images: Any) -> list[Any]:
        return [tf.reduce_max(tf.abs(values), axis=(0, 1, 2)) for values in probe(images, training=False)]

    run = tf.function(largest, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    found = [run(photo) for photo in progress(photos, len(photos), "looking at photos")]
    return {name: np.max([each[index].numpy() for each in found], axis=0) for index, name in enumerate(tensors)}
