"""Which tensors of an imported graph are the maps of its stages."""

from __future__ import annotations

from dataclasses import dataclass

from bpnet_cli.errors import ModelFileError
from bpnet_cli.importing.graph import ARITHMETIC, Graph, Node
from bpnet_cli.models import names
from bpnet_cli.pose.skeleton import Skeleton


@dataclass(frozen=True)
class StageMaps:
    """Names of tensors, stage 1 first.

    heatmap_output, paf_output: places, among the file's outputs, of the last stage's.
    """

    heatmaps: list[str]
    pafs: list[str]
    heatmap_output: int
    paf_output: int

    @property
    def tensors(self) -> list[str]:
        """In the order of a network's outputs here."""
        return [*self.heatmaps, *self.pafs]

    @property
    def layer_names(self) -> dict[str, str]:
        """Layer name of each tensor, by the contract that this project's own networks keep."""
        last = len(self.heatmaps)
        found = {}
        for branch, tensors in ((names.HEATMAPS, self.heatmaps), (names.PAFS, self.pafs)):
            for index, tensor in enumerate(tensors, start=1):
                found[tensor] = names.output(index, branch, last=index == last)
        return found


def find_maps(graph: Graph, skeleton: Skeleton) -> StageMaps:
    """The maps of every stage that can be found.

    Of the last stage they are outputs of the file, of earlier ones outputs too or both side by side in one
    concatenation, as the next stage reads them. Raises ModelFileError where the file has no two outputs with the
    skeleton's channels.
    """
    channels, sizes = _channels(graph), (skeleton.heatmap_channels, skeleton.paf_channels)
    makers = {node.output: node for node in graph.nodes}
    outputs = [_on_the_grid(graph, makers, name, channels) for name in graph.outputs]
    finals = [[name for name in outputs if channels.get(name) == size] for size in sizes]
    same = sizes[0] == sizes[1]
    if same and len(finals[0]) == 2:
        # Only their names tell them apart.
        heat = next((i for i, name in enumerate(graph.outputs) if "heat" in name.lower()), 0)
        return StageMaps([outputs[heat]], [outputs[1 - heat]], heat, 1 - heat)
    if not finals[0] or not finals[1] or same:
        found = ", ".join(
            f"{given} ({channels[name]} channels)" if name in channels else f"{given} (not from a convolution)"
            for given, name in zip(graph.outputs, outputs, strict=True)
        )
        raise ModelFileError(
            f"{graph.path}: no outputs with the {sizes[0]} heatmaps and {sizes[1]} PAFs of skeleton {skeleton.name};"
            f" it has {found}; name the file's own skeleton with --skeleton; nothing was written"
        )
    stages = _stages(graph, channels, sizes, {name for kind in finals for name in kind})
    heatmaps, pafs = ([name for name in stages if channels[name] == size] for size in sizes)
    if len(heatmaps) != len(pafs):
        heatmaps, pafs = ([max(kind, key=stages.index)] for kind in finals)
    return StageMaps(heatmaps, pafs, outputs.index(heatmaps[-1]), outputs.index(pafs[-1]))


def _stages(graph: Graph, channels: dict[str, int], sizes: tuple[int, int], finals: set[str]) -> list[str]:
    """Maps of all stages in the graph's order."""
    found = set(finals)
    for node in graph.nodes:
        read = [name for name in node.inputs if channels.get(name) in sizes]
        if node.kind == "concatenate" and sorted(channels[name] for name in read) == sorted(sizes):
            found |= set(read)
    return [node.output for node in graph.nodes if node.output in found]


def _channels(graph: Graph) -> dict[str, int]:
    """Channels of each tensor that a convolution makes, also behind its bias or scale."""
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
    """An output, or the tensor that it repeats on a finer grid, as NVIDIA's PAFs are."""
    start = name
    while name not in channels and name in makers:
        node = makers[name]
        if node.kind not in ("resize", "transpose", "add"):
            return start
        name = next(given for given in node.inputs if given not in graph.constants)
    return name if name in channels else start
