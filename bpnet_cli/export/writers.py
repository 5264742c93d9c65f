"""Writes a Keras network in each format. Each file is compared with the original before it gets its final name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.build import decode_options_of
from bpnet_cli.errors import BpnetError
from bpnet_cli.evaluation.evaluate import LabelledSet
from bpnet_cli.export.onnx import Shape
from bpnet_cli.export.precision import Loaded, accuracy, measured
from bpnet_cli.inference.backends import OnnxBackend, load_backend
from bpnet_cli.inference.load import make_predictor
from bpnet_cli.log import say
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec

_SEED = 0
Inputs = Sequence[NDArray[np.uint8]]
Lower = tuple[Path, list[str]]


@dataclass(frozen=True)
class Work:
    """What is known before any large library or network is loaded.

    model: the `.keras` file. metadata: of the file to write, with the spec inside. photos: (H, W, 3) uint8 RGB, for
    calibration and for comparing maps. labelled: photos for measuring AP. max_ap_drop: by how much AP may fall.
    explain: whether to measure what each int8 layer costs.
    """

    model: str
    metadata: ModelMetadata
    spec: ExperimentSpec
    labelled: LabelledSet | None = None
    photos: Sequence[NDArray[np.uint8]] = ()
    max_ap_drop: float | None = None
    explain: bool = False

    @property
    def shape(self) -> Shape:
        """The fixed (batch, height, width) of the input; None for a free axis."""
        section = self.spec.export
        return section.batch, section.height, section.width


@dataclass(frozen=True)
class Writer:
    """How a format is written; all files go into a temporary folder.

    runtime: the name of what runs the file here. exact: (work, network, folder) -> the file in fp32, without peaks.
    lowered: (work, network, the exact file, (B, H, W, 3) uint8 network inputs) -> the file in the spec's precision, and
    lines about its layers.
    peaks: (work, file) -> the file with the output `peaks`. None where the format has no such thing.
    """

    runtime: str
    exact: Callable[[Work, Any, Path], Path]
    lowered: Callable[[Work, Any, Path, Inputs], Lower] | None = None
    peaks: Callable[[Work, Path], Path] | None = None


def write(work: Work, name: str, folder: Path) -> tuple[Path, list[str]]:
    """Write a network in a format; returns the file, and lines that describe it. name: a key of `WRITERS`.

    Raises BpnetError if the maps differ from Keras' maps, if AP falls by more than allowed, or if the network can't be
    written in this format.
    """
    from bpnet_cli.export.fold import fold_batch_norms
    from bpnet_cli.export.onnx import check_against_keras
    from bpnet_cli.models.model_file import load_network

    writer, section = WRITERS[name], work.spec.export
    original, _ = load_network(work.model)
    network = fold_batch_norms(original)
    path = writer.exact(work, network, folder)
    exact = load_backend(path)
    difference = check_against_keras(original, work.metadata, exact, writer.runtime, section.opset)
    lines: list[str] = []
    if section.precision != "fp32" and writer.lowered:
        path, lines = _lower(work, writer.lowered, network, (path, exact), writer.runtime)
    if section.with_peaks and writer.peaks:
        path = writer.peaks(work, path)
    what = "" if section.precision == "fp32" else ", before lowering the precision"
    return path, [*lines, f"largest difference to Keras{what}: {difference:.1e}"]


def _lower(
    work: Work, lowered: Callable[[Work, Any, Path, Inputs], Lower], network: Any, exact: Loaded, runtime: str
) -> tuple[Path, list[str]]:
    """The file in the spec's precision, and lines about what this costs and gains."""
    section, photos = work.spec.export, work.photos
    shown = photos or [np.random.default_rng(_SEED).integers(0, 256, (480, 640, 3), dtype=np.uint8)]
    predictor = make_predictor(exact[1], work.spec)
    inputs = [predictor.prepare(photo)[0][None] for photo in shown]
    if section.precision == "int8":
        say(f"calibrating with {len(inputs)} photos ({section.calibration})")
    path, costs = lowered(work, network, exact[0], [np.repeat(each, section.batch or 1, axis=0) for each in inputs])
    backend = load_backend(path)
    on = f"{len(photos)} photos" if photos else "noise"
    lines = measured(exact, (path, backend), inputs, work.spec, on, runtime)
    if work.labelled:
        lines.append(accuracy(exact[1], backend, work.spec, work.labelled, work.max_ap_drop))
    return path, [*lines, *costs]


def _exact_onnx(work: Work, network: Any, folder: Path) -> Path:
    from bpnet_cli.export.onnx import to_onnx
    from bpnet_cli.export.tao import to_tao_layout

    section = work.spec.export
    model = to_onnx(network, work.metadata, section.opset, work.shape)
    if section.tao_layout:
        model = to_tao_layout(model, section.tao_paf_upsampling)
    folder.mkdir(exist_ok=True)
    path = folder / "exact.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _lower_onnx(work: Work, network: Any, exact: Path, inputs: Inputs) -> Lower:
    section, path = work.spec.export, exact.with_name("lower.onnx")
    if section.precision == "fp16":
        import onnx

        from bpnet_cli.export.half import to_half

        path.write_bytes(to_half(onnx.load(str(exact))).SerializeToString())
        return path, []
    from bpnet_cli.export.explain import EXPLAINED, cost_table
    from bpnet_cli.export.quantize import quantize

    even = _exact_onnx(work, _equalized(network, inputs), exact.with_name("even"))
    costs = quantize(
        even,
        path,
        inputs,
        OnnxBackend(even).layout,
        work.metadata,
        method=section.calibration,
        heads=section.quantize_heads,
        float_layers=section.float_layers,
        explained=inputs[:: -(-len(inputs) // EXPLAINED)] if work.explain else [],
    )
    return path, cost_table(costs) if work.explain else []


def _equalized(network: Any, inputs: Inputs) -> Any:
    from bpnet_cli.export.equalize import equalized
    from bpnet_cli.models.bodyposenet import inference_network

    # Without the outputs of the earlier stages, their maps can be scaled too.
    return equalized(inference_network(network), inputs)


def _peaks_onnx(work: Work, path: Path) -> Path:
    import onnx

    from bpnet_cli.export.peaks import add_peaks

    model = onnx.load(str(path))
    add_peaks(model, work.metadata, decode_options_of(work.spec))
    path.write_bytes(model.SerializeToString())
    return path


def _exact_openvino(work: Work, network: Any, folder: Path) -> Path:
    from bpnet_cli.export.openvino import convert

    return convert(_exact_onnx(work, network, folder))


def _lower_openvino(work: Work, network: Any, exact: Path, inputs: Inputs) -> Lower:
    from bpnet_cli.export.openvino import convert

    source = exact.with_suffix(".onnx")
    if work.spec.export.precision == "fp16":
        return convert(source, half=True, name="lower"), []
    path, costs = _lower_onnx(work, network, source, inputs)
    return convert(path), costs


def _peaks_openvino(work: Work, path: Path) -> Path:
    from bpnet_cli.export.openvino import add_peaks

    return add_peaks(path, work.metadata, decode_options_of(work.spec))


def _exact_litert(work: Work, network: Any, folder: Path) -> Path:
    from bpnet_cli.export.litert import to_litert, write_litert

    return write_litert(folder / "exact.tflite", to_litert(network, work.shape, "fp32"), work.metadata)


def _lower_litert(work: Work, network: Any, exact: Path, inputs: Inputs) -> Lower:
    from bpnet_cli.export.litert import to_litert, write_litert

    precision = work.spec.export.precision
    if precision == "int8":
        network = _equalized(network, inputs)
    data = to_litert(network, work.shape, precision, inputs)
    return write_litert(exact.with_name("lower.tflite"), data, work.metadata), []


def _peaks_litert(work: Work, path: Path) -> Path:
    from bpnet_cli.export.litert import write_litert
    from bpnet_cli.export.litert_peaks import add_peaks

    metadata = work.metadata
    keypoints = len(metadata.skeleton.keypoints)
    data = add_peaks(path.read_bytes(), keypoints, metadata.stride, decode_options_of(work.spec))
    return write_litert(path, data, metadata)


def _exact_saved_model(work: Work, network: Any, folder: Path) -> Path:
    from bpnet_cli.export.saved_model import write_saved_model

    return write_saved_model(network, work.shape, work.metadata, folder / "model")


# By format, see `models.formats`.
WRITERS: dict[str, Writer] = {
    "onnx": Writer("ONNX Runtime", _exact_onnx, _lower_onnx, _peaks_onnx),
    "openvino": Writer("OpenVINO", _exact_openvino, _lower_openvino, _peaks_openvino),
    "litert": Writer("LiteRT", _exact_litert, _lower_litert, _peaks_litert),
    "saved_model": Writer("TensorFlow", _exact_saved_model),
}


def check_options(name: str, spec: ExperimentSpec, explain: bool) -> None:
    """Raise BpnetError if a format doesn't have what the spec's export section asks for."""
    writer, section = WRITERS[name], spec.export
    missing = []
    if section.precision != "fp32" and writer.lowered is None:
        missing.append(f"--precision {section.precision}")
    if section.with_peaks and writer.peaks is None:
        missing.append("--with-peaks")
    if section.tao_layout and name != "onnx":
        missing.append("--tao-layout")
    if section.calibration != "minmax" and name == "litert":
        missing.append(f"export.calibration {section.calibration}")
    if explain and name == "litert":
        missing.append("--explain")
    if section.float_layers and name == "litert":
        missing.append("export.float_layers")
    if missing:
        raise BpnetError(f"--format {name} has no {' and no '.join(missing)}; leave it out, or take --format onnx")
