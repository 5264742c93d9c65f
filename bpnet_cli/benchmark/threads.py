"""Setting the number of threads for all libraries that compute in inference."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError
from bpnet_cli.models.formats import format_of


def set_threads(threads: int | None, models: Sequence[str]) -> None:
    """Set the threads of OpenCV, and those of TensorFlow where a model is a `.keras` file or a SavedModel.

    None changes nothing. ONNX Runtime, OpenVINO and LiteRT get their threads with each model (`load_backend`).
    TensorFlow is set to compute one operation at a time, as ONNX Runtime does.
    Raises BpnetError where Keras has another backend than TensorFlow, and where TensorFlow has already started.
    """
    if threads is None:
        return
    cv2.setNumThreads(threads)
    if {"keras", "tensorflow"}.isdisjoint(engine for model in models for engine in format_of(model).engines):
        return
    load_keras()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BpnetError(
            f"--threads: can't be set for Keras on {keras.backend.backend()}; leave it out or use TensorFlow"
        )
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise BpnetError(
            "--threads: can't be set, because TensorFlow has already started its threads in this process"
        ) from None
