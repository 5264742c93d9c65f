"""LiteRT (TensorFlow Lite) files, for phones and small computers.

The metadata lie in a zip archive at the end of the file, as TensorFlow Lite's associated files do: any zip program
can read them, and runtimes don't see them.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.onnx import Shape
from bpnet_cli.log import silenced
from bpnet_cli.models.bodyposenet import inference_network
from bpnet_cli.models.metadata import KERAS_MEMBER, ModelMetadata


def to_litert(network: Any, shape: Shape, precision: str, photos: Iterable[NDArray[np.uint8]] = ()) -> bytes:
    """A LiteRT file of a network up to its last stage, without metadata.

    Input `image`: uint8 RGB (batch, height, width, 3). Outputs `heatmaps` and `pafs`: float32, channels last. shape:
    fixed (batch, height, width); None for a free axis. precision: fp32, fp16 or int8. photos: (B, H, W, 3) uint8
    network inputs for calibrating int8: weights with a scale per channel, activations in 8 bits, maps as float32.
    Raises BpnetError if the network has an operator that LiteRT lacks.
    """
    with tempfile.TemporaryDirectory(prefix="bpnet-litert-") as folder:
        _save(inference_network(network), shape, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: ([photo] for photo in photos)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.float32
        return converted(converter)


def converted(converter: Any) -> bytes:
    """What a converter of TensorFlow Lite makes. Raises BpnetError if LiteRT lacks an operator."""
    try:
        with silenced():
            result: bytes = converter.convert()
    except Exception as error:  # noqa: BLE001 - the converter's errors share no base but Exception
        line = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise BpnetError(f"nothing written: TensorFlow can't convert this network to LiteRT: {line}") from None
    return result


def write_litert(path: Path, data: bytes, metadata: ModelMetadata) -> Path:
    """Write a LiteRT file with its metadata; returns its path."""
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(KERAS_MEMBER, metadata.to_json())
    return path


def _save(network: Any, shape: Shape, folder: str) -> None:
    """Write a SavedModel with constants in place of variables, and with names for its input and outputs."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    network = _with_native_dilation(network)
    signature = [tf.TensorSpec((*shape, 3), tf.uint8, name="image")]

    def maps(image: Any) -> Any:
        found = network(image, training=False)
        return found["heatmaps"], found["pafs"]

    frozen = convert_variables_to_constants_v2(tf.function(maps, input_signature=signature).get_concrete_function())

    def named(image: Any) -> Any:
        heatmaps, pafs = frozen(image)
        return {"heatmaps": heatmaps, "pafs": pafs}

    module = tf.Module()
    module.run = tf.function(named, input_signature=signature)
    with silenced():
        tf.saved_model.save(module, folder, signatures=module.run)


class _Dilated(layers.Conv2D):  # type: ignore[misc]
    """TensorFlow's own dilation. Keras moves pixels to the batch axis, which LiteRT then does too at free sizes."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        padding, rates = self.padding.upper(), list(self.dilation_rate)
        return tf.nn.conv2d(inputs, kernel, list(self.strides), padding, dilations=rates)


class _DilatedDepthwise(layers.DepthwiseConv2D):  # type: ignore[misc]
    """The same for a depthwise convolution. TensorFlow can't run this operator on a CPU, but LiteRT can."""

    def call(self, inputs: Any) -> Any:
        rates = [1, *self.dilation_rate, 1]
        outputs = tf.raw_ops.DepthwiseConv2dNative(
            input=inputs, filter=self.kernel, strides=[1, 1, 1, 1], padding=self.padding.upper(), dilations=rates
        )
        return self.activation(outputs + self.bias if self.use_bias else outputs)


_NATIVE: dict[Any, Any] = {layers.Conv2D: _Dilated, layers.DepthwiseConv2D: _DilatedDepthwise}


def _with_native_dilation(network: Any) -> Any:
    def native(layer: Any) -> Any:
        kind = type(layer)
        dilated = kind in _NATIVE and max(layer.dilation_rate) > 1
        return (_NATIVE[kind] if dilated else kind).from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=native)
    copy.set_weights(network.get_weights())
    return copy
