"""The network that a run begins with, and the network that it saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from bpnet_cli.errors import SpecError
from bpnet_cli.log import say
from bpnet_cli.models.bodyposenet import backbone_layers
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.models.model_file import load_network
from bpnet_cli.models.own_graph import NewChannels, with_maps_of
from bpnet_cli.models.transfer import same_maps, with_names
from bpnet_cli.models.weights import layers_left_out, load_pretrained, tell_taken_over
from bpnet_cli.plan import StartPlan
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.training.distribution import Distribution
from bpnet_cli.training.freeze import freeze

# A function that gives weights to the new channels of a network (second) with the graph of another one (first), and
# returns the names of the layers that got some.
Fit = Callable[[Any, Any, Mapping[str, NewChannels]], list[str]]


@dataclass(frozen=True, eq=False)
class Start:
    """The networks at the beginning of a run.

    network: the network to train, with its pretrained weights, in the run's precision. saved: the network for model
    files. It is `network` itself, or a float32 copy that holds the averaged weights and in which every layer is
    trainable. So model files don't depend on the run's precision and frozen layers.
    metadata: of the model files. filled, fresh: names of layers with and without pretrained weights. thawed_later:
    names of layers that don't learn in the first epochs.
    """

    network: Any
    saved: Any
    metadata: ModelMetadata
    filled: Sequence[str]
    fresh: Sequence[str]
    thawed_later: frozenset[str]


def make_start(
    plan: StartPlan, skeleton: Skeleton, distribution: Distribution, averaged: bool, fit: Fit | None = None
) -> Start:
    """Build the network, or load the plan's file with its graph and weights.

    The network is placed on all devices of the distribution. The copy to save is on one device, because one host can't
    run a network alone that it shares with other hosts. averaged: whether the copy will hold averaged weights. fit:
    gives weights to the maps that the file does not have; None leaves them random.
    Raises BpnetError for weights or patterns that don't fit.
    """
    differs = bool(plan.precision != "float32" or averaged or plan.frozen_layers or distribution.strategy is not None)
    taken, filled = _from_file(plan.file, skeleton, plan.renamed, fit) if plan.file else (None, [])
    with distribution.scope():
        network = plan.fresh() if taken is None else _copied(taken, plan.precision) if differs else taken
        distribution.share_statistics(network)
        fixed = freeze(network, plan.frozen_layers)
        if taken is None:
            filled = load_pretrained(network, plan.backbone, plan.pretrained, skeleton, plan.renamed)
    thawed_later = _layers_to_freeze(plan, network, filled)
    fresh = layers_left_out(network, filled) if filled else []
    _tell_network(plan, network, fixed, filled, fresh)
    saved = network if taken is None else taken
    if differs and taken is None:
        keras.config.set_dtype_policy("float32")
        saved = plan.fresh()
        keras.config.set_dtype_policy(plan.precision)
    return Start(network, saved, plan.metadata, filled, fresh, thawed_later)


def _tell_network(plan: StartPlan, network: Any, fixed: int, filled: Sequence[str], fresh: Sequence[str]) -> None:
    origin = f", {plan.metadata.graph}" if plan.metadata.has_own_graph else ""
    say(f"network: {network.count_params():,} parameters{origin}")
    if fixed:
        say(f"frozen: {fixed} layers keep their weights")
    if fixed and plan.metadata.graph == "pruned":
        say("those of them that were pruned can't recover; --set training.frozen_layers=[] lets all layers learn")
    if filled:
        say(f"pretrained: {len(filled)} layers from {plan.pretrained}; not filled whole: {_listed(fresh)}")


def _from_file(path: str, skeleton: Skeleton, renamed: Mapping[str, str], fit: Fit | None) -> tuple[Any, list[str]]:
    """The network of a file, with maps for the skeleton, and the names of the layers without random weights."""
    network, metadata = load_network(path)
    filled = [layer.name for layer in network.layers if layer.weights]
    theirs = with_names(metadata.skeleton, renamed, skeleton)
    if not same_maps(theirs, skeleton):
        old = network
        network, new = with_maps_of(old, theirs, skeleton)
        tell_taken_over(path, theirs, skeleton)
        filled = [name for name, channels in new.items() if not (channels.read.any() or channels.made.any())]
        if fit and len(filled) < len(new):
            filled += fit(old, network, new)
    return network, filled


def _copied(network: Any, precision: str) -> Any:
    """A copy of the network, in the run's precision. The maps stay float32."""
    maps = {id(tensor) for tensor in network.outputs}

    def convert(layer: Any) -> Any:
        config = layer.get_config()
        if precision != "float32" and not isinstance(layer, keras.layers.InputLayer) and id(layer.output) not in maps:
            config["dtype"] = precision
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=convert)
    copy.set_weights(network.get_weights())
    return copy


def _layers_to_freeze(plan: StartPlan, network: Any, filled: Sequence[str]) -> frozenset[str]:
    """The backbone's pretrained layers if the plan freezes them at first, else none.

    Raises SpecError if the plan freezes them, but no layer of the backbone is pretrained.
    """
    epochs = plan.frozen_epochs
    frozen = backbone_layers(network).intersection(filled) if epochs else frozenset()
    if epochs and not frozen:
        raise SpecError(
            f"training.freeze_backbone_epochs: {plan.pretrained} fills no layer of backbone {plan.backbone}"
        )
    if frozen:
        say(f"frozen until epoch {epochs} is over: {len(frozen)} layers of the backbone")
    return frozen


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more (status.jsonl lists all)" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
