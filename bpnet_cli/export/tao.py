"""NVIDIA's form of a BodyPoseNet file, with the tensor names that `tao converter`, trtexec and DeepStream expect."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet_cli.export.plain import rename_tensors
from bpnet_cli.inference.onnx_layout import TAO_OFFSET, TAO_SCALE
from bpnet_cli.models import names

INPUT = "input_1:0"
HEATMAPS = f"{names.output(0, names.HEATMAPS, last=True)}/BiasAdd:0"
# Name of the PAFs by upsampling factor. For 4, NVIDIA appends a transposed convolution that repeats every value.
PAFS = {1: f"{names.output(0, names.PAFS, last=True)}/BiasAdd:0", 4: "conv2d_transpose_1/BiasAdd:0"}


def to_tao_layout(model: Any, upsampling: int) -> Any:
    """A copy of an exported model in NVIDIA's form, with the same metadata.

    Input `input_1:0`: float32 RGB [batch, height, width, 3], (pixel - 128) / 256. Outputs: first the PAFs, with every
    value repeated `upsampling` times (1 or 4) along height and width; then the heatmaps. The network's grid doesn't
    change: in a network trained here, all cell centres are at pixels 8j + 3.5, also those of PAFs; in NVIDIA's networks
    those of PAFs are at 8j (`ModelMetadata.paf_offset_px`).
    Raises ValueError if the model doesn't have the form that `to_onnx` gives.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    image, (heatmaps, pafs) = graph.input[0], _by_name(graph.output, ("heatmaps", "pafs"))
    _denormalise(graph, image.name)
    image.name, image.type.tensor_type.elem_type = INPUT, onnx.TensorProto.FLOAT
    rename_tensors(graph, {"heatmaps": HEATMAPS})
    _repeat(graph, "pafs", PAFS[upsampling], upsampling)
    heatmaps.name, pafs.name = HEATMAPS, PAFS[upsampling]
    for axis, name in ((1, "paf_rows"), (2, "paf_columns")) if upsampling > 1 else ():
        dimension = pafs.type.tensor_type.shape.dim[axis]
        if dimension.dim_value:
            dimension.dim_value *= upsampling
        else:
            dimension.dim_param = name
    ordered = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in (pafs, heatmaps)]
    del graph.output[:]
    graph.output.extend(ordered)
    onnx.checker.check_model(copy)
    return copy


def _by_name(values: Any, names: tuple[str, ...]) -> list[Any]:
    return [next(value for value in values if value.name == name) for name in names]


def _denormalise(graph: Any, image: str) -> None:
    """Turn the normalised input back into pixels, in the place of the cast that follows the uint8 input."""
    from onnx import helper

    (cast,) = (node for node in graph.node if image in node.input)
    if cast.op_type != "Cast":
        raise ValueError(f"the input goes into {cast.op_type}, not into a cast")
    scale, offset = (
        _constant(graph, "tao_scale", 1 / TAO_SCALE),
        _constant(graph, "tao_offset", -TAO_OFFSET / TAO_SCALE),
    )
    place = list(graph.node).index(cast)
    pixels = cast.output[0]
    graph.node.remove(cast)
    graph.node.insert(place, helper.make_node("Add", ["tao_scaled", offset], [pixels], name="tao_add"))
    graph.node.insert(place, helper.make_node("Mul", [INPUT, scale], ["tao_scaled"], name="tao_mul"))


def _repeat(graph: Any, name: str, new_name: str, times: int) -> None:
    """Repeat every value of an output [B, h, w, C] along h and w, and rename the output.

    This happens before the output's transpose, where the tensor still has channels first.
    """
    from onnx import helper

    (transpose,) = (node for node in graph.node if name in node.output)
    transpose.output[0] = new_name
    if times == 1:
        return
    if transpose.op_type != "Transpose":
        raise ValueError(f"{name} comes from {transpose.op_type}, not from a transpose")
    scales = _constant(graph, "tao_scales", [1.0, 1.0, float(times), float(times)])
    repeat = helper.make_node(
        "Resize",
        [transpose.input[0], "", scales],
        ["tao_repeated"],
        name="tao_repeat",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    transpose.input[0] = "tao_repeated"
    graph.node.insert(list(graph.node).index(transpose), repeat)


def _constant(graph: Any, name: str, value: Any) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return name
