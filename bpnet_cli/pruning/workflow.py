"""`bpnet prune`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_output
from bpnet_cli.inference.load import spec_of
from bpnet_cli.models.metadata import read_keras_metadata


def prune_model(
    model_path: str,
    output: str,
    threshold: float | None,
    target_macs: float | None,
    overwrite: bool,
    overrides: Sequence[str],
) -> str:
    """Write a `.keras` model with fewer channels and describe what went; threshold or target_macs must be given.

    target_macs: share of the MACs that may stay, 0..1. overrides: changes to the spec inside the file (`pruning.*`).
    Raises BpnetError before the network is loaded where names or files forbid it.
    """
    target = check_output(output, ".keras", overwrite)
    if Path(model_path).suffix != ".keras":
        raise BpnetError(f"{model_path}: prune needs a .keras file")
    metadata = read_keras_metadata(model_path)
    spec = spec_of(metadata, model_path, overrides)
    load_keras()
    from bpnet_cli.models.bodyposenet import macs_by_layer
    from bpnet_cli.models.model_file import load_network, save_network
    from bpnet_cli.pruning.channels import trace_channels
    from bpnet_cli.pruning.select import channel_weights, channels_to_keep, find_threshold
    from bpnet_cli.pruning.surgery import macs_left, shrink

    network, _ = load_network(model_path)
    channels = trace_channels(network)
    weights = channel_weights(network, channels)
    section, height, width = spec.pruning, spec.model.input_height, spec.model.input_width
    macs = macs_by_layer(network, height, width)

    def kept(limit: float) -> set[int]:
        return channels_to_keep(
            channels, weights, limit, section.granularity, section.min_channels, section.excluded_layers
        )

    if target_macs is not None:
        goal = int(target_macs * sum(macs.values()))
        threshold = find_threshold(lambda limit: macs_left(macs, channels, kept(limit)), goal)
    keep = kept(float(threshold or 0))
    result = shrink(network, channels, keep)
    save_network(result, replace(metadata, spec=spec.model_dump(mode="json"), pruned=True), target)
    before, after = sum(macs.values()), macs_left(macs, channels, keep)
    lines = _table(network, result)
    lines.append(f"threshold   {threshold:.4f}")
    lines.append(f"parameters  {network.count_params():,} -> {result.count_params():,}")
    lines.append(f"MACs        {before:,} -> {after:,} ({after / before:.1%}) at {height} x {width}")
    again = f"train it again with model.pretrained={target} and no frozen layers"
    lines.append(f"{target}: {target.stat().st_size / 1e6:.2f} MB; {again}")
    return "\n".join(lines)


def _table(before: Any, after: Any) -> list[str]:
    """One line per convolution that got smaller."""
    from bpnet_cli.pruning.channels import is_convolution

    rows = []
    for layer in before.layers:
        if is_convolution(layer):
            left = after.get_layer(layer.name).filters
            if left != layer.filters:
                rows.append(f"{layer.name:<32} {layer.filters:>5} -> {left:>5}")
    return rows or ["every channel stays"]
