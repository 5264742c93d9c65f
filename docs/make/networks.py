"""Diagrams of networks, drawn from their Keras graphs: blocks with their convolutions, shapes and costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from svg import INK, LILAC, MINT, PALE, SAND, SKY, WHITE, WIDTH, Svg

_SIZE = 256  # pixels of the input that shapes and costs are given for
_LEFT, _RIGHT, _HIGH, _GAP = 44.0, WIDTH - 24.0, 58.0, 20.0
_TRUNK, _HEAD = 350.0, 50.0  # width of a trunk's box, height of a head's box
_BUS = 24.0  # x of the line that carries the features to all stages
_LETTER = 7.6  # pixels of a letter of size 15, at most
_LONGEST_REPEAT = 4  # convolutions
_LONGEST_TEXT = 60  # letters; the channels of a longer sequence are summed up


@dataclass(frozen=True)
class Block:
    """A box of the diagram: its title, and its layers by patterns of their names."""

    title: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A stage: its trunk, and the layers that make its heatmaps and its PAFs, by patterns of their names."""

    trunk: Block
    heatmaps: tuple[str, ...]
    pafs: tuple[str, ...]


@dataclass(frozen=True)
class Diagram:
    """What is drawn of a network, from the photo to the maps."""

    title: str
    backbone: tuple[Block, ...]
    features: Block
    stages: tuple[Stage, ...]


BODYPOSENET = Diagram(
    "bodyposenet_vgg19_coco",
    (
        Block("block 1", ("block_1*",)),
        Block("block 2", ("block_2*",)),
        Block("block 3", ("block_3*",)),
        Block("blocks 4 and 6", ("block_4*", "block_6*")),
    ),
    Block("features", ("channel_reduction_conv*",)),
    (
        Stage(Block("stage 1", ("stage1_conv*",)), ("stage1_heat_*",), ("stage1_paf_*",)),
        Stage(Block("stage 2", ("stage2_conv*",)), ("stage2_heat_*",), ("stage2_paf_*",)),
        Stage(Block("stage 3", ("stage3_conv*",)), ("stage3_heat_*", "heatmap_out"), ("stage3_paf_*", "paf_out")),
    ),
)
BOX = Diagram(
    "the model in the box",
    (
        Block("conv1, conv2_1", ("conv1*", "conv2_1_*")),
        Block("conv2_2, conv3_1", ("conv2_2_*", "conv3_1_*")),
        Block("conv3_2 to conv4_2", ("conv3_2_*", "conv4_1_dw", "conv4_1_sep", "conv4_2_dw", "conv4_2_sep")),
        Block("conv5_1 to conv5_5", ("conv5_?_dw", "conv5_?_sep")),
        Block("conv4_3_CPM", ("conv4_3_CPM*",)),
    ),
    Block("features (conv4_4_CPM)", ("conv4_4_CPM",)),
    (
        Stage(
            Block("stage 1", ("conv5_[123]_CPM_L1",)),
            ("conv5_4_CPM_L2", "stage1_heat_out"),
            ("conv5_4_CPM_L1", "stage1_paf_out"),
        ),
        Stage(
            Block("stage 2", ("Mconv[1-5]_stage2*",)),
            ("Mconv6_stage2_L2", "heatmap_out"),
            ("Mconv6_stage2_L1", "paf_out"),
        ),
    ),
)


def network_diagram(network: Any, diagram: Diagram) -> str:
    """The SVG of a Keras network; the diagram says which layers are in which box.

    Raises ValueError where a convolution of the network is in no box, or in two.
    """
    graph = _Graph(network)
    graph.check(diagram)
    boxes = len(diagram.backbone) + 2
    top = 58.0
    height = top + boxes * (_HIGH + _GAP) + len(diagram.stages) * (2 * _HEAD + 8 + 34) + 54
    svg = Svg(height, f"The graph of {diagram.title}")
    total = f"{graph.parameters(['*']) / 1e6:.2f} M parameters, {graph.gmacs(['*']):.2f} GMAC"
    svg.write(_LEFT, 36, diagram.title, 18, bold=True)
    svg.write(_RIGHT, 36, total, 15, PALE, "end")
    _box(svg, top, "image", "uint8 RGB; normalised by the first layer", f"{_SIZE} x {_SIZE} x 3", "", WHITE)
    y = top + _HIGH + _GAP
    for block, fill in [*((block, SKY) for block in diagram.backbone), (diagram.features, SAND)]:
        svg.line([(WIDTH / 2, y - _GAP), (WIDTH / 2, y)], INK, 2, tip=True)
        _box(
            svg, y, block.title, graph.sequence(block.layers), graph.shape(block.layers), graph.cost(block.layers), fill
        )
        y += _HIGH + _GAP
    bus = y - _GAP - _HIGH / 2
    for index, stage in enumerate(diagram.stages):
        y += 14
        _stage(svg, graph, stage, y, first=index == 0)
        last, y = y + _HEAD + 4, y + 2 * _HEAD + 28
        svg.line([(_LEFT, bus), (_BUS, bus), (_BUS, last), (_LEFT, last)], INK, 2, tip=True)
    svg.write(
        _LEFT, y + 12, "3x3, 64: convolution with a 3 x 3 kernel and 64 channels. sep: depthwise, then 1x1.", 14, PALE
    )
    adds = "add: a shortcut is added. " if graph.has_shortcuts else ""
    svg.write(_LEFT, y + 32, f"{adds}Shapes and costs are for an input of {_SIZE} x {_SIZE}.", 14, PALE)
    return svg.text


class _Graph:
    """A network's convolutions with their shapes and costs."""

    def __init__(self, network: Any) -> None:
        import keras

        from bpnet_cli.models.bodyposenet import macs_by_layer

        image = keras.Input((_SIZE, _SIZE, 3), dtype="uint8", name="image")
        self.layers = keras.models.clone_model(network, input_tensors=image).layers
        self.macs: dict[str, int] = macs_by_layer(network, _SIZE, _SIZE)

    @property
    def has_shortcuts(self) -> bool:
        """Whether the outputs of layers are added somewhere."""
        return any(type(layer).__name__ == "Add" for layer in self.layers)

    def check(self, diagram: Diagram) -> None:
        """Every convolution must be in one box."""
        heads = [part for stage in diagram.stages for part in (stage.heatmaps, stage.pafs)]
        blocks = [*diagram.backbone, diagram.features, *(stage.trunk for stage in diagram.stages)]
        boxes = [*(block.layers for block in blocks), *heads]
        for name in self.macs:
            found = sum(any(fnmatchcase(name, pattern) for pattern in box) for box in boxes)
            if found != 1:
                raise ValueError(f"{diagram.title}: layer {name} is in {found} boxes")

    def parameters(self, patterns: Sequence[str]) -> int:
        """Number of weights of the layers."""
        return sum(layer.count_params() for layer in self._chosen(patterns))

    def gmacs(self, patterns: Sequence[str]) -> float:
        """Billions of multiply-accumulates of the layers."""
        return sum(self.macs.get(layer.name, 0) for layer in self._chosen(patterns)) / 1e9

    def cost(self, patterns: Sequence[str]) -> str:
        """Parameters and multiply-accumulates of the layers as a text."""
        count = self.parameters(patterns)
        weights = f"{count / 1e6:.2f} M" if count > 1e5 else f"{count / 1e3:.0f} k"
        return f"{weights}, {self.gmacs(patterns):.2f} GMAC"

    def shape(self, patterns: Sequence[str]) -> str:
        """The shape of the last convolution's output."""
        last = [layer for layer in self._chosen(patterns) if layer.name in self.macs][-1]
        return " x ".join(str(side) for side in last.output.shape[1:])

    def sequence(self, patterns: Sequence[str]) -> str:
        """The convolutions as a text, in which repetitions are counted."""
        words: list[tuple[str, str]] = []
        for layer in self._chosen(patterns):
            kind = type(layer).__name__
            if kind == "Add":
                words.append(("add", ""))
            elif layer.name in self.macs:
                kernel = _kernel(layer)
                if words and words[-1][1] == "dw" and kernel == "1x1":
                    words[-1] = (f"sep {words[-1][0]}", str(layer.filters))
                else:
                    words.append((kernel, "dw" if kind == "DepthwiseConv2D" else str(layer.filters)))
        return _counted(words)

    def _chosen(self, patterns: Sequence[str]) -> list[Any]:
        return [layer for layer in self.layers if any(fnmatchcase(layer.name, pattern) for pattern in patterns)]


def _kernel(layer: Any) -> str:
    side = "x".join(str(size) for size in layer.kernel_size)
    stride = f" stride {layer.strides[0]}" if layer.strides[0] > 1 else ""
    return f"{side}{stride}" + (f" dilated {layer.dilation_rate[0]}" if layer.dilation_rate[0] > 1 else "")


def _counted(words: Sequence[tuple[str, str]]) -> str:
    """The convolutions as one text; the channels stand once where all have the same number."""
    channels = {count for _, count in words if count}
    same = len(channels) == 1
    parts = [kernel if same or not count else f"{kernel}, {count}" for kernel, count in words]
    for size in range(1, _LONGEST_REPEAT + 1):
        if len(parts) > size and len(parts) % size == 0 and parts == parts[:size] * (len(parts) // size):
            one = " → ".join(parts[:size])
            return f"{len(parts) // size} x {one if size == 1 else f'({one})'}" + (
                f", {channels.pop()}" if same else ""
            )
    whole = " → ".join(_runs(parts)) + (f", {channels.pop()}" if same else "")
    if len(whole) <= _LONGEST_TEXT:
        return whole
    numbers = sorted(int(count) for count in channels)
    return " → ".join(_runs(kernel for kernel, _ in words)) + f", {numbers[0]} to {numbers[-1]}"


def _runs(parts: Iterable[str]) -> list[str]:
    runs: list[tuple[str, int]] = []
    for part in parts:
        if runs and runs[-1][0] == part:
            runs[-1] = (part, runs[-1][1] + 1)
        else:
            runs.append((part, 1))
    return [part if count == 1 else f"{count} x {part}" for part, count in runs]


def _box(svg: Svg, y: float, title: str, convolutions: str, shape: str, cost: str, fill: str) -> None:
    svg.rect(_LEFT, y, _RIGHT - _LEFT, _HIGH, fill, INK, 6)
    svg.write(_LEFT + 14, y + 24, title, 16, bold=True)
    svg.write(_RIGHT - 14, y + 24, shape, 16, anchor="end")
    svg.write(_LEFT + 14, y + 46, convolutions, 15)
    svg.write(_RIGHT - 14, y + 46, cost, 14, PALE, "end")


def _stage(svg: Svg, graph: _Graph, stage: Stage, y: float, first: bool) -> None:
    high = 2 * _HEAD + 8
    svg.rect(_LEFT, y, _TRUNK, high, WHITE, INK, 6)
    svg.write(_LEFT + 14, y + 26, stage.trunk.title, 16, bold=True)
    reads = "reads the features" if first else "reads features and maps"
    svg.write(_LEFT + 104, y + 26, reads, 14, PALE)
    for row, words in enumerate(_wrapped(graph.sequence(stage.trunk.layers), _TRUNK - 28)):
        svg.write(_LEFT + 14, y + 52 + 20 * row, words, 15)
    svg.write(_LEFT + 14, y + high - 12, graph.cost(stage.trunk.layers), 14, PALE)
    x = _LEFT + _TRUNK + 36
    for turn, (title, layers, fill) in enumerate((("heatmaps", stage.heatmaps, MINT), ("PAFs", stage.pafs, LILAC))):
        top = y + turn * (_HEAD + 8)
        svg.line([(_LEFT + _TRUNK, top + _HEAD / 2), (x, top + _HEAD / 2)], INK, 2, tip=True)
        svg.rect(x, top, _RIGHT - x, _HEAD, fill, INK, 6)
        svg.write(x + 12, top + 21, title, 16, bold=True)
        svg.write(_RIGHT - 12, top + 21, graph.shape(layers), 15, anchor="end")
        svg.write(x + 12, top + 41, graph.sequence(layers), 15)
    if not first:
        middle = _RIGHT - 120
        svg.line([(middle, y - 34), (middle, y - 17), (_LEFT + 250, y - 17), (_LEFT + 250, y)], INK, 2, tip=True)


def _wrapped(words: str, width: float) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) * _LETTER > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
