"""ONNX export: one plain file that contains its metadata, and the check of this file against the Keras model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.align import align_channels
from bpnet_cli.export.layers import name_convolutions
from bpnet_cli.export.plain import drop_unused_domains, make_plain, rename_tensors
from bpnet_cli.inference.backends import Backend, KerasBackend
from bpnet_cli.inference.compare import map_difference
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata

# Largest allowed difference of a map value between Keras and ONNX Runtime.
TOLERANCE = 1e-4
_AXES = ("batch", "height", "width")
_SEED = 0
# The converter puts the name of the Keras model in front of the names of nodes and tensors.
_PREFIX = "bodyposenet_inference_1/"


Shape = tuple[int | None, int | None, int | None]


def to_onnx(network: Any, metadata: ModelMetadata, opset: int, shape: Shape = (None, None, None)) -> Any:
    """The float32 ONNX model of a network up to its last stage, with metadata. Its maps are not yet compared.

    Input `image`: uint8 RGB [batch, height, width, 3], pixels 0..255; the graph normalises them. Outputs `heatmaps` and
    `pafs`: float32 [batch, rows, columns, channels]. shape: fixed (batch, height, width); None for a dynamic axis with
    a name. Raises ValueError if a dilated convolution gets lost in the conversion.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    from bpnet_cli.export.dilation import restore_dilation, without_dilation
    from bpnet_cli.models.bodyposenet import inference_network

    model, marks = without_dilation(inference_network(network))

    def run(image: Any) -> Any:
        return model(image, training=False)

    function = tf.function(run, input_signature=[tf.TensorSpec((*shape, 3), tf.uint8, name="image")])
    converted, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=opset)
    _name_axes(converted.graph.input[0], _AXES)
    for output in converted.graph.output:
        _name_axes(output, ("batch", "rows", "columns"))
    # tf2onnx leaves generated axis names on inner tensors. They would contradict the names given here.
    del converted.graph.value_info[:]
    restore_dilation(converted.graph, marks)
    make_plain(converted.graph)
    _shorten_names(converted.graph)
    name_convolutions(converted.graph, network)
    align_channels(converted.graph)
    drop_unused_domains(converted)
    set_metadata(converted, metadata)
    onnx.checker.check_model(converted)
    return converted


def set_metadata(model: Any, metadata: ModelMetadata) -> None:
    """Write this metadata into an ONNX model's `metadata_props`, in place of all entries that it has."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {ONNX_KEY: metadata.to_json()})
    model.producer_name, model.producer_version = "bpnet", metadata.version


def check_against_keras(network: Any, metadata: ModelMetadata, exported: Backend, runtime: str, opset: int) -> float:
    """Largest difference of a map value between Keras and a float32 file of any format.

    Raises BpnetError if it is larger than `TOLERANCE`. runtime: its name; opset: of ONNX; both are for the message.
    """
    difference = largest_difference(KerasBackend(network, metadata), exported)
    if not difference <= TOLERANCE:
        raise BpnetError(
            f"nothing written: the maps of {runtime} and Keras differ by {difference:.2g} (allowed: {TOLERANCE:g});"
            f" try another export.opset (now {opset})"
        )
    return difference


def largest_difference(reference: Any, other: Any) -> float:
    """Largest absolute difference of a map value between two backends, on two batches of seeded noise photos.

    The batches have different sizes, or both have the only size that `other` takes.
    """
    multiple = reference.metadata.input_multiple
    rng = np.random.default_rng(_SEED)
    differences = []
    for batch, height, width in ((1, 8 * multiple, 12 * multiple), (2, 6 * multiple, 4 * multiple)):
        height, width = other.fixed_size or (height, width)
        images: NDArray[np.uint8] = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
        differences.append(map_difference(reference, other, images))
    return float(np.max(differences))


def _name_axes(value: Any, names: tuple[str, ...]) -> None:
    for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
        if not dimension.dim_value:
            dimension.dim_param = name


def _shorten_names(graph: Any) -> None:
    """Remove the common prefix of all inner names: it says nothing, and quantising repeats it thousands of times."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {name for node in graph.node for name in (*node.input, *node.output)} - kept
    short = {name: name.removeprefix(_PREFIX) for name in names if name}
    if len(set(short.values()) | kept) < len(short) + len(kept):
        return  # two tensors would get the same name
    rename_tensors(graph, short)
    for node in graph.node:
        node.name = node.name.removeprefix(_PREFIX)


def describe(value: Any) -> str:
    """An ONNX input or output in words: dtype and axes."""
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    axes = ", ".join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)
    return f"{dtype} [{axes}]"
