"""The network that a run begins with, and the one that it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.errors import SpecError, hinting
from bpnet_cli.log import say
from bpnet_cli.models.bodyposenet import is_backbone_layer
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.models.model_file import load_network
from bpnet_cli.models.weights import layers_left_out, load_pretrained
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training.distribution import Distribution
from bpnet_cli.training.freeze import freeze

# Keys of the section `model` that say nothing about the graph.
_NOT_THE_GRAPH = {"pretrained", "input_height", "input_width", "initializer"}


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with.

    network: with its pretrained weights, of the run's precision. saved: the network itself, or a float32 twin that
    learns in every layer and holds the average of the weights: files don't tell how they came about.
    filled, fresh: layers with and without pretrained weights. thawed_later: layers that don't learn at first.
    """

    network: Any
    saved: Any
    metadata: ModelMetadata
    filled: Sequence[str]
    fresh: Sequence[str]
    thawed_later: frozenset[str]


def make_start(spec: ExperimentSpec, skeleton: Skeleton, distribution: Distribution) -> Start:
    """Build the spec's network, or take the graph of a pruned file that it names as pretrained.

    The network is on all devices of the distribution, the one to save on a single one: a host can't run alone what it
    shares with others. Raises BpnetError for weights or patterns that don't fit.
    """
    model, training = spec.model, spec.training
    pruned = _is_pruned(spec, skeleton)
    with distribution.scope():
        network = _from_file(spec) if pruned else network_of(spec, skeleton)
        distribution.share_statistics(network)
        fixed = freeze(network, training.frozen_layers)
        filled = [layer.name for layer in network.layers if layer.weights]
        if not pruned:
            filled = load_pretrained(network, model.backbone, model.pretrained, skeleton)
    thawed_later = _layers_to_freeze(spec, filled)
    fresh = layers_left_out(network, filled) if filled else []
    say(f"network: {network.count_params():,} parameters{', pruned' if pruned else ''}")
    if fixed:
        say(f"frozen: {fixed} layers keep their weights")
    if fixed and pruned:
        say("those of them that were pruned can't recover; --set training.frozen_layers=[] lets all layers learn")
    if filled:
        say(f"pretrained: {len(filled)} layers from {model.pretrained}; not filled whole: {_listed(fresh)}")
    saved = network
    differs = training.precision != "float32" or training.ema_momentum is not None or training.frozen_layers
    if differs or distribution.strategy is not None:
        keras.config.set_dtype_policy("float32")
        saved = load_network(model.pretrained)[0] if pruned else network_of(spec, skeleton)
        keras.config.set_dtype_policy(training.precision)
    metadata = metadata_of(spec, skeleton, pruned)
    return Start(network, saved, metadata, filled, fresh, thawed_later)


def _is_pruned(spec: ExperimentSpec, skeleton: Skeleton) -> bool:
    """Whether `model.pretrained` is a pruned file. Raises SpecError when its network is not the spec's otherwise."""
    path = spec.model.pretrained
    if not path.endswith(".keras"):
        return False
    with hinting("model.pretrained; paths are relative to the working directory"):
        metadata = read_keras_metadata(path)
    if not metadata.pruned:
        return False
    ours, theirs = spec.model.model_dump(mode="json"), metadata.spec["model"]
    differing = [key for key in ours if key not in _NOT_THE_GRAPH and ours[key] != theirs.get(key)]
    if differing or metadata.skeleton != skeleton:
        listed = "; ".join(f"model.{key}: {theirs.get(key)} -> {ours[key]}" for key in differing) or "skeleton"
        raise SpecError(
            f"model.pretrained: {path} is pruned and trained on as it is, but this spec asks for another network"
            f" ({listed}); use the spec that it was trained with"
        )
    return True


def _from_file(spec: ExperimentSpec) -> Any:
    """A file's graph in the run's precision; the maps stay float32."""
    network, _ = load_network(spec.model.pretrained)
    if spec.training.precision == "float32":
        return network
    maps = {id(tensor) for tensor in network.outputs}

    def convert(layer: Any) -> Any:
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer) and id(layer.output) not in maps:
            config["dtype"] = spec.training.precision
        return type(layer).from_config(config)

    converted = keras.models.clone_model(network, clone_function=convert)
    converted.set_weights(network.get_weights())
    return converted


def _layers_to_freeze(spec: ExperimentSpec, filled: Sequence[str]) -> frozenset[str]:
    """The backbone's pretrained layers, where the spec freezes them at first. Raises SpecError when there are none."""
    epochs = spec.training.freeze_backbone_epochs
    frozen = frozenset(name for name in filled if epochs and is_backbone_layer(name))
    if epochs and not frozen:
        raise SpecError(
            f"training.freeze_backbone_epochs: {spec.model.pretrained} fills no layer of backbone {spec.model.backbone}"
        )
    if frozen:
        say(f"frozen until epoch {epochs} is over: {len(frozen)} layers of the backbone")
    return frozen


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more (status.jsonl lists all)" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
