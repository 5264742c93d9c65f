"""Runs the original file in its own runtime. The imported network must give the same maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError
from bpnet_cli.importing.graph import ImageInput
from bpnet_cli.inference.backends import Maps
from bpnet_cli.inference.openvino import openvino_core, read_openvino
from bpnet_cli.inference.paf_grid import on_the_heatmaps_grid
from bpnet_cli.models.formats import format_of
from bpnet_cli.models.metadata import ModelMetadata

Run = Callable[[NDArray[Any]], list[NDArray[Any]]]


class Original:
    """A backend for the original file.

    image: the form in which the file takes photos. heatmaps, pafs: positions of the maps among the file's outputs.
    If the file repeats PAFs on a finer grid, as NVIDIA's files do, only one of the equal values is kept.
    Raises ModelFileError if the file doesn't run, BpnetError if its runtime is not installed.
    """

    def __init__(self, path: str, image: ImageInput, heatmaps: int, pafs: int, metadata: ModelMetadata) -> None:
        self.metadata = metadata
        self.path, self.image, self.places = path, image, (heatmaps, pafs)
        self._run = _RUNTIMES[format_of(path).name](path, image.name)

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """See `Backend.maps`."""
        try:
            outputs = self._run(self.image.feed(images))
        except Exception as error:  # noqa: BLE001 - the runtimes' errors share no other base
            reason = str(error).strip().splitlines()[-1]
            raise ModelFileError(
                f"{self.path}: doesn't run in its own runtime ({reason}); nothing was written"
            ) from None
        channels = self.metadata.skeleton.heatmap_channels, self.metadata.skeleton.paf_channels
        heatmaps, pafs = (_last(outputs[i], count) for i, count in zip(self.places, channels, strict=True))
        repeats = pafs.shape[1] // heatmaps.shape[1]
        thinned = np.ascontiguousarray(pafs[:, ::repeats, ::repeats])
        return heatmaps, on_the_heatmaps_grid(thinned, self.metadata)


def _last(maps: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Maps as (B, h, w, C) float32, from axes (B, h, w, C) or (B, C, h, w)."""
    values = np.asarray(maps, np.float32)
    return values if values.shape[3] == channels else np.ascontiguousarray(values.transpose(0, 2, 3, 1))


def _in_onnxruntime(path: str, name: str) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's error types share no base but Exception
        raise ModelFileError(f"{path}: ONNX Runtime can't load it ({str(error).splitlines()[0]})") from None
    return lambda values: list(session.run(None, {name: values}))


def _in_openvino(path: str, _: str) -> Run:
    core = openvino_core()
    model = read_openvino(core, path)

    def run(values: NDArray[Any]) -> list[NDArray[Any]]:
        fixed = model.clone()
        fixed.reshape(list(values.shape))
        outputs = core.compile_model(fixed, "CPU")([values])
        return [outputs[index] for index in range(len(model.outputs))]

    return run


# By format: (file, name of its input) -> a function that runs the file.
_RUNTIMES: dict[str, Callable[[str, str], Run]] = {"onnx": _in_onnxruntime, "openvino": _in_openvino}
