"""Networks at work: a photo batch in, maps out, whatever file the network came from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.onnx_layout import read_layout
from bpnet_cli.models.metadata import ModelMetadata

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


class Backend(Protocol):
    """What the predictor needs of a network."""

    metadata: ModelMetadata

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """(B, H, W, 3) uint8 RGB -> heatmaps (B, h, w, K + 1) and pafs (B, h, w, 2L), float32."""


class KerasBackend:
    """A Keras network in memory, given with all its stages' outputs; reads the last stage."""

    def __init__(self, network: Any, metadata: ModelMetadata) -> None:
        from bpnet_cli.models.bodyposenet import inference_network

        self.metadata = metadata
        self._run = _compiled(inference_network(network))

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """See `Backend.maps`."""
        outputs = self._run(images)
        return np.asarray(outputs["heatmaps"], np.float32), np.asarray(outputs["pafs"], np.float32)


class OnnxBackend:
    """An exported network, or NVIDIA's BodyPoseNet, in ONNX Runtime; never imports Keras or TensorFlow.

    fixed_size: the only (height, width) that the file takes, or None.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(path), options, providers=_providers(ort))
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's error types share no base but Exception
            raise ModelFileError(
                f"{path}: ONNX Runtime can't load it; is the file complete? ({str(error).splitlines()[0]})"
            ) from None
        self.layout, self.metadata = read_layout(self._session, path)
        self.fixed_size = self.layout.size

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """See `Backend.maps`. Raises BpnetError for a size other than `fixed_size`, where the file has one."""
        values, wanted = self.layout.feed(images), self.layout.batch
        if wanted is None:
            return self._maps(values)
        parts = [self._maps(_filled(values[i : i + wanted], wanted)) for i in range(0, len(values), wanted)]
        heatmaps, pafs = (np.concatenate(maps)[: len(values)] for maps in zip(*parts, strict=True))
        return heatmaps, pafs

    def _maps(self, values: NDArray[Any]) -> Maps:
        names = [self.layout.heatmaps.name, self.layout.pafs.name]
        return self.layout.read(*self._session.run(names, {self.layout.input: values}))


def load_backend(path: str | Path, threads: int | None = None) -> Backend:
    """A backend by the file's ending: `.keras`, `.onnx`, or `.xml` for OpenVINO. Raises ModelFileError.

    threads: that one call of an `.onnx` or `.xml` network may use; by default as many as there are cores.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    if path.suffix == ".onnx":
        return OnnxBackend(path, threads)
    if path.suffix == ".keras":
        load_keras()
        from bpnet_cli.models.model_file import load_network

        return KerasBackend(*load_network(path))
    if path.suffix == ".xml":
        from bpnet_cli.inference.openvino import OpenVinoBackend

        return OpenVinoBackend(path, threads)
    raise ModelFileError(f"{path}: must be a .keras or an .onnx file (or OpenVINO's .xml)")


def _filled(values: NDArray[Any], batch: int) -> NDArray[Any]:
    """A batch that is too small, filled up with its last photo."""
    missing = batch - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def _compiled(network: Any) -> Any:
    """The network as a function; on TensorFlow one graph for all sizes, since photos differ in size."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return lambda images: {name: keras.ops.convert_to_numpy(a) for name, a in network(images).items()}
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    return tf.function(lambda images: network(images, training=False), input_signature=signature)


def _providers(ort: Any) -> list[str]:
    available: list[str] = ort.get_available_providers()
    # TensorRT builds an engine per input size, minutes each; it is for those who ask for it.
    wanted = os.environ.get("BPNET_ONNX_PROVIDERS", "").split(",") if os.environ.get("BPNET_ONNX_PROVIDERS") else []
    return wanted or [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
