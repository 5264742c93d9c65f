"""The network that a run begins with, and the one that it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from bpnet_cli.build import graph_file_of, metadata_of, network_of
from bpnet_cli.errors import SpecError, hinting
from bpnet_cli.log import say
from bpnet_cli.models.bodyposenet import backbone_layers
from bpnet_cli.models.box import box_or_path
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.models.model_file import load_network
from bpnet_cli.models.own_graph import with_maps_of
from bpnet_cli.models.transfer import same_maps
from bpnet_cli.models.weights import layers_left_out, load_pretrained, tell_taken_over
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training.distribution import Distribution
from bpnet_cli.training.freeze import freeze

# Keys of the section `model` that say nothing about the graph.
_NOT_THE_GRAPH = {"graph", "pretrained", "input_height", "input_width", "initializer"}


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with.

    network: what is trained, with its pretrained weights, in the run's precision. saved: what goes into model files:
    the network itself, or a float32 copy with every layer trainable that holds the averaged weights. So model files
    don't depend on the precision and the frozen layers of the run.
    filled, fresh: layers with and without pretrained weights. thawed_later: layers that don't learn at first.
    """

    network: Any
    saved: Any
    metadata: ModelMetadata
    filled: Sequence[str]
    fresh: Sequence[str]
    thawed_later: frozenset[str]


def make_start(spec: ExperimentSpec, skeleton: Skeleton, distribution: Distribution) -> Start:
    """Build the spec's network, or take the graph of the file that it names as pretrained.

    The graph is taken from a pruned file, and from any file with `model.graph: file`. The network is placed on all
    devices of the distribution. The copy to save is on one device, because a host can't run alone a network that it
    shares with other hosts. Raises BpnetError for weights or patterns that don't fit.
    """
    model, training = spec.model, spec.training
    path = _own_graph(spec, skeleton)
    with distribution.scope():
        network, filled = (
            _from_file(path, spec.training.precision, skeleton) if path else (network_of(spec, skeleton), [])
        )
        distribution.share_statistics(network)
        fixed = freeze(network, training.frozen_layers)
        if not path:
            filled = load_pretrained(network, model.backbone, model.pretrained, skeleton)
    thawed_later = _layers_to_freeze(spec, network, filled)
    fresh = layers_left_out(network, filled) if filled else []
    metadata = _metadata(spec, skeleton, path)
    origin = f", {metadata.graph}" if metadata.has_own_graph else ""
    say(f"network: {network.count_params():,} parameters{origin}")
    if fixed:
        say(f"frozen: {fixed} layers keep their weights")
    if fixed and metadata.graph == "pruned":
        say("those of them that were pruned can't recover; --set training.frozen_layers=[] lets all layers learn")
    if filled:
        say(f"pretrained: {len(filled)} layers from {model.pretrained}; not filled whole: {_listed(fresh)}")
    saved = network
    differs = training.precision != "float32" or training.ema_momentum is not None or training.frozen_layers
    if differs or distribution.strategy is not None:
        keras.config.set_dtype_policy("float32")
        saved = _from_file(path, "float32", skeleton)[0] if path else network_of(spec, skeleton)
        keras.config.set_dtype_policy(training.precision)
    return Start(network, saved, metadata, filled, fresh, thawed_later)


def _own_graph(spec: ExperimentSpec, skeleton: Skeleton) -> str | None:
    """Path of the file whose graph the run takes; None where the spec describes the graph.

    Raises SpecError for a file with a graph of its own that isn't the network that the spec asks for.
    """
    path = graph_file_of(spec) or box_or_path(spec.model.pretrained, keras=True)
    if not path.endswith(".keras"):
        return None
    with hinting("model.pretrained; paths are relative to the working directory"):
        metadata = read_keras_metadata(path)
    if spec.model.graph == "file":
        return path
    if not metadata.has_own_graph:
        return None
    if metadata.graph != "pruned" or metadata.spec["model"].get("graph") == "file":
        raise SpecError(
            f"model.graph: {spec.model.pretrained} has a graph of its own ({metadata.graph}), which no keys describe:"
            " set model.graph: file, and leave out the keys of model that describe a network"
        )
    ours, theirs = spec.model.model_dump(mode="json"), metadata.spec["model"]
    differing = [key for key in ours if key not in _NOT_THE_GRAPH and ours[key] != theirs.get(key)]
    if differing or metadata.skeleton != skeleton:
        listed = "; ".join(f"model.{key}: {theirs.get(key)} -> {ours[key]}" for key in differing) or "skeleton"
        raise SpecError(
            f"model.pretrained: {path} is pruned and trained on as it is, but this spec asks for another network"
            f" ({listed}); use the spec that it was trained with"
        )
    return path


def _metadata(spec: ExperimentSpec, skeleton: Skeleton, path: str | None) -> ModelMetadata:
    metadata = metadata_of(spec, skeleton)
    return replace(metadata, graph=read_keras_metadata(path).graph) if path and not metadata.has_own_graph else metadata


def _from_file(path: str, precision: str, skeleton: Skeleton) -> tuple[Any, list[str]]:
    """A file's graph in the run's precision, with the skeleton's maps, and the layers that have the file's weights.

    The maps stay float32.
    """
    network, metadata = load_network(path)
    filled = [layer.name for layer in network.layers if layer.weights]
    if not same_maps(metadata.skeleton, skeleton):
        network, filled = with_maps_of(network, metadata.skeleton, skeleton)
        tell_taken_over(path, metadata.skeleton, skeleton)
    if precision == "float32":
        return network, filled
    maps = {id(tensor) for tensor in network.outputs}

    def convert(layer: Any) -> Any:
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer) and id(layer.output) not in maps:
            config["dtype"] = precision
        return type(layer).from_config(config)

    converted = keras.models.clone_model(network, clone_function=convert)
    converted.set_weights(network.get_weights())
    return converted, filled


def _layers_to_freeze(spec: ExperimentSpec, network: Any, filled: Sequence[str]) -> frozenset[str]:
    """The backbone's pretrained layers, where the spec freezes them at first. Raises SpecError when there are none."""
    epochs = spec.training.freeze_backbone_epochs
    frozen = backbone_layers(network).intersection(filled) if epochs else frozenset()
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
