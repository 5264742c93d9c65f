"""Builds and reads the names of layers. Pretrained weights, learning rates and transfer find layers by these names.

A backbone has its own layer names; they must not match the grammar here. Source: the names of NVIDIA's BodyPoseNet,
with "_" instead of "/", "heat" instead of "cmap", and without "_branch".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEATMAPS, PAFS = "heat", "paf"
# The convolution between the backbone and the stages.
FEATURES = "channel_reduction_conv"
# Suffixes of the layers that belong to a hidden convolution.
DEPTHWISE, NORM, ACTIVATION = "_depthwise", "_bn", "_relu"
_LAST_OUTPUTS = {HEATMAPS: "heatmap_out", PAFS: "paf_out"}
_GRAMMAR = re.compile(
    rf"(?P<features>{FEATURES})(?P<feature_part>{DEPTHWISE}|{DEPTHWISE}{NORM}|{NORM}|{ACTIVATION})?"
    rf"|stage(?P<stage>[1-9]\d*)(?:_(?P<branch>{HEATMAPS}|{PAFS}))?"
    rf"(?:_conv(?P<number>[1-9]\d*)(?P<part>{DEPTHWISE}|{DEPTHWISE}{NORM}|{NORM}|{ACTIVATION})?"
    r"|(?P<out>(?<=heat)_out|(?<=paf)_out)|(?P<concat>(?<=\d)_concat))"
    rf"|(?P<last>{'|'.join(_LAST_OUTPUTS.values())})"
)


@dataclass(frozen=True)
class Place:
    """The position of a layer after the backbone.

    stage: 1 and up; 0 for the features that all stages read; None for the outputs of the last stage, because their
    names don't contain the stage.
    branch: `HEATMAPS` or `PAFS`; None if both branches share the layer.
    convolution: number of the hidden convolution that the layer belongs to; 0 for none.
    part: suffix of the layer, for example `NORM`; "" for the convolution itself.
    makes_maps: whether the layer's output is the maps of a stage.
    """

    stage: int | None
    branch: str | None = None
    convolution: int = 0
    part: str = ""
    makes_maps: bool = False

    @property
    def refines(self) -> bool:
        """Whether the layer is in a refinement stage. Outputs of the last stage count as refinement in any network."""
        return self.stage is None or self.stage > 1


def trunk(stage: int, branch: str | None = None) -> str:
    """The prefix of the layer names of a stage, or of one branch of the stage."""
    return f"stage{stage}_{branch}" if branch else f"stage{stage}"


def convolution(stage: int, branch: str | None, number: int) -> str:
    """Name of a hidden convolution. number: from 1 in each stage. branch: None if both branches share it."""
    return f"{trunk(stage, branch)}_conv{number}"


def concatenation(stage: int) -> str:
    """Name of the concatenation that a refinement stage reads: features, heatmaps, PAFs."""
    return f"{trunk(stage)}_concat"


def output(stage: int, branch: str, *, last: bool) -> str:
    """Name of the convolution that makes a stage's maps. last: whether it is the last stage."""
    return _LAST_OUTPUTS[branch] if last else f"{trunk(stage, branch)}_out"


def parse(name: str) -> Place | None:
    """The place of the layer with this name. None for layers of a backbone, for the input and for unknown names."""
    match = _GRAMMAR.fullmatch(name)
    if match is None:
        return None
    if match["last"]:
        branch = next(key for key, value in _LAST_OUTPUTS.items() if value == name)
        return Place(None, branch, makes_maps=True)
    if match["features"]:
        return Place(0, part=match["feature_part"] or "")
    number, part = int(match["number"] or 0), match["part"] or ""
    return Place(int(match["stage"]), match["branch"], number, part, makes_maps=match["out"] is not None)
