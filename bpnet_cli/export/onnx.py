"""ONNX export: one plain file with its own metadata, checked against the Keras model before it gets its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.align import align_channels
from bpnet_cli.export.plain import make_plain, rename_tensors
from bpnet_cli.inference.backends import KerasBackend, load_backend
from bpnet_cli.inference.compare import map_difference
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata

# Largest difference between Keras and ONNX Runtime on any map value.
TOLERANCE = 1e-4
_AXES = ("batch", "height", "width")
_SEED = 0
# Of the Keras model that is converted.
_PREFIX = "bodyposenet_inference_1/"


Shape = tuple[int | None, int | None, int | None]


def to_onnx(network: Any, metadata: ModelMetadata, opset: int, shape: Shape = (None, None, None)) -> Any:
    """The float32 ONNX model of a network's last stage, with metadata; in memory, unchecked.

    Input `image`: uint8 RGB [batch, height, width, 3], normalised inside. Outputs `heatmaps` and `pafs`: float32
    [batch, rows, columns, channels]. shape: (batch, height, width) that are fixed; None is a named dynamic axis.
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
    # tf2onnx leaves generated names on the maps inside; those would contradict the ones given here.
    del converted.graph.value_info[:]
    restore_dilation(converted.graph, marks)
    make_plain(converted.graph)
    align_channels(converted.graph)
    _shorten_names(converted.graph)
    set_metadata(converted, metadata)
    onnx.checker.check_model(converted)
    return converted


def set_metadata(model: Any, metadata: ModelMetadata) -> None:
    """Have an ONNX model carry this metadata, and nothing else, in its `metadata_props`."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {ONNX_KEY: metadata.to_json()})
    model.producer_name, model.producer_version = "bpnet", metadata.version


def check_against_keras(network: Any, metadata: ModelMetadata, exported: Path, opset: int) -> float:
    """Largest map difference between Keras and a float32 file of any format. Raises BpnetError above `TOLERANCE`."""
    difference = largest_difference(KerasBackend(network, metadata), load_backend(exported))
    if not difference <= TOLERANCE:
        raise BpnetError(
            f"nothing written: ONNX Runtime's maps differ from Keras' by {difference:.2g} (at most {TOLERANCE:g});"
            f" try another export.opset (now {opset})"
        )
    return difference


def largest_difference(reference: Any, other: Any) -> float:
    """Largest absolute difference of two backends' maps on seeded noise photos.

    Two sizes and batches, or the only one that the other backend takes.
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
    """Drop what every name inside has in front: it says nothing, and quantising repeats it thousands of times."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {name for node in graph.node for name in (*node.input, *node.output)} - kept
    short = {name: name.removeprefix(_PREFIX) for name in names if name}
    if len(set(short.values()) | kept) < len(short) + len(kept):
        return  # two would become one
    rename_tensors(graph, short)
    for node in graph.node:
        node.name = node.name.removeprefix(_PREFIX)


def describe(value: Any) -> str:
    """An ONNX input or output: dtype and axes."""
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    axes = ", ".join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)
    return f"{dtype} [{axes}]"
