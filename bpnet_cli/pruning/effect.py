"""How much each channel matters, by what it adds to the layers that read it on photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.log import progress
from bpnet_cli.models.channels import Channels, is_convolution
from bpnet_cli.models.walk import Values, Walk


def channel_effects(
    network: Any, channels: Channels, photos: Sequence[NDArray[np.uint8]], macs: Mapping[str, int]
) -> dict[int, float]:
    """Rank 0..1 of each channel that may go, by effect for each multiply-accumulate that it costs; 1 matters most.

    The effect on a convolution: variance of the channel times its squared weights there, as a share of the variance of
    what the convolution gives; over all convolutions that read the channel, the sum. A constant channel has none: the
    biases of its readers take its place when they are refitted. photos: (1, H, W, 3) uint8 network inputs. macs: of
    each layer.
    """
    removable = channels.removable
    effects: dict[int, float] = dict.fromkeys(removable, 0.0)
    walk = Walk(network, photos)
    for layer in progress(network.layers, len(network.layers), "looking at photos"):
        if is_convolution(layer):
            read = _variance([tensors[0] for tensors in walk.inputs(layer.name)])
            weights = np.square(np.asarray(layer.kernel, np.float64)).sum(axis=(0, 1, 3))
            given = max(float(_variance(walk.run(layer.name)).sum()), 1e-12)
            for number, effect in zip(channels.inputs[layer.name].tolist(), (read * weights).tolist(), strict=True):
                if number in removable:
                    effects[number] += effect / given
        else:
            walk.run(layer.name)
    costs = _costs(channels, macs)
    order = sorted(removable, key=lambda number: effects[number] / max(costs.get(number, 0.0), 1.0))
    return {number: (rank + 1) / len(order) for rank, number in enumerate(order)}


def _variance(photos: Values) -> NDArray[np.float64]:
    """(C,) over all cells of all photos."""
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for values in photos:
        cells = values.reshape(-1, values.shape[-1]).astype(np.float64)
        count += len(cells)
        total, squares = total + cells.sum(axis=0), squares + np.square(cells).sum(axis=0)
    return np.maximum(squares / count - np.square(total / count), 0)


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
