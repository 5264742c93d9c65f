"""OpenVINO's own files: `.xml` with the graph, and `.bin` with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpnet_cli.export.peaks import check_finder, finder_of
from bpnet_cli.inference.openvino import openvino_core, read_openvino
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.options import DecodeOptions

# The operator set that the finder of peaks is written in.
_OPSET, _IR_VERSION = 17, 8


def convert(source: Path, half: bool = False, name: str | None = None) -> Path:
    """Write an ONNX file as `.xml` and `.bin` beside it; returns the `.xml` file.

    OpenVINO keeps the ONNX file's metadata, see `models.formats`. half: store the weights as float16.
    name: stem of the new files; None: that of the ONNX file.
    """
    path = source.with_name(f"{name or source.stem}.xml")
    _save(read_openvino(openvino_core(), source), path, half)
    return path


def add_peaks(path: Path, metadata: ModelMetadata, options: DecodeOptions) -> Path:
    """Write a copy of an `.xml` file with the output `peaks`, see `export.peaks.finder_of`. They are found in float32.

    Raises BpnetError if ONNX Runtime finds other peaks than `find_peaks`.
    """
    finder = finder_of(len(metadata.skeleton.keypoints), metadata.stride, options, _OPSET, _IR_VERSION)
    check_finder(finder, metadata.stride, options)
    core = openvino_core()
    model, found = read_openvino(core, path), core.read_model(finder.SerializeToString())
    (heatmaps,) = (result for result in model.get_results() if "heatmaps" in result.input_value(0).get_names())
    (image,) = found.get_parameters()
    image.output(0).replace(heatmaps.input_value(0))
    model.add_results(found.get_results())
    # OpenVINO still reads the weights of the first file while it writes the second one.
    result = path.with_name("peaks.xml")
    _save(model, result, half=False)
    return result


def _save(model: Any, path: Path, half: bool) -> None:
    import openvino

    openvino.save_model(model, path, compress_to_fp16=half)
