"""`bpnet export`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.build import decode_options_of
from bpnet_cli.engine import load_keras, load_tensorflow
from bpnet_cli.errors import BpnetError, SpecError
from bpnet_cli.evaluation.evaluate import LabelledSet, load_labelled
from bpnet_cli.export.deploy import check_triton, triton_name, trtexec_line, write_triton
from bpnet_cli.files import atomic_path, check_output
from bpnet_cli.inference.load import spec_of
from bpnet_cli.inference.photos import MIN_PHOTOS, photos_of_folder
from bpnet_cli.log import counted, say
from bpnet_cli.models.formats import FORMATS, check_format
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.spec.dataset import DataSource, Source
from bpnet_cli.spec.experiment import ExperimentSpec

_FORMAT = "onnx"


@dataclass(frozen=True)
class ExportRequest:
    """The arguments of the command, beyond the spec.

    model: the `.keras` file. output: the `.onnx` file. triton: a Triton model repository. At least one of `output` and
    `triton` is needed. overrides: changes to the spec inside the `.keras` file; the ONNX file gets the changed spec.
    calibration: folder of photos. images, annotations: labelled photos for measuring AP; without them, AP is measured
    on the spec's validation data if `max_ap_drop` is given. max_ap_drop: by how much AP may fall.
    """

    model: str
    output: str | None = None
    triton: str | None = None
    overwrite: bool = False
    overrides: Sequence[str] = ()
    calibration: str | None = None
    images: str | None = None
    annotations: str | None = None
    max_ap_drop: float | None = None


@dataclass
class _Work:
    """What is known before any large library or network is loaded."""

    metadata: ModelMetadata
    spec: ExperimentSpec
    labelled: LabelledSet | None
    photos: Sequence[NDArray[np.uint8]] = ()


def export_model(request: ExportRequest) -> str:
    """Export a `.keras` file to ONNX; returns lines that describe the result.

    Raises BpnetError, and writes nothing, in these cases: a name, a folder or the spec doesn't allow the export (this
    is checked before the network is loaded); a photo is damaged; the maps differ from Keras' maps; AP falls by more
    than allowed.
    """
    target = check_output(request.output, FORMATS[_FORMAT].suffix, request.overwrite) if request.output else None
    work = _prepare(request)
    name = triton_name(work.spec)
    if request.triton:
        check_triton(request.triton, name, request.overwrite)
    with ExitStack() as stack:
        file = stack.enter_context(atomic_path(target)) if target else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bpnet-export-")))
        model, lines = WRITERS[_FORMAT](request, work, folder)
        data = (folder / "model.onnx").read_bytes()
        written = []
        if request.triton:
            written.append(write_triton(request.triton, name, model, data))
        if target and file:
            file.write_bytes(data)
            written.append(target)
    where = target or written[0] / "1" / "model.onnx"
    head = [f"{path}: {len(data) / 1e6:.2f} MB, opset {work.spec.export.opset}" for path in written]
    return "\n".join([*head, f"TensorRT: {trtexec_line(where, model, work.spec, work.metadata)}", *lines])


def _prepare(request: ExportRequest) -> _Work:
    check_format(request.model, ("keras",), "export")
    metadata = read_keras_metadata(request.model)
    spec = _at_fixed_size(spec_of(metadata, request.model, request.overrides), metadata)
    precision = spec.export.precision
    if precision == "int8" and request.calibration is None:
        raise BpnetError("int8 needs --calibration-images: a folder of photos similar to those in later use")
    if precision == "fp32" and (request.calibration or request.max_ap_drop is not None):
        raise BpnetError("--calibration-images and --max-ap-drop need --precision int8 or fp16; fp32 is exact")
    if spec.export.quantize_heads and precision != "int8":
        raise BpnetError(f"--quantize-heads needs --precision int8 (export.precision is {precision})")
    labelled = None
    if request.images or request.max_ap_drop is not None:
        labelled = load_labelled(_labelled_sources(request, spec), metadata.skeleton)
    photos = photos_of_folder(request.calibration, "calibration", 1) if request.calibration else []
    if precision == "int8" and len(photos) < MIN_PHOTOS:
        say(
            f"{request.calibration}: has only {counted(len(photos), 'photo')}; with fewer than {MIN_PHOTOS}, the int8"
            " ranges may be too small for other photos: measure AP with --images and --annotations"
        )
    return _Work(metadata.with_spec(spec.model_dump(mode="json")), spec, labelled, photos)


def _at_fixed_size(spec: ExperimentSpec, metadata: ModelMetadata) -> ExperimentSpec:
    """The spec; if the file gets a fixed input size, this size is also the spec's size of inference.

    Raises SpecError for a size that is not a multiple of the model's `input_multiple`.
    """
    section = spec.export
    if section.height is None or section.width is None:
        return spec
    multiple = metadata.input_multiple
    for key, size in (("height", section.height), ("width", section.width)):
        if size % multiple:
            raise SpecError(f"export.{key}: must be a multiple of {multiple} for this model (got {size})")
    changes = {"input_height": section.height, "input_width": section.width, "scales": (1.0,)}
    return spec.model_copy(update={"inference": spec.inference.model_copy(update=changes)})


def _labelled_sources(request: ExportRequest, spec: ExperimentSpec) -> Sequence[Source]:
    if request.images and request.annotations:
        return [DataSource(images=request.images, annotations=request.annotations)]
    if not spec.dataset.validation_sources:
        raise BpnetError("--max-ap-drop needs labelled photos: give --images and --annotations")
    return spec.dataset.validation_sources


def _write_onnx(request: ExportRequest, work: _Work, folder: Path) -> tuple[Any, list[str]]:
    """Write `model.onnx` into a folder; returns the model and lines that describe it."""
    load_tensorflow("export")
    load_keras()
    import keras
    import onnx

    if keras.backend.backend() != "tensorflow":
        raise BpnetError(f"export needs Keras on TensorFlow: unset KERAS_BACKEND (now {keras.backend.backend()})")

    from bpnet_cli.export.onnx import check_against_keras, describe, to_onnx
    from bpnet_cli.export.peaks import add_peaks
    from bpnet_cli.export.tao import to_tao_layout
    from bpnet_cli.models.model_file import load_network

    section = work.spec.export
    network, _ = load_network(request.model)
    model = to_onnx(network, work.metadata, section.opset, (section.batch, section.height, section.width))
    if section.tao_layout:
        model = to_tao_layout(model, section.tao_paf_upsampling)
    path, exact = folder / "model.onnx", folder / "fp32.onnx"
    exact.write_bytes(model.SerializeToString())
    difference = check_against_keras(network, work.metadata, exact, section.opset)
    if section.precision == "fp32":
        exact.rename(path)
        costs = []
    else:
        from bpnet_cli.export.precision import lower_precision

        costs = lower_precision(exact, path, work.metadata, work.spec, work.photos, work.labelled, request.max_ap_drop)
        model = onnx.load(str(path))
    if section.with_peaks:
        add_peaks(model, work.metadata, decode_options_of(work.spec))
        path.write_bytes(model.SerializeToString())
    lines = [f"input   {value.name}: {describe(value)}" for value in model.graph.input]
    lines += [f"output  {value.name}: {describe(value)}" for value in model.graph.output]
    what = "" if section.precision == "fp32" else ", before lowering the precision"
    return model, [*lines, *costs, f"largest difference to Keras{what}: {difference:.1e}"]


# By format: (request, work, folder) -> the file's model, and lines that describe the model.
WRITERS: dict[str, Callable[[ExportRequest, _Work, Path], tuple[Any, list[str]]]] = {"onnx": _write_onnx}
