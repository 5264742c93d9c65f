"""Names of Keras layers for the convolutions of an exported graph."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from bpnet_cli.errors import SpecError, did_you_mean


def convolutions(graph: Any) -> list[Any]:
    """The convolutions of an ONNX graph, in the order of computing."""
    return [node for node in graph.node if node.op_type == "Conv"]


def name_convolutions(graph: Any, network: Any) -> None:
    """Give each convolution of an exported ONNX graph the name of its Keras layer, in place.

    The converter's names of nodes and tensors begin with a layer's name and "_1/". Where a batch norm was folded into a
    convolution, only the batch norm's name may be left. A convolution of which nothing is called so keeps its name.
    """
    from bpnet_cli.models.bodyposenet import layers_read

    own = {layer.name: layer.name for layer in network.layers if "Conv" in type(layer).__name__}
    read = {layer.name: [each.name for each in layers_read(layer)] for layer in network.layers}
    after = {name: sources[0] for name, sources in read.items() if len(sources) == 1 and sources[0] in own}
    for node in convolutions(graph):
        heads = [name.partition("/")[0].removesuffix("_1") for name in (node.name, *node.input[1:], *node.output)]
        found = [known[head] for known in (own, after) for head in heads if head in known]
        node.name = found[0] if found else node.name


def matching_layers(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that fit any of the patterns, in which * stands for any characters.

    Raises SpecError for a pattern that no name fits.
    """
    names = list(names)
    found: list[str] = []
    for pattern in patterns:
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting:
            raise SpecError(
                f"export.float_layers: no convolution of this network is called '{pattern}'"
                f"{did_you_mean(pattern, names) or '; --explain lists them'}"
            )
        found += fitting
    return found
