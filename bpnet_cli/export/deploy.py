"""Output for other runtimes: a command line for TensorRT's trtexec, and a model repository for Triton."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path, check_folder, write_text
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.storage import local_path

_MAX_BATCH = 8
_TYPES = {1: "TYPE_FP32", 2: "TYPE_UINT8"}


def trtexec_line(path: Path, model: Any, spec: ExperimentSpec, metadata: ModelMetadata) -> str:
    """The command that makes a TensorRT engine from an exported file; with a shape profile if the file has free axes.

    The profile covers all inputs that inference with this spec can make from a photo, from the smallest to the largest.
    It is tuned for a 4:3 photo. For an int8 file, the result is a text that says why there is no command.
    An fp16 file says the precision of each tensor, so `--stronglyTyped`: TensorRT 10 needs this word to believe it,
    TensorRT 11 ignores the word, and has no `--fp16` any more.
    """
    if spec.export.precision == "int8":
        return "can't read this int8 file, because it has zero points (for ONNX Runtime); export fp16 or fp32 for it"
    words = ["trtexec", f"--onnx={path}", f"--saveEngine={path.with_suffix('.engine')}"]
    if spec.export.precision == "fp16":
        words.append("--stronglyTyped")
    image = model.graph.input[0]
    fixed = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]
    if all(fixed):
        return shlex.join(words)
    multiple, section = metadata.input_multiple, spec.inference
    height, width = usual_size(spec, multiple)
    profiles = {
        "min": (1, height, width if section.input_width else multiple),
        "opt": (1, height, width),
        "max": (_MAX_BATCH, *usual_size(spec, multiple, section.max_aspect_ratio)),
    }
    # trtexec itself wants quotes around a name with a colon, so the shell must not remove them.
    quote = r"\'" if ":" in image.name else ""
    shapes = []
    for name, shape in profiles.items():
        axes = "x".join(str(given or free) for given, free in zip(fixed, (*shape, 3), strict=True))
        shapes.append(f"--{name}Shapes={quote}{image.name}{quote}:{axes}")
    return " ".join([shlex.join(words), *shapes])


def usual_size(spec: ExperimentSpec, multiple: int, aspect_ratio: float = 4 / 3) -> tuple[int, int]:
    """(height, width) of the input that inference makes of a photo with this aspect ratio (width to height).

    multiple: sizes are rounded up to multiples of this.
    """
    section = spec.inference
    sides = section.input_height, section.input_width or section.input_height * aspect_ratio
    height, width = (math.ceil(side / multiple) * multiple for side in sides)
    return height, width


def triton_name(spec: ExperimentSpec) -> str:
    """The spec's name, changed to a folder and model name that Triton accepts."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", spec.name).lstrip(".") or "model"


def check_triton(repository: str | Path, name: str, overwrite: bool) -> None:
    """Check, before any work is done, that a repository can be written later. Raises BpnetError if it can't."""
    check_folder(local_path(repository))
    if (Path(repository) / name).exists() and not overwrite:
        raise BpnetError(f"{Path(repository) / name}: exists already; give --overwrite to replace it")


def write_triton(repository: str | Path, name: str, model: Any, data: bytes) -> Path:
    """Write `<name>/1/model.onnx` and `<name>/config.pbtxt` into a Triton model repository; returns the model's folder.

    model: the ONNX model, whose inputs and outputs go into the config. data: the bytes of its file.
    """
    folder = Path(repository) / name
    with atomic_path(folder / "1" / "model.onnx") as temporary:
        temporary.write_bytes(data)
    write_text(folder / "config.pbtxt", triton_config(name, model))
    return folder


def triton_config(name: str, model: Any) -> str:
    """The text of `config.pbtxt` for an exported ONNX model and Triton's ONNX Runtime backend.

    If the batch axis is free, Triton batches requests; then the dims must not contain the batch axis.
    """
    free = not model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    parts = [f'name: "{name}"', 'platform: "onnxruntime_onnx"', f"max_batch_size: {_MAX_BATCH if free else 0}"]
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        entries = ",\n".join(_entry(value, free) for value in values)
        parts.append(f"{kind} [\n{entries}\n]")
    parts += ["dynamic_batching { }"] if free else []
    return "\n".join(parts) + "\n"


def _entry(value: Any, free_batch: bool) -> str:
    tensor = value.type.tensor_type
    dims = ", ".join(str(d.dim_value or -1) for d in list(tensor.shape.dim)[1 if free_batch else 0 :])
    return f'  {{\n    name: "{value.name}"\n    data_type: {_TYPES[tensor.elem_type]}\n    dims: [ {dims} ]\n  }}'
