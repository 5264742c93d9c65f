"""Measures what a lower precision costs and gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate
from bpnet_cli.export.compare import compare
from bpnet_cli.inference.backends import Backend
from bpnet_cli.inference.load import make_predictor
from bpnet_cli.models.formats import size_of
from bpnet_cli.spec.experiment import ExperimentSpec

# A file and the network that was loaded from it.
Loaded = tuple[Path, Backend]


def measured(
    exact: Loaded, lower: Loaded, inputs: Sequence[NDArray[np.uint8]], spec: ExperimentSpec, on: str, runtime: str
) -> list[str]:
    """Lines that compare a file of lower precision with the float32 file.

    inputs: (1, H, W, 3) uint8 network inputs; the first one is the one that is timed. on: what they are, in words.
    runtime: name of what computes both.
    """
    (before, reference), (after, other) = exact, lower
    result = compare(reference, other, inputs)
    height, width = inputs[0].shape[1:3]
    took, takes = 1e3 * result.reference_seconds, 1e3 * result.seconds
    return [
        f"{spec.export.precision} against fp32:",
        f"  size     {size_of(after) / size_of(before):.2f} x",
        f"  latency  {result.latency:.2f} x ({takes:.1f} ms, fp32 {took:.1f} ms; {height} x {width}, {runtime} here)",
        f"  maps     differ by {result.error:.2g} at most, {result.mean_error:.1g} on average, on {on}",
    ]


def accuracy(
    reference: Backend, other: Backend, spec: ExperimentSpec, labelled: LabelledSet, max_drop: float | None
) -> str:
    """A line with the AP of both networks. max_drop: by how much AP may fall; None: by any amount.

    Raises BpnetError if AP falls by more.
    """
    before, after = (
        evaluate(make_predictor(backend, spec), labelled).scores.metrics["AP"] for backend in (reference, other)
    )
    if max_drop is not None and not before - after <= max_drop:
        raise BpnetError(
            f"nothing written: AP falls from {before:.3f} to {after:.3f} on {len(labelled.files)} photos, which is more"
            f" than --max-ap-drop {max_drop:g}; try more calibration photos or another export.calibration (now"
            f" {spec.export.calibration})"
        )
    return f"  AP       {after:.3f}, was {before:.3f}, on {len(labelled.files)} photos"
