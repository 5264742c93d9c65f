"""Puts the weights of an imported network into the graph of a spec, so that the spec describes the network fully."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


def land(network: Any, imported: Any) -> bool:
    """Fill a spec's network with the weights of an imported network; returns False if the two graphs don't match.

    Both graphs are compared from the last maps back to the photo. In the file, each batch norm is folded into the
    convolution before it. So a batch norm of the spec's network becomes an identity, plus the bias of this convolution;
    `fit_batch_norm` then gives it statistics. The file may have additional channels of zeros, as exported files do.
    """
    pairs: dict[str, Any] = {}
    ours, theirs = (_ends(graph) for graph in (network, imported))
    if not all(_walk(a, b, pairs) for a, b in zip(ours, theirs, strict=True)):
        return False
    wanted = [layer for layer in network.layers if layer.weights and not isinstance(layer, layers.BatchNormalization)]
    return all(layer.name in pairs and _fill(layer, pairs[layer.name]) for layer in wanted)


def batch_norms(network: Any) -> list[Any]:
    """The batch norm layers of a network."""
    return [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]


def fit_batch_norm(network: Any, batches: Sequence[NDArray[np.uint8]]) -> None:
    """Give every batch norm the mean and variance of its inputs on photos. Its scale and offset cancel them out.

    So the network's result doesn't change. Training normalises with the statistics of a batch; with this scale and
    offset it starts with nearly the same result. Before the call, each batch norm must be an identity plus an offset.
    batches: (B, H, W, 3) uint8 RGB network inputs.
    """
    norms = batch_norms(network)
    inputs = keras.Model(network.inputs[0], [layer.input for layer in norms])
    sums: list[NDArray[np.float64]] = [np.zeros((3, layer.input.shape[-1])) for layer in norms]
    for batch in batches:
        for total, values in zip(sums, _as_list(inputs(batch, training=False)), strict=True):
            cells = keras.ops.convert_to_numpy(values).astype(np.float64).reshape(-1, values.shape[-1])
            total += [np.full(cells.shape[1], len(cells)), cells.sum(axis=0), np.square(cells).sum(axis=0)]
    for layer, (count, total, squares) in zip(norms, sums, strict=True):
        mean = total / count
        variance = np.maximum(squares / count - np.square(mean), 0)
        _, beta, _, _ = layer.get_weights()
        layer.set_weights([np.sqrt(variance + layer.epsilon), beta + mean, mean, variance])


def _ends(network: Any) -> list[Any]:
    """The heatmaps and the PAFs of the last stage."""
    stages = len(network.outputs) // 2
    return [network.outputs[stages - 1], network.outputs[-1]]


def _walk(ours: Any, theirs: Any, pairs: dict[str, Any]) -> bool:
    """Pair the layers that make two tensors, and all layers before them; returns whether the graphs match."""
    a, b = _source(ours), _source(theirs)
    if a.name in pairs:
        return pairs[a.name] is b
    if type(a) is not type(b):
        return False
    pairs[a.name] = b
    first, second = _as_list(a.input), _as_list(b.input)
    if isinstance(a, layers.InputLayer):
        return True
    return len(first) == len(second) and all(_walk(x, y, pairs) for x, y in zip(first, second, strict=True))


def _source(tensor: Any) -> Any:
    """The layer that makes a tensor. Activations, batch norm, padding and normalisation are skipped."""
    layer = tensor._keras_history.operation
    passing = (layers.ReLU, layers.Activation, layers.BatchNormalization, layers.ZeroPadding2D, layers.Rescaling)
    while isinstance(layer, (*passing, layers.ELU)):
        layer = layer.input._keras_history.operation
    return layer


def _fill(layer: Any, source: Any) -> bool:
    values = source.get_weights()
    if not all(isinstance(each, layers.Conv2D | layers.DepthwiseConv2D) for each in (layer, source)):
        return False
    kernel, bias = values[0], values[1] if len(values) > 1 else np.zeros(source.output.shape[-1], np.float32)
    if isinstance(layer, layers.DepthwiseConv2D) and kernel.shape[3] != 1:
        return False
    cut = _cut(kernel, layer.kernel.shape)
    count = layer.output.shape[-1]
    if cut is None or bias[count:].any():
        return False
    bias = bias[:count]
    norm = next((each for each in _readers(layer) if isinstance(each, layers.BatchNormalization)), None)
    if norm is None and layer.use_bias:
        layer.set_weights([cut, bias])
        return True
    if norm is None or layer.use_bias:
        return norm is None and not bias.any() and _set_kernel(layer, cut)
    ones = np.ones(count, np.float32)
    norm.set_weights([ones * np.sqrt(1 + norm.epsilon, dtype=np.float32), bias, 0 * ones, ones])
    return _set_kernel(layer, cut)


def _set_kernel(layer: Any, kernel: NDArray[Any]) -> bool:
    layer.set_weights([kernel])
    return True


def _cut(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any] | None:
    """The array cut to `shape`; None if an axis is too short, or if the cut would remove values other than zero."""
    if array.ndim != len(shape) or any(have < want for have, want in zip(array.shape, shape, strict=True)):
        return None
    kept = array[tuple(slice(size) for size in shape)]
    # Weights that read a channel of zeros could have any value. Exported files have zeros there too.
    return kept if np.count_nonzero(kept) == np.count_nonzero(array) else None


def _readers(layer: Any) -> Iterator[Any]:
    return (node.operation for node in layer._outbound_nodes)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
