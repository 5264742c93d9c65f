"""How much each channel matters to the maps that the network gives, by gradients on photos.

Source: the first-order estimate of Molchanov et al., Importance estimation for neural network pruning, CVPR 2019,
section 3.1, for the change of the maps in place of the change of a loss. The change is a vector; its squared length is
found without the whole Jacobian, by products with vectors of random signs (Hutchinson's estimator).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from bpnet_cli.log import progress
from bpnet_cli.models.bodyposenet import split_outputs
from bpnet_cli.models.channels import Channels
from bpnet_cli.models.walk import Walk

# Layers that change each value by itself: a channel is taken after them.
_POINTWISE = (layers.Activation, layers.BatchNormalization, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU)
# Vectors of signs for each photo.
_DRAWS = 2
# Factor of the maps of all stages but the last. It counts by its square.
_EARLIER = 0.1
_SEED = 0


def channel_effects(
    network: Any, channels: Channels, photos: Sequence[NDArray[np.uint8]], macs: Mapping[str, int]
) -> dict[int, float]:
    """Rank 0..1 of each channel that may go, by effect for each multiply-accumulate that it costs; 1 matters most.

    The effect: see `changes_of_maps`. photos: (1, H, W, 3) uint8 network inputs. macs: of each layer.
    """
    return _ranked(changes_of_maps(network, channels, photos), channels, macs)


def changes_of_maps(
    network: Any, channels: Channels, photos: Sequence[NDArray[np.uint8]], draws: int = _DRAWS
) -> dict[int, float]:
    """Squared change of the maps if a channel has its mean everywhere, for each channel that may go; an estimate.

    To the first order, summed over cells and photos. The mean, because the biases of the layers that read the channel
    make up for a constant. Maps of all stages but the last count by `_EARLIER` squared. photos: (1, H, W, 3) uint8
    network inputs. draws: vectors of signs for each photo.
    """
    copy, fading = _with_fading(network, channels, photos)
    gradients = _gradients(copy, [layer.share for layer in fading.values()])
    effects: dict[int, float] = dict.fromkeys(channels.removable, 0.0)
    rng = np.random.default_rng(_SEED)
    for photo in progress(photos, len(photos), "looking at photos"):
        stages = [[tuple(maps.shape) for maps in kind] for kind in split_outputs(network(photo))]
        for _ in range(draws):
            signs = [_signs(rng, shape, last=i == len(kind) - 1) for kind in stages for i, shape in enumerate(kind)]
            # Tied channels go together, so their changes add up before they are squared.
            changes: dict[int, float] = dict.fromkeys(effects, 0.0)
            for name, change in zip(fading, gradients(photo, signs), strict=True):
                for number, value in zip(channels.outputs[name].tolist(), change.tolist(), strict=True):
                    if number in changes:
                        changes[number] += value
            for number, value in changes.items():
                effects[number] += value**2 / draws
    return effects


def _ranked(effects: Mapping[int, float], channels: Channels, macs: Mapping[str, int]) -> dict[int, float]:
    """Rank 0..1 of channels by their effect for each multiply-accumulate that they cost; 1 has the largest."""
    costs = _costs(channels, macs)
    order = sorted(effects, key=lambda number: effects[number] / max(costs.get(number, 0.0), 1.0))
    return {number: (rank + 1) / len(order) for rank, number in enumerate(order)}


def _costs(channels: Channels, macs: Mapping[str, int]) -> dict[int, float]:
    """Multiply-accumulates that go with each channel, those of its readers included."""
    costs: dict[int, float] = {}
    for name, total in macs.items():
        inputs, outputs = channels.inputs[name].tolist(), channels.outputs[name].tolist()
        # A depthwise convolution's channels are the same on both sides.
        for side in [inputs] if inputs == outputs else [inputs, outputs]:
            for number in side:
                costs[number] = costs.get(number, 0.0) + total / len(side)
    return costs


def _signs(rng: np.random.Generator, shape: tuple[int, ...], last: bool) -> NDArray[np.float32]:
    return ((1.0 if last else _EARLIER) * rng.choice([-1.0, 1.0], size=shape)).astype(np.float32)


class _Fading(layers.Layer):  # type: ignore[misc]
    """Moves each channel away from its mean by a share of the distance. The share is 0; only its gradient is used."""

    def __init__(self, means: NDArray[np.float32], name: str) -> None:
        super().__init__(name=name)
        self.means = ops.convert_to_tensor(means)
        self.share = self.add_weight(shape=means.shape, initializer="zeros", name="share")

    def call(self, values: Any) -> Any:
        return values + (values - self.means) * self.share


def _with_fading(
    network: Any, channels: Channels, photos: Sequence[NDArray[np.uint8]]
) -> tuple[Any, dict[str, _Fading]]:
    """A copy in which only the shares of its fading layers can learn, and these layers by convolution."""
    makers = {name for names, _ in channels.groups for name in names}
    ends = {_end_of(layer).name: layer.name for layer in network.layers if layer.name in makers}
    means = _means(network, ends, photos)
    fading = {convolution: _Fading(means[end], f"{convolution}_fading") for end, convolution in ends.items()}

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        layer.trainable = False
        values = layer(*args, **kwargs)
        return fading[ends[layer.name]](values) if layer.name in ends else values

    copy = keras.models.clone_model(network, call_function=called)
    for layer in network.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy, fading


def _end_of(convolution: Any) -> Any:
    """The last of the pointwise layers that follow a convolution, or the convolution itself."""
    layer = convolution
    while True:
        readers = [node.operation for node in layer._outbound_nodes]
        if len(readers) != 1 or not isinstance(readers[0], _POINTWISE):
            return layer
        layer = readers[0]


def _means(network: Any, names: Mapping[str, str], photos: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """(C,) float32 means over all photos of what these layers give, every photo with the same weight."""
    walk = Walk(network, photos)
    means: dict[str, NDArray[Any]] = {}
    for layer in network.layers:
        values = walk.run(layer.name)
        if layer.name in names:
            means[layer.name] = np.asarray(np.mean([each.mean(axis=(0, 1, 2)) for each in values], axis=0))
    return means


def _gradients(
    network: Any, variables: Sequence[Any]
) -> Callable[[NDArray[np.uint8], Sequence[NDArray[np.float32]]], list[NDArray[np.float32]]]:
    """A function of a photo and of one array for each output: gradients of the sum of their products by `variables`."""

    def total(outputs: Sequence[Any], factors: Sequence[Any]) -> Any:
        return sum(ops.sum(maps * factor) for maps, factor in zip(outputs, factors, strict=True))

    def by_tensorflow() -> Callable[[Any, Any], Any]:
        import tensorflow as tf

        def gradients(photo: Any, factors: Any) -> Any:
            with tf.GradientTape() as tape:
                result = total(network(photo), factors)
            return tape.gradient(result, [variable.value for variable in variables])

        compiled: Callable[[Any, Any], Any] = tf.function(gradients, reduce_retracing=True)
        return compiled

    def by_jax() -> Callable[[Any, Any], Any]:
        import jax

        fixed = [variable.value for variable in network.non_trainable_variables]
        values = {variable.path: variable.value for variable in variables}

        def result(values: Mapping[str, Any], photo: Any, factors: Any) -> Any:
            learning = [values[variable.path] for variable in network.trainable_variables]
            return total(network.stateless_call(learning, fixed, photo)[0], factors)

        def gradients(photo: Any, factors: Any) -> Any:
            found = jax.grad(result)(values, photo, factors)
            return [found[variable.path] for variable in variables]

        return gradients

    def by_torch() -> Callable[[Any, Any], Any]:
        import torch

        values = [variable.value for variable in variables]
        return lambda photo, factors: torch.autograd.grad(total(network(photo), factors), values)

    makers = {"tensorflow": by_tensorflow, "jax": by_jax, "torch": by_torch}
    gradients = makers[keras.backend.backend()]()

    def as_arrays(photo: NDArray[np.uint8], factors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        tensors = [ops.convert_to_tensor(factor) for factor in factors]
        return [ops.convert_to_numpy(each) for each in gradients(ops.convert_to_tensor(photo), tensors)]

    return as_arrays
