"""Names of layers: what builds them and what reads them. Weights, rates and transfer find layers by these.

Backbone layers have names of their own that must not read like those here. Source: NVIDIA's BodyPoseNet, with "_" for
"/", "heat" for "cmap" and without "_branch".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEATMAPS, PAFS = "heat", "paf"
# The convolution between the backbone and the stages.
FEATURES = "channel_reduction_conv"
# What may follow the name of a hidden convolution.
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
    """Where a layer stands behind the backbone.

    stage: 1 and up, 0 for the features that all stages read, None for the last stage's outputs, whose names don't tell
    it. branch: `HEATMAPS`, `PAFS`, or None for what both share. convolution: number of the hidden convolution that it
    belongs to, 0 for none. part: what it is beside that convolution, "" for itself. makes_maps: whether it gives maps.
    """

    stage: int | None
    branch: str | None = None
    convolution: int = 0
    part: str = ""
    makes_maps: bool = False

    @property
    def refines(self) -> bool:
        """Whether it is of a refinement stage; outputs of the last stage are counted as such."""
        return self.stage is None or self.stage > 1


def trunk(stage: int, branch: str | None = None) -> str:
    """What the names of a stage's layers, or of one branch of it, begin with."""
    return f"stage{stage}_{branch}" if branch else f"stage{stage}"


def convolution(stage: int, branch: str | None, number: int) -> str:
    """A hidden convolution, counted from 1 in each stage; branch: None for what both share."""
    return f"{trunk(stage, branch)}_conv{number}"


def concatenation(stage: int) -> str:
    """What a refinement stage reads: features, heatmaps, PAFs."""
    return f"{trunk(stage)}_concat"


def output(stage: int, branch: str, *, last: bool) -> str:
    """The convolution that makes a stage's maps; last: of the last stage."""
    return _LAST_OUTPUTS[branch] if last else f"{trunk(stage, branch)}_out"


def parse(name: str) -> Place | None:
    """The place that a name tells; None for layers of a backbone, the input and other graphs' own."""
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
