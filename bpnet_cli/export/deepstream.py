"""A folder for NVIDIA's DeepStream: the model in NVIDIA's layout, nvinfer's configuration of it, and notes.

The keys are those of NVIDIA's documentation of Gst-nvinfer (DeepStream 9) and of its BodyPoseNet sample,
deepstream_tao_apps, configs/nvinfer/bodypose2d_tao.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.deploy import usual_size
from bpnet_cli.files import atomic_path, check_folder, write_text
from bpnet_cli.inference.onnx_layout import TAO_OFFSET, TAO_SCALE
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.storage import local_path

MODEL, CONFIG, LABELS, NOTES = "model.onnx", "nvinfer.txt", "labels.txt", "README.txt"
# Precision of the file -> nvinfer's network-mode, and its name in nvinfer's name of the engine.
_MODES = {"fp32": (0, "fp32"), "fp16": (2, "fp16")}


def check_deepstream(folder: str | Path, spec: ExperimentSpec, overwrite: bool) -> None:
    """Check, before any work is done, that the folder can be written later. Raises BpnetError if it can't."""
    if spec.export.precision not in _MODES:
        raise BpnetError(
            "--deepstream: TensorRT can't read int8 files, because they have zero points (for ONNX Runtime); use"
            " --precision fp16 or fp32"
        )
    check_folder(local_path(folder))
    if Path(folder).exists() and any(Path(folder).iterdir()) and not overwrite:
        raise BpnetError(f"{folder}: exists already and is not empty; give --overwrite to replace the files")


def write_deepstream(
    folder: str | Path, model: Any, data: bytes, spec: ExperimentSpec, metadata: ModelMetadata
) -> Path:
    """Write the model, nvinfer's configuration, labels and notes into a folder; returns the path of the model.

    model: the ONNX model in NVIDIA's layout. data: the bytes of its file.
    """
    folder = Path(folder)
    texts = {
        LABELS: "".join(f"{name}\n" for name in metadata.skeleton.keypoints),
        CONFIG: nvinfer_config(model, spec, metadata),
        NOTES: _notes(model, spec, metadata),
    }
    with atomic_path(folder / MODEL) as temporary:
        temporary.write_bytes(data)
    for name, text in texts.items():
        write_text(folder / name, text)
    return folder / MODEL


def nvinfer_config(model: Any, spec: ExperimentSpec, metadata: ModelMetadata) -> str:
    """The text of nvinfer's configuration file for a model in NVIDIA's layout; paths are relative to the file."""
    height, width = _size(model, spec, metadata)
    mode, word = _MODES[spec.export.precision]
    batch = spec.export.batch or 1
    offset = f"{-TAO_OFFSET / TAO_SCALE:g}"
    values = {
        "gpu-id": 0,
        "gie-unique-id": 1,
        "process-mode": 1,
        "onnx-file": MODEL,
        "model-engine-file": f"{MODEL}_b{batch}_gpu0_{word}.engine",
        "labelfile-path": LABELS,
        "batch-size": batch,
        "network-mode": mode,
        "network-type": 100,
        "network-input-order": 1,
        "infer-dims": f"3;{height};{width}",
        "model-color-format": 0,
        "net-scale-factor": TAO_SCALE,
        "offsets": ";".join([offset] * 3),
        "maintain-aspect-ratio": 1,
        "symmetric-padding": 0,
        "scaling-filter": 1,
        "output-tensor-meta": 1,
        "output-blob-names": ";".join(output.name for output in model.graph.output),
    }
    return "[property]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def _size(model: Any, spec: ExperimentSpec, metadata: ModelMetadata) -> tuple[int, int]:
    """(height, width) of the file's input; where they are free, what inference makes of a 4:3 photo."""
    fixed = [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    usual = usual_size(spec, metadata.input_multiple)
    return fixed[1] or usual[0], fixed[2] or usual[1]


def _notes(model: Any, spec: ExperimentSpec, metadata: ModelMetadata) -> str:
    height, width = _size(model, spec, metadata)
    stride, skeleton = metadata.stride, metadata.skeleton
    pafs, heatmaps = (output.name for output in model.graph.output)
    rows, columns = height // stride, width // stride
    times = spec.export.tao_paf_upsampling
    centre = (stride - 1) / 2
    limbs = "\n".join(f"  {2 * i}, {2 * i + 1}: {start} -> {end}" for i, (start, end) in enumerate(skeleton.limbs))
    free = "" if spec.export.height else f" (any multiples of {metadata.input_multiple}: change infer-dims)"
    return f"""{spec.name}: files for DeepStream's nvinfer, written by bpnet {metadata.version}

{MODEL}   the network in NVIDIA's layout, {spec.export.precision}
{CONFIG}  configuration: nvinfer config-file-path={CONFIG}
{LABELS}   names of the keypoints, in the order of the heatmaps

Input: {height} x {width} pixels{free}. nvinfer resizes a frame without distortion, pads it
on the right and below, and gives the network (pixel - 128) / 256, RGB.
A point (x, y) of the network's input is the point (x + 0.5) / s - 0.5, (y + 0.5) / s - 0.5 of the frame, with
s = min({height} / frame height, {width} / frame width).
nvinfer pads with black, the network was trained with grey padding (127).

batch-size is the number of streams that run together. For another number, change it and model-engine-file.
{_precision_note(spec)}
nvinfer has no parser for poses (network-type=100). Each frame has an NvDsInferTensorMeta with two outputs,
float32, channels last: value (row, column, channel) is at (row * columns + column) * channels + channel.

{heatmaps}: {rows} x {columns} x {skeleton.heatmap_channels}
  Channel k is keypoint k of {LABELS}, the last channel is the background.
  The centre of cell (row, column) is at pixel {stride} * column + {centre:g}, {stride} * row + {centre:g} of the input.
  Keypoints are local maxima above {spec.inference.decode.peak_threshold:g}.

{pafs}: {rows * times} x {columns * times} x {skeleton.paf_channels}
  {_grid_note(times, metadata, centre)}
  Two channels for each limb: x and y of the unit vector from its start to its end, in pixels of the input.
{limbs}

What was tested: the names, sizes and normalisation of {CONFIG} against the model, in ONNX Runtime.
What was not: TensorRT and DeepStream have not been run with these files.
"""


def _precision_note(spec: ExperimentSpec) -> str:
    if spec.export.precision == "fp16":
        return "The weights are fp16 already. TensorRT 11 needs this; older versions also read network-mode=2.\n"
    return (
        "TensorRT 10 and older compute in fp16 with network-mode=2 (then also ..._fp16.engine in model-engine-file).\n"
        "For TensorRT 11, which has no such switch, write this folder with --precision fp16.\n"
    )


def _grid_note(times: int, metadata: ModelMetadata, centre: float) -> str:
    repeated = f"Every value is repeated {times} x {times} times: read rows and columns 0, {times}, {2 * times}, ..."
    grid = (
        "Their cells are those of the heatmaps, unlike in NVIDIA's own networks, whose PAFs are 3.5 pixels up and left."
        if not metadata.paf_offset_px
        else f"Their cells' centres are at {metadata.stride} * column + {centre + metadata.paf_offset_px:g}."
    )
    return f"{repeated}\n  {grid}" if times > 1 else grid
