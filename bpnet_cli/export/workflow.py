"""`bpnet export`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpnet_cli.engine import load_keras, load_tensorflow
from bpnet_cli.errors import BpnetError, SpecError
from bpnet_cli.evaluation.evaluate import load_labelled
from bpnet_cli.export.deepstream import check_deepstream, write_deepstream
from bpnet_cli.export.deploy import check_triton, triton_name, trtexec_line, write_triton
from bpnet_cli.export.web import check_web, write_web
from bpnet_cli.export.writers import WRITERS, Work, check_options, write
from bpnet_cli.files import atomic_folder, atomic_path, check_folder, check_output, write_text
from bpnet_cli.inference.load import spec_of
from bpnet_cli.inference.photos import MIN_PHOTOS, photos_of_folder
from bpnet_cli.log import counted, say
from bpnet_cli.models.formats import FORMATS, check_format, format_of, size_of
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.spec.dataset import DataSource, Source
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.storage import local_path


@dataclass(frozen=True)
class ExportRequest:
    """The arguments of the command, beyond the spec.

    model: the `.keras` file. output: the file to write, or the folder of a SavedModel. format: a key of `WRITERS`;
    None: the one that the ending of `output` means. triton: a Triton model repository. web: a folder for a page.
    deepstream: a folder for DeepStream; it needs `export.tao_layout`. At least one of `output` and these three folders
    is needed. metadata_json: also write the metadata beside `output`, with the suffix .json. overrides: changes to the
    spec inside the `.keras` file; the new file gets the changed spec. calibration: folder of photos. images,
    annotations: labelled photos for measuring AP; without them, AP is measured on the spec's validation data if
    `max_ap_drop` is given. max_ap_drop: by how much AP may fall. explain: whether to measure each int8 layer's cost.
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
    format: str | None = None
    web: str | None = None
    metadata_json: bool = False
    deepstream: str | None = None
    explain: bool = False


def export_model(request: ExportRequest) -> str:
    """Export a `.keras` file to another format; returns lines that describe the result.

    Raises BpnetError, and writes nothing, in these cases: a name, a folder or the spec doesn't allow the export (this
    is checked before the network is loaded); a photo is damaged; the maps differ from Keras' maps; AP falls by more
    than allowed.
    """
    name = _format(request)
    target = _check_target(request.output, name, request.overwrite) if request.output else None
    beside = target.with_suffix(".json") if target and request.metadata_json else None
    if beside:
        check_output(beside, ".json", request.overwrite)
    if request.web:
        check_web(request.web, request.overwrite)
    work = _prepare(request)
    check_options(name, work.spec, request.explain)
    repository = triton_name(work.spec)
    if request.triton:
        check_triton(request.triton, repository, request.overwrite)
    if request.deepstream:
        check_deepstream(request.deepstream, work.spec, request.overwrite)
    load_tensorflow("export")
    load_keras()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BpnetError(f"export needs Keras on TensorFlow: unset KERAS_BACKEND (now {keras.backend.backend()})")
    with tempfile.TemporaryDirectory(prefix="bpnet-export-") as folder:
        path, lines = write(work, name, Path(folder))
        size = f"{size_of(path) / 1e6:.2f} MB"
        if target:
            _place(path, target)
        if beside:
            write_text(beside, work.metadata.to_json())
        if name != "onnx":
            return "\n".join([f"{target}: {size}", *lines])
        import onnx

        model, data = onnx.load(str(path)), path.read_bytes()
    written, notes = _onnx_folders(request, work, repository, model, data)
    if target:
        written[target] = target
    head = [f"{each}: {size}, opset {work.spec.export.opset}" for each in written]
    line = trtexec_line(target or next(iter(written.values())), model, work.spec, work.metadata)
    return "\n".join([*head, *notes, f"TensorRT: {line}", *_form(model), *lines])


def _onnx_folders(
    request: ExportRequest, work: Work, repository: str, model: Any, data: bytes
) -> tuple[dict[Path, Path], list[str]]:
    """Write the folders that hold an ONNX file: {folder: the file in it}, and lines about them."""
    written, notes = {}, []
    if request.triton:
        folder = write_triton(request.triton, repository, model, data)
        written[folder] = folder / "1" / "model.onnx"
    if request.web:
        notes.append(write_web(request.web, data, work.metadata.to_json()))
        written[Path(request.web)] = Path(request.web) / "model.onnx"
    if request.deepstream:
        written[Path(request.deepstream)] = write_deepstream(request.deepstream, model, data, work.spec, work.metadata)
    return written, notes


def _form(model: Any) -> list[str]:
    """The inputs and outputs of an ONNX model."""
    from bpnet_cli.export.onnx import describe

    lines = [f"input   {value.name}: {describe(value)}" for value in model.graph.input]
    return lines + [f"output  {value.name}: {describe(value)}" for value in model.graph.output]


def _format(request: ExportRequest) -> str:
    """The format to write. Raises BpnetError if the ending of the output's name doesn't say which one, or another."""
    endings = {FORMATS[name].suffix: name for name in WRITERS if FORMATS[name].suffix}
    by_ending = endings.get(Path(request.output).suffix) if request.output else "onnx"
    if request.format is None and by_ending is None:
        *others, last = endings
        raise BpnetError(
            f"{request.output}: must end in {', '.join(others)} or {last}; for a SavedModel, give --format saved_model"
            " and a folder"
        )
    name = request.format or str(by_ending)
    folders = {"--triton": request.triton, "--web": request.web, "--deepstream": request.deepstream}
    for flag in [flag for flag, folder in folders.items() if folder and name != "onnx"]:
        raise BpnetError(f"{flag} needs --format onnx: its folder holds an ONNX file (got {name})")
    return name


def _check_target(output: str, name: str, overwrite: bool) -> Path:
    """The path to write later. Raises BpnetError if it can't or must not be written."""
    if FORMATS[name].suffix:
        target = check_output(output, FORMATS[name].suffix, overwrite)
        check_folder(target.parent)
        if name == "openvino":
            check_output(target.with_suffix(".bin"), ".bin", overwrite)
        return target
    target = local_path(output)
    check_folder(target)
    if target.exists():
        if not overwrite:
            raise BpnetError(f"{target}: exists already; give --overwrite to replace it")
        if any(target.iterdir()):
            format_of(target)  # no other folder is replaced
    return target


def _place(path: Path, target: Path) -> None:
    """Copy a finished file, with its weights where they are a file of their own, or a finished folder to its place."""
    if path.is_dir():
        with atomic_folder(target) as folder:
            shutil.copytree(path, folder, dirs_exist_ok=True)
        return
    with ExitStack() as stack:
        for suffix in (path.suffix, ".bin") if path.suffix == FORMATS["openvino"].suffix else (path.suffix,):
            shutil.copyfile(path.with_suffix(suffix), stack.enter_context(atomic_path(target.with_suffix(suffix))))


def _prepare(request: ExportRequest) -> Work:
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
    if (request.explain or spec.export.float_layers) and precision != "int8":
        what = "--explain" if request.explain else "export.float_layers"
        raise BpnetError(f"{what} needs --precision int8 (export.precision is {precision})")
    labelled = None
    if request.images or request.max_ap_drop is not None:
        labelled = load_labelled(_labelled_sources(request, spec), metadata.skeleton)
    photos = photos_of_folder(request.calibration, "calibration", 1) if request.calibration else []
    if precision == "int8" and len(photos) < MIN_PHOTOS:
        say(
            f"{request.calibration}: has only {counted(len(photos), 'photo')}; with fewer than {MIN_PHOTOS}, the int8"
            " ranges may be too small for other photos: measure AP with --images and --annotations"
        )
    metadata = metadata.with_spec(spec.model_dump(mode="json"))
    return Work(request.model, metadata, spec, labelled, photos, request.max_ap_drop, request.explain)


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
