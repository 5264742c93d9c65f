"""Predictors from model files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpnet_cli.build import decode_options_of
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.backends import Backend, KerasBackend, load_backend
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.models.box import box_onnx
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import apply_overrides


def load_predictor(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    spec: ExperimentSpec | None = None,
    engine: str = "onnxruntime",
) -> Predictor:
    """A predictor from a `.keras` or `.onnx` file; without a path, of the model in the box.

    overrides: `key=value` changes to the spec in the file, as `--set` takes them. spec: used instead of that one.
    engine: what computes an `.onnx` network, `onnxruntime` or `openvino`. Raises BpnetError when there is no such file,
    it is not a bpnet model, or the engine can't run it or is not installed.
    """
    path = path or box_onnx()
    backend = load_backend(path, engine=engine)
    return make_predictor(backend, spec or spec_of(backend.metadata, path, overrides))


def make_predictor(backend: Backend, spec: ExperimentSpec) -> Predictor:
    """A predictor with a spec's input size and thresholds."""
    section = spec.inference
    size = InputSize(section.input_height, section.input_width, section.max_aspect_ratio)
    return Predictor(
        backend,
        size,
        decode_options_of(spec),
        section.min_person_score,
        section.scales,
        section.flip,
        section.min_drawn_score,
    )


def predictor_of_network(network: Any, metadata: ModelMetadata, spec: ExperimentSpec) -> Predictor:
    """A predictor around a Keras network in memory, as validation in training uses."""
    return make_predictor(KerasBackend(network, metadata), spec)


def spec_of(metadata: ModelMetadata, origin: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """The experiment spec that a model file carries, with overrides.

    Raises BpnetError when this version can't read it, or an override is about the network, which the file has fixed.
    """
    try:
        spec = ExperimentSpec.model_validate_json(json.dumps(metadata.spec))
    except ValueError as error:
        text = f"the spec inside (of bpnet {metadata.version}) doesn't fit this one: {error}"
        raise BpnetError(f"{origin}: {text}") from None
    changed = apply_overrides(spec, overrides)
    for key in ("model", "skeleton"):
        if getattr(changed, key) != getattr(spec, key):
            raise BpnetError(f"--set {key}: {origin} is trained, its {key} can't be changed any more")
    return changed
