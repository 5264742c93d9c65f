"""Runs LiteRT files (`.tflite`)."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import quiet_libraries
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.inference.onnx_layout import Value, read_layout


class LiteRtNetwork:
    """See `backends.OnnxNetwork`. XNNPACK computes it on the CPU; one call at a time runs, on all threads.

    Raises ModelFileError if LiteRT can't load the file, or if the file is of another form; BpnetError without LiteRT.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        interpreter = _interpreter()
        try:
            self._interpreter = interpreter(model_path=str(path), num_threads=threads or os.cpu_count() or 1)
            runner = self._interpreter.get_signature_runner()
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        except (ValueError, RuntimeError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelFileError(f"{path}: LiteRT can't load it; is the file complete? ({reason})") from None
        self.layout, self.metadata = read_layout(_values(inputs), _values(outputs), path)
        self._image = inputs[self.layout.input]["index"]
        self._outputs = [outputs[name]["index"] for name in (self.layout.heatmaps.name, self.layout.pafs.name)]
        del runner  # LiteRT allows no new shape while it exists
        self._lock = Lock()
        self._shape: tuple[int, ...] = ()
        height, width = self.layout.size or (4 * self.metadata.input_multiple,) * 2
        with quiet_libraries():  # the first allocation announces XNNPACK
            self._prepare((self.layout.batch or 1, height, width, 3))

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `backends.OnnxNetwork`."""
        with self._lock:
            self._prepare(values.shape)
            self._interpreter.set_tensor(self._image, values)
            self._interpreter.invoke()
            heatmaps, pafs = (self._interpreter.get_tensor(index) for index in self._outputs)
        return heatmaps, pafs

    def _prepare(self, shape: tuple[int, ...]) -> None:
        if shape != self._shape:
            self._shape = ()  # until all memory is there
            self._interpreter.resize_tensor_input(self._image, shape)
            self._interpreter.allocate_tensors()
            self._shape = shape


def _values(details: Any) -> list[Value]:
    return [
        Value(name, np.dtype(each["dtype"]).name, [int(axis) for axis in each["shape_signature"]])
        for name, each in details.items()
    ]


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise BpnetError("this needs LiteRT, which is not installed: pip install 'bpnet-cli[litert]'") from None
    return Interpreter
