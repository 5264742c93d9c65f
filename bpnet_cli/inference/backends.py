"""Networks at work: a photo batch in, maps out, whatever file the network came from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.inference.onnx_layout import OnnxLayout
from bpnet_cli.inference.onnxruntime import OnnxRuntimeNetwork
from bpnet_cli.inference.openvino import OpenVinoBackend, OpenVinoNetwork
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


class OnnxNetwork(Protocol):
    """An ONNX file, loaded by an engine."""

    layout: OnnxLayout
    metadata: ModelMetadata

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Heatmaps and PAFs, in the layout of the file, of what `layout.feed` gives; from any thread."""


_ENGINES: dict[str, Callable[[str | Path, int | None], OnnxNetwork]] = {
    "onnxruntime": OnnxRuntimeNetwork,
    "openvino": OpenVinoNetwork,
}


class OnnxBackend:
    """An exported network, or NVIDIA's BodyPoseNet; never imports Keras or TensorFlow.

    engine: what computes, `onnxruntime` or `openvino`. fixed_size: the only (height, width) that the file takes, or
    None. Raises ModelFileError for other files, BpnetError for an engine that is unknown or not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None, engine: str = "onnxruntime") -> None:
        if engine not in _ENGINES:
            raise BpnetError(f"engine: must be {' or '.join(_ENGINES)} (got {engine!r})")
        self._network = _ENGINES[engine](path, threads)
        self.layout, self.metadata = self._network.layout, self._network.metadata
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
        return self.layout.read(*self._network.run(values))


def load_backend(path: str | Path, threads: int | None = None, engine: str = "onnxruntime") -> Backend:
    """A backend by the file's ending: `.keras`, `.onnx`, or `.xml` for OpenVINO. Raises BpnetError.

    threads: that one call of an `.onnx` or `.xml` network may use; by default as many as there are cores. engine: what
    computes an `.onnx` network, `onnxruntime` or `openvino`; an `.xml` is always OpenVINO's.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    if path.suffix == ".onnx":
        return OnnxBackend(path, threads, engine)
    if path.suffix == ".keras":
        if engine != "onnxruntime":
            raise BpnetError(f"{path}: engine {engine} takes .onnx files; bpnet export -m {path} -o OUT.onnx makes one")
        load_keras()
        from bpnet_cli.models.model_file import load_network

        return KerasBackend(*load_network(path))
    if path.suffix == ".xml":
        return OpenVinoBackend(path, threads)
    raise ModelFileError(f"{path}: must be a .keras or an .onnx file (or OpenVINO's .xml)")


def _filled(values: NDArray[Any], batch: int) -> NDArray[Any]:
    """A batch that is too small, filled up with its last photo."""
    missing = batch - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def _run(network: Any, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    import keras

    return {name: keras.ops.convert_to_numpy(maps) for name, maps in network(images, training=False).items()}


def _compiled(network: Any) -> Any:
    """The network as a function; on TensorFlow one graph for all sizes, since photos differ in size."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()(partial(_run, network))
    if keras.backend.backend() != "tensorflow":
        return partial(_run, network)
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    return tf.function(lambda images: network(images, training=False), input_signature=signature)
