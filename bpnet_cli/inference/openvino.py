"""Runs networks in OpenVINO: ONNX files, and files in OpenVINO's own format, such as the Open Model Zoo's.

The latter serve for comparison, and as teachers in training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli import __version__
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.inference.engine_errors import naming_the_input
from bpnet_cli.inference.onnx_layout import Value, read_layout
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.strides import STRIDE

_TYPES = {"u8": "uint8", "f32": "float32"}
# After so many runs in a row with the same shape, a network is compiled for this shape. Such a network is faster, but
# compiling it takes as much time as hundreds of runs save. Videos and inputs of fixed size give long rows, photos of
# many sizes give short rows.
_ROW = 3


class OpenVinoNetwork:
    """An ONNX file, or such a file converted by OpenVINO; see `backends.OnnxNetwork`.

    Raises ModelFileError if the file can't be read or is of another form, BpnetError without OpenVINO.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        core = openvino_core(threads)
        model = read_openvino(core, path)
        inputs, outputs = ([_value(port) for port in ports] for ports in (model.inputs, model.outputs))
        self.layout, self.metadata = read_layout(inputs, outputs, path)
        self._names = (self.layout.heatmaps.name, self.layout.pafs.name)
        for result in model.get_results():
            if result.output(0).any_name not in self._names:
                model.remove_result(result)
        self._fixed = not model.is_dynamic()  # asked only once, because the call takes milliseconds
        try:
            self._any_shape = core.compile_model(model, "CPU")
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelFileError(f"{path}: OpenVINO can't prepare it ({reason}); export the model again") from None
        self._one_shape = _for_each_shape(core, model)
        self._lock, self._row = Lock(), 0
        self._last: tuple[int, ...] = ()

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `backends.OnnxNetwork`."""
        outputs = self._network(values.shape).create_infer_request().infer([values])
        heatmaps, pafs = (outputs[name] for name in self._names)
        return heatmaps, pafs

    def _network(self, shape: tuple[int, ...]) -> Any:
        if self._fixed:
            return self._any_shape
        with self._lock:
            self._row = self._row + 1 if shape == self._last else 1
            self._last = shape
            return self._one_shape(shape) if self._row >= _ROW else self._any_shape


class OpenVinoBackend:
    """A network in OpenVINO IR with OpenPose's 18 keypoints, like Open Model Zoo's human-pose-estimation-0001.

    This is for files without bpnet's metadata. Such a file doesn't describe its form, so this form is assumed: one
    input (1, 3, H, W) BGR 0..255; one output with heatmaps and one with PAFs, with body_18's channels in body_18's
    order, at stride 8. Raises ModelFileError for other networks, BpnetError without OpenVINO.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self._path = Path(path)
        core = openvino_core(threads)
        model = read_openvino(core, path)
        self._heatmaps = self._output(model, BODY_18.heatmap_channels)
        self._pafs = self._output(model, BODY_18.paf_channels)
        self._compiled = _for_each_shape(core, model)
        spec = ExperimentSpec(name=self._path.stem).model_dump(mode="json")
        self.metadata = ModelMetadata(spec, BODY_18, STRIDE, STRIDE, 1.0, (0.0, 0.0, 0.0), __version__, "imported")

    def maps(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.maps`; may be called from several threads at once."""
        planes = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        with naming_the_input(planes.shape):
            outputs = self._compiled(planes.shape).create_infer_request().infer([planes])
        return _channels_last(outputs[self._heatmaps]), _channels_last(outputs[self._pafs])

    def _output(self, model: Any, channels: int) -> int:
        for index, output in enumerate(model.outputs):
            if output.partial_shape.rank.get_length() == 4 and output.partial_shape[1].to_string() == str(channels):
                return index
        shapes = ", ".join(output.partial_shape.to_string() for output in model.outputs)
        raise ModelFileError(
            f"{self._path}: has no {ONNX_KEY!r} metadata, so bpnet did not write it, and it is not a network with"
            f" OpenPose's 18 keypoints like human-pose-estimation-0001: no output has {channels} channels"
            f" (got {shapes})"
        )


def openvino_core(threads: int | None = None) -> Any:
    """OpenVINO's core, set to compute in a file's own precision. Raises BpnetError if OpenVINO is not installed.

    threads: number of threads for one call; None: OpenVINO's default.
    """
    return _core(_openvino(), threads)


@cache
def _core(openvino: Any, threads: int | None) -> Any:
    """The result of `openvino_core`, which is kept until the process ends.

    OpenVINO gives the thread that loads it a stack for signal handlers. If another thread releases OpenVINO, this stack
    is freed while the first thread still uses it. Then the next SIGTERM or Ctrl-C ends the process with a segmentation
    fault, without a message.
    """
    core = openvino.Core()
    # Use the file's own precision, not the one that the processor prefers, so that all machines give the same maps.
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    if threads:
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
    return core


def check_weights(path: str | Path) -> None:
    """Check that the `.bin` file with the weights is beside an `.xml` file. Raises ModelFileError if it is missing."""
    weights = Path(path).with_suffix(".bin")
    if not weights.is_file():
        raise ModelFileError(f"{path}: its weights are missing: {weights}")


def read_openvino(core: Any, path: str | Path) -> Any:
    """The network of a file. core: of `openvino_core`. Raises ModelFileError if OpenVINO can't read the file."""
    try:
        return core.read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelFileError(f"{path}: OpenVINO can't read it; is the file complete? ({reason})") from None


def _for_each_shape(core: Any, model: Any) -> Callable[[tuple[int, ...]], Any]:
    """A function from an input shape to the model compiled for this shape. It keeps the last 16 compiled models."""

    @lru_cache(maxsize=16)
    def compiled(shape: tuple[int, ...]) -> Any:
        fixed = model.clone()
        fixed.reshape(list(shape))
        return core.compile_model(fixed, "CPU")

    return compiled


def _value(port: Any) -> Value:
    axes = port.partial_shape if port.partial_shape.rank.is_static else []
    shape = [axis.get_length() if axis.is_static else None for axis in axes]
    kind = port.element_type.get_type_name()
    return Value(port.any_name, _TYPES.get(kind, kind), shape)


def _openvino() -> Any:
    try:
        import openvino
    except ModuleNotFoundError:
        raise BpnetError("this needs OpenVINO, which is not installed: pip install 'bpnet-cli[openvino]'") from None
    # OpenVINO binds numpy when the first array is read. If two threads do this at the same time, there is a deadlock:
    # one waits for the interpreter's lock, the other one for the binding. So it is done here, once.
    openvino.Tensor(np.zeros(1, np.float32)).data  # noqa: B018
    return openvino


def _channels_last(maps: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(maps.transpose(0, 2, 3, 1), np.float32)
