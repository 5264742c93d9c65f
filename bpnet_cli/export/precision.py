"""Writes a float32 ONNX file in a lower precision, and measures what this costs and gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate
from bpnet_cli.export.compare import compare
from bpnet_cli.export.half import to_half
from bpnet_cli.export.quantize import quantize
from bpnet_cli.inference.backends import OnnxBackend
from bpnet_cli.inference.load import make_predictor
from bpnet_cli.log import say
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec

_SEED = 0


def lower_precision(
    exact: Path,
    target: Path,
    metadata: ModelMetadata,
    spec: ExperimentSpec,
    photos: Sequence[NDArray[np.uint8]],
    labelled: LabelledSet | None,
    max_ap_drop: float | None,
) -> list[str]:
    """Write the float32 file `exact` to `target` in the spec's precision; returns lines that compare both files.

    photos: (H, W, 3) uint8 RGB, for calibration and for comparing the maps; if empty, seeded noise is used instead.
    labelled: photos for measuring AP with both files. max_ap_drop: by how much AP may fall; None: by any amount.
    Raises BpnetError if AP falls by more.
    """
    reference = OnnxBackend(exact)
    predictor = make_predictor(reference, spec)
    shown = photos or [np.random.default_rng(_SEED).integers(0, 256, (480, 640, 3), dtype=np.uint8)]
    inputs = [predictor.prepare(photo)[0][None] for photo in shown]
    section = spec.export
    if section.precision == "fp16":
        import onnx

        target.write_bytes(to_half(onnx.load(str(exact))).SerializeToString())
    else:
        say(f"calibrating with {len(inputs)} photos ({section.calibration})")
        method, heads = section.calibration, section.quantize_heads
        batches = [np.repeat(image, reference.layout.batch or 1, axis=0) for image in inputs]
        quantize(exact, target, batches, reference.layout, metadata, method=method, heads=heads)
    other = OnnxBackend(target)
    result = compare(reference, other, inputs)
    height, width = inputs[0].shape[1:3]
    size = f"{height} x {width}"
    took, takes = 1e3 * result.reference_seconds, 1e3 * result.seconds
    on = f"{len(photos)} photos" if photos else "noise"
    lines = [
        f"{section.precision} against fp32:",
        f"  size     {target.stat().st_size / exact.stat().st_size:.2f} x",
        f"  latency  {result.latency:.2f} x ({takes:.1f} ms, fp32 {took:.1f} ms; {size}, ONNX Runtime here)",
        f"  maps     differ by {result.error:.2g} at most, {result.mean_error:.1g} on average, on {on}",
    ]
    return lines + (_accuracy(reference, other, spec, labelled, max_ap_drop) if labelled else [])


def _accuracy(
    reference: OnnxBackend, other: OnnxBackend, spec: ExperimentSpec, labelled: LabelledSet, max_drop: float | None
) -> list[str]:
    """A line with the AP of both networks. Raises BpnetError if AP falls by more than allowed."""
    before, after = (
        evaluate(make_predictor(backend, spec), labelled).scores.metrics["AP"] for backend in (reference, other)
    )
    if max_drop is not None and not before - after <= max_drop:
        raise BpnetError(
            f"nothing written: AP falls from {before:.3f} to {after:.3f} on {len(labelled.files)} photos, which is more"
            f" than --max-ap-drop {max_drop:g}; try more calibration photos or another export.calibration (now"
            f" {spec.export.calibration})"
        )
    return [f"  AP       {after:.3f}, was {before:.3f}, on {len(labelled.files)} photos"]
