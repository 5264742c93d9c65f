"""`bpnet prune`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_output
from bpnet_cli.inference.load import predictor_of_network, spec_of
from bpnet_cli.inference.photos import photos_of_folder
from bpnet_cli.models.formats import FORMATS, check_format
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.pruning.measure import compare, labelled_photos
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.network import PruningSpec


def prune_model(
    model_path: str,
    output: str,
    threshold: float | None,
    target_macs: float | None,
    overwrite: bool,
    overrides: Sequence[str],
    refit_images: str | None = None,
) -> str:
    """Write a `.keras` model with fewer channels and describe what went; threshold or target_macs must be given.

    AP is measured before and after where the photos of the spec's dataset.validation are there.

    target_macs: share of the MACs that may stay, 0..1. overrides: changes to the spec inside the file (`pruning.*`).
    refit_images: folder of photos to choose channels and to fit the layers behind them on.
    Raises BpnetError before the network is loaded where names or files forbid it.
    """
    target = check_output(output, FORMATS["keras"].suffix, overwrite)
    check_format(model_path, ("keras",), "prune")
    metadata = read_keras_metadata(model_path)
    spec = spec_of(metadata, model_path, overrides)
    if spec.pruning.criterion == "effect" and refit_images is None:
        raise BpnetError("pruning.criterion: effect needs photos: give --refit-images DIR")
    photos = photos_of_folder(refit_images, "refit") if refit_images else []
    labelled, where = labelled_photos(spec.dataset.validation_sources, metadata.skeleton)
    load_keras()
    from bpnet_cli.models.bodyposenet import macs_by_layer
    from bpnet_cli.models.channels import trace_channels
    from bpnet_cli.models.model_file import load_network, save_network
    from bpnet_cli.pruning.surgery import macs_left

    network, _ = load_network(model_path)
    channels = trace_channels(network)
    size = (spec.model.input_height, spec.model.input_width)
    macs = macs_by_layer(network, *size)
    inputs = _inputs(network, metadata, spec, photos)
    keep, threshold = _choose(network, channels, macs, inputs, spec.pruning, threshold, target_macs)
    result, refitted = _smaller(network, channels, keep, inputs if spec.pruning.refit else [])
    before, after = (predictor_of_network(each, metadata, spec) for each in (network, result))
    accuracy = compare(before, after, labelled, where, bool(refitted))
    save_network(result, replace(metadata, spec=spec.model_dump(mode="json"), graph="pruned"), target)
    lines = _table(network, result)
    lines += [f"refitted    {refitted} layers, on {len(inputs)} photos"] if refitted else []
    lines += [f"threshold   {threshold:.4f}"]
    lines += [*_sizes(network, result, sum(macs.values()), macs_left(macs, channels, keep), size), *accuracy]
    again = f"train it again with model.pretrained={target} and no frozen layers"
    return "\n".join([*lines, f"{target}: {target.stat().st_size / 1e6:.2f} MB; {again}"])


def _smaller(network: Any, channels: Any, keep: set[int], inputs: Sequence[NDArray[np.uint8]]) -> tuple[Any, int]:
    """The network with the channels to keep, and how many layers were refitted on the inputs, where there are any."""
    from bpnet_cli.pruning.refit import refit
    from bpnet_cli.pruning.surgery import shrink

    result = shrink(network, channels, keep)
    return result, len(refit(network, result, channels, keep, inputs)) if inputs else 0


def _sizes(network: Any, result: Any, macs: int, left: int, size: tuple[int, int]) -> list[str]:
    return [
        f"parameters  {network.count_params():,} -> {result.count_params():,}",
        f"MACs        {macs:,} -> {left:,} ({left / macs:.1%}) at {size[0]} x {size[1]}",
    ]


def _choose(
    network: Any,
    channels: Any,
    macs: dict[str, int],
    inputs: Sequence[NDArray[np.uint8]],
    section: PruningSpec,
    threshold: float | None,
    target_macs: float | None,
) -> tuple[set[int], float]:
    """Numbers of the channels that stay, and the threshold that chose them. Raises BpnetError, see `find_threshold`."""
    from bpnet_cli.pruning.effect import channel_effects
    from bpnet_cli.pruning.select import channel_weights, channels_to_keep, find_threshold
    from bpnet_cli.pruning.surgery import macs_left

    if inputs and section.criterion != "norm":
        weights = channel_effects(network, channels, inputs, macs)
    else:
        weights = channel_weights(network, channels)
    limits = (section.granularity, section.min_channels, section.excluded_layers, section.min_share)

    def kept(limit: float) -> set[int]:
        return channels_to_keep(channels, weights, limit, *limits)

    if target_macs is not None:
        goal = int(target_macs * sum(macs.values()))
        threshold = find_threshold(lambda limit: macs_left(macs, channels, kept(limit)), goal)
    chosen = float(threshold or 0)
    return kept(chosen), chosen


def _inputs(
    network: Any, metadata: ModelMetadata, spec: ExperimentSpec, photos: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Photos as the network sees them, (1, H, W, 3) uint8."""
    if not photos:
        return []
    predictor = predictor_of_network(network, metadata, spec)
    return [predictor.prepare(photo)[0][None] for photo in photos]


def _table(before: Any, after: Any) -> list[str]:
    """One line per convolution that got smaller."""
    from bpnet_cli.models.channels import is_convolution

    rows = []
    for layer in before.layers:
        if is_convolution(layer):
            left = after.get_layer(layer.name).filters
            if left != layer.filters:
                rows.append(f"{layer.name:<32} {layer.filters:>5} -> {left:>5}")
    return rows or ["every channel stays"]
