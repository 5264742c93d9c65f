"""The network: normalisation, backbone and stages. It is one plain functional graph with stable layer names."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from bpnet_cli.models import names
from bpnet_cli.models.backbones import BACKBONES
from bpnet_cli.models.stages import Convolutions, StageShape, build_stage


def build_network(
    *,
    backbone: str,
    stages: int,
    shared: bool,
    feature_channels: int,
    initial_stage: StageShape,
    refinement_stage: StageShape,
    convolutions: Convolutions,
    heatmap_channels: int,
    paf_channels: int,
    height: int | None = None,
    width: int | None = None,
) -> Any:
    """Build a functional `keras.Model` from RGB photos to the maps of every stage.

    Input `image`: (B, H, W, 3) uint8 RGB 0..255. Normalisation is the graph's first layer. H and W are free unless
    `height` and `width` fix them. H and W must be multiples of the backbone's `input_multiple`.
    Outputs: [heatmaps of stage 1..S, pafs of stage 1..S], float32, (B, H/8, W/8, heatmap_channels or paf_channels).
    """
    parts = BACKBONES[backbone]
    image = keras.Input((height, width, 3), dtype="uint8", name="image")
    x = layers.Rescaling(parts.scale, list(parts.offset), name="normalization")(image)
    x = parts.build(x)
    features = convolutions.hidden(x, feature_channels, 3, names.FEATURES)
    heatmaps: list[Any] = []
    pafs: list[Any] = []
    for index in range(1, stages + 1):
        shape, x = initial_stage, features
        if index > 1:
            shape = refinement_stage
            maps = [heatmaps[-1], pafs[-1]] if paf_channels else [heatmaps[-1]]
            x = layers.Concatenate(name=names.concatenation(index))([features, *maps])
        heat, paf = build_stage(
            x,
            index,
            shape,
            convolutions,
            shared=shared,
            last=index == stages,
            channels=(heatmap_channels, paf_channels),
        )
        heatmaps.append(heat)
        pafs.append(paf)
    return keras.Model(image, heatmaps + pafs, name="bodyposenet")


def backbone_layers(network: Any) -> frozenset[str]:
    """Names of the backbone's layers: the layers before the stages and before the convolution that feeds the stages.

    Layer names from another tool don't show this. In such a graph, the result is the layers that all maps depend on.
    """
    every = [layer.name for layer in network.layers]
    if names.FEATURES in every:
        return frozenset(name for name in every if names.parse(name) is None)
    return frozenset.intersection(*(_before(tensor) for tensor in network.outputs))


def _before(tensor: Any) -> frozenset[str]:
    """Names of the layers that a tensor depends on, without the layer that makes the tensor."""
    found: set[str] = set()
    waiting = [tensor._keras_history.operation]
    while waiting:
        new = [layer for layer in layers_read(waiting.pop()) if layer.name not in found]
        found.update(layer.name for layer in new)
        waiting += new
    return frozenset(found)


def layers_read(layer: Any) -> list[Any]:
    """The layers whose outputs this layer of a functional network reads; an empty list for the input layer."""
    if isinstance(layer, layers.InputLayer):
        return []
    tensors = layer.input if isinstance(layer.input, list | tuple) else [layer.input]
    return [tensor._keras_history.operation for tensor in tensors]


def split_outputs(outputs: list[Any]) -> tuple[list[Any], list[Any]]:
    """Split a network's output list into (heatmaps of every stage, pafs of every stage)."""
    stages = len(outputs) // 2
    return outputs[:stages], outputs[stages:]


def inference_network(network: Any) -> Any:
    """The same graph and weights with the last stage's maps as the only outputs: {"heatmaps", "pafs"}."""
    heatmaps, pafs = split_outputs(network.outputs)
    return keras.Model(network.inputs[0], {"heatmaps": heatmaps[-1], "pafs": pafs[-1]}, name="bodyposenet_inference")


def count_macs(network: Any, height: int, width: int) -> int:
    """Number of multiply-accumulates of all convolutions for one image of height x width pixels."""
    return sum(macs_by_layer(network, height, width).values())


def macs_by_layer(network: Any, height: int, width: int) -> dict[str, int]:
    """Number of multiply-accumulates of each convolution, by layer name, for one image of height x width pixels."""
    fixed = keras.models.clone_model(
        network, input_tensors=keras.Input((height, width, 3), dtype="uint8", name="image")
    )
    macs = {}
    for layer in fixed.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Conv2DTranspose):
            kernel = layer.kernel.shape
            # A convolution uses every kernel value once per output position, a transposed convolution once per input
            # position.
            grid = layer.input.shape if isinstance(layer, layers.Conv2DTranspose) else layer.output.shape
            macs[layer.name] = grid[1] * grid[2] * kernel[0] * kernel[1] * kernel[2] * kernel[3]
    return macs
