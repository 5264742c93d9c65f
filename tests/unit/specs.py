"""Specs of small networks that tests share."""

from __future__ import annotations

from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import load_spec_text

SMALL_STAGES = (
    "initial_stage: {kernel_sizes: [3], channels: 8, head_channels: 8},"
    " refinement_stage: {kernel_sizes: [3], channels: 8, head_channels: 8}, feature_channels: 8"
)


def make_spec(backbone: str = "tiny", **keys: object) -> ExperimentSpec:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return load_spec_text(f"model: {{backbone: {backbone}, stages: 2, {SMALL_STAGES}{more}}}", "test")
