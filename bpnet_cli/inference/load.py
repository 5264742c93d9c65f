"""Makes predictors from model files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bpnet_cli.box import NAMES, box_or_path
from bpnet_cli.build import decode_options_of
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.backends import Backend, KerasBackend, load_backend
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.models.formats import format_of
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import apply_overrides
from bpnet_cli.untrusted import first_fault


def load_predictor(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    spec: ExperimentSpec | None = None,
    engine: str = "onnxruntime",
    threads: int | None = None,
) -> Predictor:
    """A predictor for a model file of any format; without a path, for the model in the box; "box" and
    "box-fast" are the models in the box.

    overrides: `key=value` changes to the spec in the file, as for `--set`. spec: used instead of the spec in the file;
    then `overrides` have no effect. engine: the runtime for an `.onnx` file, `onnxruntime` or `openvino`. threads:
    number of threads that one call of an `.onnx` or `.xml` network may use; by default the number of cores. With 1,
    several threads that call the predictor at once do more in all.
    Raises BpnetError if there is no such file, if it is not a supported model, or if the engine is not installed or
    can't run it.
    """
    path = box_or_path(str(path or NAMES[0]), keras=False)
    backend = load_backend(path, threads, engine)
    return make_predictor(backend, spec or spec_of(backend.metadata, path, overrides))


def threads_for_many(path: str | Path, engine: str) -> int | None:
    """`threads` for `load_predictor` where photos run on all cores at the same time: 1 for ONNX Runtime.

    OpenVINO keeps its own threads: it was slower with one thread for each of several calls.
    """
    return 1 if engine == "onnxruntime" and format_of(path).name == "onnx" else None


def make_predictor(backend: Backend, spec: ExperimentSpec) -> Predictor:
    """A predictor with the input size and thresholds of a spec."""
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
        section.min_track_score,
    )


def predictor_of_network(network: Any, metadata: ModelMetadata, spec: ExperimentSpec) -> Predictor:
    """A predictor for a Keras network in memory; validation during training uses it."""
    return make_predictor(KerasBackend(network, metadata), spec)


def spec_of(metadata: ModelMetadata, origin: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """The experiment spec in a model file, with overrides (`key=value`, as for `--set`). origin: the file.

    Raises BpnetError if this version of bpnet can't read the spec, or if an override changes the network or the
    skeleton: these are fixed in the file.
    """
    try:
        spec = ExperimentSpec.model_validate_json(json.dumps(metadata.spec))
    except ValidationError as error:
        reason = first_fault(error)
        text = f"bpnet {metadata.version} wrote the spec in this file; this version of bpnet can't read it: {reason}"
        raise BpnetError(f"{origin}: {text}") from None
    changed = apply_overrides(spec, overrides)
    for key in ("model", "skeleton"):
        if getattr(changed, key) != getattr(spec, key):
            raise BpnetError(f"--set {key}: the {key} of a trained network can't be changed ({origin})")
    return changed
