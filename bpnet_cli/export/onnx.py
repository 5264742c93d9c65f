"""ONNX export: one plain file with its own metadata, checked against the Keras model before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path
from bpnet_cli.inference.backends import KerasBackend, OnnxBackend
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata

# Largest difference between Keras and ONNX Runtime on any map value.
TOLERANCE = 1e-4
_AXES = ("batch", "height", "width")
_SEED = 0


@dataclass(frozen=True)
class ExportedModel:
    """What was written. difference: largest map difference to Keras. inputs, outputs: name -> "dtype [axes]"."""

    path: Path
    bytes: int
    difference: float
    inputs: dict[str, str]
    outputs: dict[str, str]


def export_onnx(network: Any, metadata: ModelMetadata, path: str | Path, opset: int) -> ExportedModel:
    """Write a network's last stage as ONNX.

    Input `image`: uint8 RGB [batch, height, width, 3], normalised inside. Outputs `heatmaps` and `pafs`: float32
    [batch, rows, columns, channels]. Raises BpnetError when ONNX Runtime's maps differ by more than `TOLERANCE` from
    Keras' on seeded photos of two sizes; nothing is written then.
    """
    model = to_onnx(network, metadata, opset)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        difference = largest_difference(KerasBackend(network, metadata), OnnxBackend(temporary))
        if not difference <= TOLERANCE:
            raise BpnetError(
                f"{path}: not written: ONNX Runtime's maps differ from Keras' by {difference:.2g} (at most"
                f" {TOLERANCE:g}); try another export.opset (now {opset})"
            )
        size = temporary.stat().st_size
    return ExportedModel(
        Path(path),
        size,
        difference,
        {value.name: _describe(value) for value in model.graph.input},
        {value.name: _describe(value) for value in model.graph.output},
    )


def to_onnx(network: Any, metadata: ModelMetadata, opset: int) -> Any:
    """The ONNX model of a network's last stage, with named dynamic axes and metadata; in memory, unchecked."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    from bpnet_cli.models.bodyposenet import inference_network

    model = inference_network(network)

    def run(image: Any) -> Any:
        return model(image, training=False)

    function = tf.function(run, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")])
    converted, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=opset)
    _name_axes(converted.graph.input[0], _AXES)
    for output in converted.graph.output:
        _name_axes(output, ("batch", "rows", "columns"))
    # tf2onnx leaves generated names on the maps inside; those would contradict the ones given here.
    del converted.graph.value_info[:]
    onnx.helper.set_model_props(converted, {ONNX_KEY: metadata.to_json()})
    converted.producer_name, converted.producer_version = "bpnet", metadata.version
    onnx.checker.check_model(converted)
    return converted


def largest_difference(reference: Any, other: Any) -> float:
    """Largest absolute difference of two backends' maps on seeded noise photos of two sizes and batches."""
    multiple = reference.metadata.input_multiple
    rng = np.random.default_rng(_SEED)
    worst = 0.0
    for batch, height, width in ((1, 8 * multiple, 12 * multiple), (2, 6 * multiple, 4 * multiple)):
        images: NDArray[np.uint8] = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
        for expected, got in zip(reference.maps(images), other.maps(images), strict=True):
            worst = max(worst, float(np.max(np.abs(expected - got))))
    return worst


def _name_axes(value: Any, names: tuple[str, ...]) -> None:
    for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
        dimension.dim_param = name


def _describe(value: Any) -> str:
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    axes = ", ".join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)
    return f"{dtype} [{axes}]"
