"""SavedModel folders, for TensorFlow Serving and other programs of TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from bpnet_cli.export.onnx import Shape
from bpnet_cli.log import silenced
from bpnet_cli.models.bodyposenet import inference_network
from bpnet_cli.models.formats import SAVED_MODEL_METADATA
from bpnet_cli.models.metadata import ModelMetadata


def write_saved_model(network: Any, shape: Shape, metadata: ModelMetadata, folder: Path) -> Path:
    """Write a network up to its last stage as a SavedModel, with the metadata as an extra asset; returns its folder.

    Its signature `serving_default` takes `image`: uint8 RGB (batch, height, width, 3), and gives `heatmaps` and
    `pafs`: float32. shape: fixed (batch, height, width); None for a free axis.
    """
    model = inference_network(network)
    signature = [tf.TensorSpec((*shape, 3), tf.uint8, name="image")]
    module = tf.Module()
    module.network = model
    module.run = tf.function(lambda image: dict(model(image, training=False)), input_signature=signature)
    with silenced():
        tf.saved_model.save(module, str(folder), signatures=module.run)
    extra = folder / SAVED_MODEL_METADATA
    extra.parent.mkdir(exist_ok=True)
    extra.write_text(metadata.to_json(), encoding="utf-8")
    return folder
