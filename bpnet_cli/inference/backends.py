"""Runs networks from files of any format: a batch of photos in, maps out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.inference.engine_errors import naming_the_input
from bpnet_cli.inference.litert import LiteRtNetwork
from bpnet_cli.inference.onnx_layout import OnnxLayout
from bpnet_cli.inference.onnxruntime import OnnxRuntimeNetwork
from bpnet_cli.inference.openvino import OpenVinoBackend, OpenVinoNetwork, check_weights
from bpnet_cli.inference.paf_grid import on_the_heatmaps_grid
from bpnet_cli.inference.saved_model import SavedModelNetwork
from bpnet_cli.models.formats import FORMATS, format_of
from bpnet_cli.models.metadata import ModelMetadata

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


class Backend(Protocol):
    """The interface to a network that the predictor uses."""

    metadata: ModelMetadata

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """(B, H, W, 3) uint8 RGB -> heatmaps (B, h, w, K + 1) and pafs (B, h, w, 2L), float32, on the same grid.

        The centre of cell j is at input pixel stride * j + (stride - 1) / 2.
        """


class KerasBackend:
    """A Keras network in memory. network: with the outputs of all stages; only those of the last stage are used."""

    def __init__(self, network: Any, metadata: ModelMetadata) -> None:
        from bpnet_cli.models.bodyposenet import inference_network

        self.metadata = metadata
        self._run = _compiled(inference_network(network))

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """See `Backend.maps`."""
        with naming_the_input(images.shape):
            outputs = self._run(images)
        heatmaps, pafs = (np.asarray(outputs[name], np.float32) for name in ("heatmaps", "pafs"))
        _check_grid(images, heatmaps, self.metadata)
        return heatmaps, on_the_heatmaps_grid(pafs, self.metadata)


class OnnxNetwork(Protocol):
    """An ONNX file, or another exported file, that an engine has loaded."""

    layout: OnnxLayout
    metadata: ModelMetadata

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Run the network on the result of `layout.feed`; returns (heatmaps, pafs) with the axes that the file has.

        Several threads may call it at once.
        """


_ENGINES: dict[str, Callable[[str | Path, int | None], OnnxNetwork]] = {
    "onnxruntime": OnnxRuntimeNetwork,
    "openvino": OpenVinoNetwork,
    "litert": LiteRtNetwork,
    "tensorflow": SavedModelNetwork,
}


class OnnxBackend:
    """A network that bpnet exported in any format (also if OpenVINO converted it), or NVIDIA's BodyPoseNet.

    It never imports Keras, and TensorFlow only for a SavedModel. engine: the runtime, one of those that
    `models.formats` names for the file. threads: number of threads for one call; None: the engine's default.
    fixed_size: the only (height, width) that the file takes, or None.
    Raises ModelFileError for other files, BpnetError for an engine that is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None, engine: str = "onnxruntime") -> None:
        self._network = _ENGINES[engine](path, threads)
        self.layout, self.metadata = self._network.layout, self._network.metadata
        self.fixed_size = self.layout.size

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """See `Backend.maps`. Raises BpnetError if the file has a `fixed_size` and the photos have another size."""
        values, wanted = self.layout.feed(images), self.layout.batch
        if wanted is None:
            heatmaps, pafs = self._maps(values)
            _check_grid(images, heatmaps, self.metadata)
            return heatmaps, pafs
        parts = [self._maps(_filled(values[i : i + wanted], wanted)) for i in range(0, len(values), wanted)]
        heatmaps, pafs = (np.concatenate(maps)[: len(values)] for maps in zip(*parts, strict=True))
        _check_grid(images, heatmaps, self.metadata)
        return heatmaps, pafs

    def _maps(self, values: NDArray[Any]) -> Maps:
        with naming_the_input(values.shape):
            outputs = self._network.run(values)
        heatmaps, pafs = self.layout.read(*outputs)
        return heatmaps, on_the_heatmaps_grid(pafs, self.metadata)


def _check_grid(images: NDArray[np.uint8], heatmaps: NDArray[np.float32], metadata: ModelMetadata) -> None:
    """Raise ModelFileError where a network has another stride than its metadata say: people would be misplaced."""
    size, cells = images.shape[1:3], heatmaps.shape[1:3]
    if tuple(metadata.stride * each for each in cells) != size:
        shown = " x ".join(map(str, size)), " x ".join(map(str, cells))
        raise ModelFileError(
            f"the maps of an input of {shown[0]} pixels have {shown[1]} cells, which is not the stride of"
            f" {metadata.stride} that the metadata of this model file say; export or import it again"
        )


def load_backend(path: str | Path, threads: int | None = None, engine: str = "onnxruntime") -> Backend:
    """A backend for a file of any format, see `models.formats`.

    threads: number of threads that one call of an `.onnx`, `.xml` or `.tflite` network may use; by default the number
    of cores. engine: the runtime for an `.onnx` file, `onnxruntime` or `openvino`; other formats have one runtime each.
    Raises BpnetError if the file can't be loaded, or if the engine is unknown, not installed or not for this format.
    """
    return LOADERS[format_of(path).name](path, threads, engine)


def _load_keras(path: str | Path, _: int | None, engine: str) -> Backend:
    if engine not in ("onnxruntime", *FORMATS["keras"].engines):
        raise BpnetError(
            f"{path}: engine {engine} needs an .onnx file; to make one: bpnet export -m {path} -o OUT.onnx"
        )
    load_keras()
    from bpnet_cli.models.model_file import load_network

    return KerasBackend(*load_network(path))


def _load_onnx(path: str | Path, threads: int | None, engine: str) -> Backend:
    engines = FORMATS["onnx"].engines
    if engine not in engines:
        raise BpnetError(f"engine: must be {' or '.join(engines)} (got {engine!r})")
    return OnnxBackend(path, threads, engine)


def _load_exported(path: str | Path, threads: int | None, _: str) -> Backend:
    """A file of a format that one engine runs."""
    return OnnxBackend(path, threads, format_of(path).engines[0])


def _load_openvino(path: str | Path, threads: int | None, _: str) -> Backend:
    """A file with bpnet's metadata is a converted export; any other file must be a network of the one known form."""
    check_weights(path)
    if FORMATS["openvino"].metadata(path) is not None:
        return OnnxBackend(path, threads, "openvino")
    return OpenVinoBackend(path, threads)


# By format: (file, threads, engine) -> backend.
LOADERS: dict[str, Callable[[str | Path, int | None, str], Backend]] = {
    "keras": _load_keras,
    "onnx": _load_onnx,
    "openvino": _load_openvino,
    "litert": _load_exported,
    "saved_model": _load_exported,
}


def _filled(values: NDArray[Any], batch: int) -> NDArray[Any]:
    """A batch that is too small, filled up with copies of its last photo."""
    missing = batch - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values


def _run(network: Any, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    import keras

    return {name: keras.ops.convert_to_numpy(maps) for name, maps in network(images, training=False).items()}


def _compiled(network: Any) -> Any:
    """The network as a function. On TensorFlow it is one graph for all sizes, because photos differ in size."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()(partial(_run, network))
    if keras.backend.backend() != "tensorflow":
        return partial(_run, network)
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
    return tf.function(lambda images: network(images, training=False), input_signature=signature)
