"""Networks in OpenVINO's format, as the Open Model Zoo has them: to decode, to compare with, to learn from."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli import __version__
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.experiment import ExperimentSpec

_STRIDE = 8


class OpenVinoBackend:
    """A network of OpenPose's 18 keypoints in OpenVINO IR, as Open Model Zoo's human-pose-estimation-0001.

    The file says nothing about itself, so its form is taken for granted: one input (1, 3, H, W) BGR 0..255, and two
    outputs with the channels of body_18's heatmaps and PAFs, in that order, at stride 8. Raises ModelFileError for
    other networks.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self._core = _openvino().Core()
        # The file's own precision, whatever the processor prefers: the same maps everywhere.
        self._core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        if threads:
            self._core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
        self._path = Path(path)
        if not self._path.with_suffix(".bin").is_file():
            raise ModelFileError(f"{path}: its weights are missing: {self._path.with_suffix('.bin')}")
        try:
            model = self._core.read_model(self._path)
        except RuntimeError as error:
            raise ModelFileError(f"{path}: OpenVINO can't read it ({str(error).splitlines()[0]})") from None
        self._heatmaps = self._output(model, BODY_18.heatmap_channels)
        self._pafs = self._output(model, BODY_18.paf_channels)
        self._compiled = lru_cache(maxsize=16)(self._compile)
        spec = ExperimentSpec(name=self._path.stem).model_dump(mode="json")
        self.metadata = ModelMetadata(spec, BODY_18, _STRIDE, _STRIDE, 1.0, (0.0, 0.0, 0.0), __version__)

    def maps(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.maps`; may be called from several threads at once."""
        planes = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        request = self._compiled(planes.shape).create_infer_request()
        outputs = request.infer([planes])
        return _channels_last(outputs[self._heatmaps]), _channels_last(outputs[self._pafs])

    def _compile(self, shape: tuple[int, ...]) -> Any:
        model = self._core.read_model(self._path)
        model.reshape(list(shape))
        return self._core.compile_model(model, "CPU")

    def _output(self, model: Any, channels: int) -> int:
        for index, output in enumerate(model.outputs):
            if output.partial_shape.rank.get_length() == 4 and output.partial_shape[1].to_string() == str(channels):
                return index
        shapes = ", ".join(output.partial_shape.to_string() for output in model.outputs)
        raise ModelFileError(
            f"{self._path}: not a network of OpenPose's 18 keypoints: no output has {channels} channels (got {shapes})"
        )


def _openvino() -> Any:
    try:
        import openvino
    except ModuleNotFoundError:
        raise BpnetError("an .xml model needs OpenVINO, which is not installed: pip install openvino") from None
    # OpenVINO binds numpy when an array is first asked for; two threads that do so at the same time wait for each other
    # for ever, one for the interpreter's lock, the other for the binding.
    openvino.Tensor(np.zeros(1, np.float32)).data  # noqa: B018
    return openvino


def _channels_last(maps: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(maps.transpose(0, 2, 3, 1), np.float32)
