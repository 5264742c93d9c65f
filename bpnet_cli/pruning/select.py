"""Which channels stay: those whose weights are large beside the others of their layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.models.channels import Channels, is_convolution

# The search for a number of MACs halves the range of thresholds so often: channel counts move in steps anyway.
_HALVINGS = 20


def channel_weights(network: Any, channels: Channels) -> dict[int, float]:
    """Weight 0..1 of each channel that may go.

    The L2 norm of a filter, as the batch norm after it scales it, by the largest of its layer (the min-weight method of
    NVIDIA's prune, which knows no batch norm). Of tied channels the largest counts.
    """
    weights: dict[int, float] = {}
    removable = channels.removable
    for layer in network.layers:
        if not is_convolution(layer):
            continue
        norms = np.sqrt(np.square(np.asarray(layer.kernel, np.float64)).sum(axis=(0, 1, 2))) * _scales(layer)
        norms /= max(norms.max(), np.finfo(np.float64).tiny)
        for number, norm in zip(channels.outputs[layer.name].tolist(), norms.tolist(), strict=True):
            if number in removable:
                weights[number] = max(weights.get(number, 0.0), norm)
    return weights


def channels_to_keep(
    channels: Channels,
    weights: dict[int, float],
    threshold: float,
    granularity: int,
    min_channels: int,
    excluded_layers: Sequence[str] = (),
    min_share: float = 0.0,
) -> set[int]:
    """Numbers of the channels that stay: in every group those above the threshold, the strongest first.

    The count is at least `min_share` of the group's, rounded up to a multiple of `granularity`, and at least
    `min_channels`, but never more than there are. excluded_layers: patterns of names; their groups stay whole.
    """
    keep: set[int] = set()
    for names, numbers in channels.groups:
        order = sorted(numbers.tolist(), key=lambda number: -weights[number])
        count = max(sum(weights[number] > threshold for number in order), math.ceil(min_share * len(order)))
        count = max(-(-count // granularity) * granularity, min_channels)
        if any(fnmatchcase(name, pattern) for name in names for pattern in excluded_layers):
            count = len(order)
        keep |= set(order[:count])
    return keep


def find_threshold(macs_of: Callable[[float], int], target: int) -> float:
    """The smallest threshold, found by halving, that leaves at most `target` MACs.

    Raises BpnetError when even the largest leaves more.
    """
    if macs_of(1.0) > target:
        raise BpnetError(
            f"prune: --target-macs: {target:,} MACs can't be reached, {macs_of(1.0):,} stay where every layer is as"
            " small as it may get: lower pruning.min_share, min_channels or granularity, or ask for less"
        )
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if macs_of(middle) <= target else (middle, high)
    return high


def _scales(convolution: Any) -> NDArray[np.float64]:
    """(C,) factors of the batch norm that a convolution's output goes into; 1 where it goes elsewhere."""
    following = [node.operation for node in convolution._outbound_nodes]
    norms = [layer for layer in following if isinstance(layer, layers.BatchNormalization)]
    if len(norms) != 1:
        return np.ones(convolution.filters)
    norm = norms[0]
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones(convolution.filters)
    factors: NDArray[np.float64] = np.abs(gamma) / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    return factors
