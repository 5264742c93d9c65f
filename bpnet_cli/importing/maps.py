"""Finds the tensors of an imported graph that are the maps of its stages."""

from __future__ import annotations

from dataclasses import dataclass

from bpnet_cli.errors import ModelFileError
from bpnet_cli.importing.graph import ARITHMETIC, Graph, Node
from bpnet_cli.models import names
from bpnet_cli.pose.skeleton import Skeleton


@dataclass(frozen=True)
class StageMaps:
    """The maps of all stages.

    heatmaps, pafs: names of tensors, stage 1 first. heatmap_output, paf_output: positions of the last stage's maps
    among the file's outputs.
    """

    heatmaps: list[str]
    pafs: list[str]
    heatmap_output: int
    paf_output: int

    @property
    def tensors(self) -> list[str]:
        """All tensors in the order of a network's outputs in bpnet: heatmaps of all stages, then PAFs of all stages."""
        return [*self.heatmaps, *self.pafs]

    @property
    def layer_names(self) -> dict[str, str]:
        """Layer name for each tensor, the same names as in networks that bpnet builds (`models.names`)."""
        last = len(self.heatmaps)
        found = {}
        for branch, tensors in ((names.HEATMAPS, self.heatmaps), (names.PAFS, self.pafs)):
            for index, tensor in enumerate(tensors, start=1):
                found[tensor] = names.output(index, branch, last=index == last)
        return found


def find_maps(graph: Graph, skeleton: Skeleton) -> StageMaps:
    """Find the maps of as many stages as possible.

    Maps of the last stage are outputs of the file. Maps of an earlier stage are also outputs, or the next stage reads
    both in one concatenation. If the numbers of heatmaps and PAFs that are found differ, only the last stage counts.
    Raises ModelFileError if the file has no two outputs with the skeleton's numbers of channels.
    """
    channels, sizes = _channels(graph), (skeleton.heatmap_channels, skeleton.paf_channels)
    makers = {node.output: node for node in graph.nodes}
    outputs = [_on_the_grid(graph, makers, name, channels) for name in graph.outputs]
    finals = [[name for name in outputs if channels.get(name) == size] for size in sizes]
    same = sizes[0] == sizes[1]
    if same and len(finals[0]) == 2:
        # Both have the same number of channels, so only their names tell them apart.
        heat = next((i for i, name in enumerate(graph.outputs) if "heat" in name.lower()), 0)
        return StageMaps([outputs[heat]], [outputs[1 - heat]], heat, 1 - heat)
    if not finals[0] or not finals[1] or same:
        found = ", ".join(
            f"{given} ({channels[name]} channels)" if name in channels else f"{given} (not from a convolution)"
            for given, name in zip(graph.outputs, outputs, strict=True)
        )
        raise ModelFileError(
            f"{graph.path}: no outputs with the {sizes[0]} heatmaps and {sizes[1]} PAFs of skeleton {skeleton.name};"
            f" the file has {found}; give the skeleton of this file with --skeleton; nothing was written"
        )
    stages = _stages(graph, channels, sizes, {name for kind in finals for name in kind})
    heatmaps, pafs = ([name for name in stages if channels[name] == size] for size in sizes)
    if len(heatmaps) != len(pafs):
        heatmaps, pafs = ([max(kind, key=stages.index)] for kind in finals)
    return StageMaps(heatmaps, pafs, outputs.index(heatmaps[-1]), outputs.index(pafs[-1]))


def _stages(graph: Graph, channels: dict[str, int], sizes: tuple[int, int], finals: set[str]) -> list[str]:
    """Names of the maps of all stages, in the graph's order."""
    found = set(finals)
    for node in graph.nodes:
        read = [name for name in node.inputs if channels.get(name) in sizes]
        if node.kind == "concatenate" and sorted(channels[name] for name in read) == sorted(sizes):
            found |= set(read)
    return [node.output for node in graph.nodes if node.output in found]


def _channels(graph: Graph) -> dict[str, int]:
    """Number of channels of each tensor that a convolution makes, also after an added bias or a scale."""
    channels: dict[str, int] = {}
    for node in graph.nodes:
        if node.kind == "convolution":
            channels[node.output] = graph.constants[node.inputs[1]].shape[0]
        elif node.kind == "transpose" or _has_constant(graph, node):
            source = next((name for name in node.inputs if name in channels), None)
            if source is not None:
                channels[node.output] = channels[source]
    return channels


def _has_constant(graph: Graph, node: Node) -> bool:
    return node.kind in (*ARITHMETIC, "batch_norm") and any(name in graph.constants for name in node.inputs)


def _on_the_grid(graph: Graph, makers: dict[str, Node], name: str, channels: dict[str, int]) -> str:
    """The tensor that an output repeats on a finer grid, as NVIDIA's PAFs do; otherwise the output itself."""
    start = name
    while name not in channels and name in makers:
        node = makers[name]
        if node.kind not in ("resize", "transpose", "add"):
            return start
        name = next(given for given in node.inputs if given not in graph.constants)
    return name if name in channels else start
