"""Folds batch norms into the convolutions before them, so that no runtime has to compute them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.models.bodyposenet import layers_read

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose)


def fold_batch_norms(network: Any) -> Any:
    """A copy of a functional network with the same maps. Without such batch norms, the result is the network itself.

    A batch norm is folded if it alone reads a convolution, and if this convolution has no activation.
    """
    pairs = _pairs(network)
    if not pairs:
        return network
    convolutions = {convolution.name for convolution, _ in pairs}
    norms = {norm.name for _, norm in pairs}

    def plain(layer: Any) -> Any:
        if layer.name in norms:
            return layers.Activation("linear", name=layer.name)
        biased = {"use_bias": True} if layer.name in convolutions else {}
        return type(layer).from_config(layer.get_config() | biased)

    def call(layer: Any, *tensors: Any, **settings: Any) -> Any:
        return layer(*tensors, **({} if layer.name in norms else settings))

    result = keras.models.clone_model(network, clone_function=plain, call_function=call)
    for layer in network.layers:
        if layer.name not in norms | convolutions:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    for convolution, norm in pairs:
        result.get_layer(convolution.name).set_weights(_folded(convolution, norm))
    return result


def _pairs(network: Any) -> list[tuple[Any, Any]]:
    """Convolutions and the batch norms that can be folded into them."""
    readers = Counter(source.name for layer in network.layers for source in layers_read(layer))
    readers.update(tensor._keras_history.operation.name for tensor in network.outputs)
    pairs = []
    for norm in network.layers:
        if isinstance(norm, layers.BatchNormalization):
            (before,) = layers_read(norm)
            linear = isinstance(before, _CONVOLUTIONS) and before.activation is keras.activations.linear
            if linear and readers[before.name] == 1:
                pairs.append((before, norm))
    return pairs


def _folded(convolution: Any, norm: Any) -> list[NDArray[np.float32]]:
    """Kernel and bias of a convolution that includes the batch norm. They are computed in float64."""
    mean, variance = (np.asarray(each, np.float64) for each in (norm.moving_mean, norm.moving_variance))
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * np.asarray(norm.gamma, np.float64)
    kernel, *bias = (np.asarray(each, np.float64) for each in convolution.get_weights())
    shift = ((bias[0] if bias else 0) - mean) * factor
    if norm.center:
        shift = shift + np.asarray(norm.beta, np.float64)
    # The axis of the output channels is the third one, except in a plain convolution.
    last = isinstance(convolution, layers.Conv2D)
    scaled = kernel * factor if last else kernel * factor[:, None]
    return [scaled.astype(np.float32), shift.astype(np.float32)]
