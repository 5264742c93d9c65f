"""Runs ONNX files in ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.onnx_layout import Value, read_layout

_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class OnnxRuntimeNetwork:
    """See `backends.OnnxNetwork`. It runs on a GPU if ONNX Runtime supports one here.

    Raises ModelFileError if ONNX Runtime can't load the file, or if the file is of another form.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(path), options, providers=_providers(ort))
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's error types share no base but Exception
            raise ModelFileError(
                f"{path}: ONNX Runtime can't load it; is the file complete? ({str(error).splitlines()[0]})"
            ) from None
        inputs, outputs = (_values(nodes) for nodes in (self._session.get_inputs(), self._session.get_outputs()))
        self.layout, self.metadata = read_layout(inputs, outputs, path)

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `backends.OnnxNetwork`."""
        names = [self.layout.heatmaps.name, self.layout.pafs.name]
        heatmaps, pafs = self._session.run(names, {self.layout.input: values})
        return heatmaps, pafs


def _values(nodes: Any) -> list[Value]:
    return [Value(node.name, _TYPES.get(node.type, node.type), node.shape) for node in nodes]


def _providers(ort: Any) -> list[str]:
    available: list[str] = ort.get_available_providers()
    # TensorRT is used only if the environment variable names it, because it takes minutes to build an engine for each
    # input size.
    wanted = os.environ.get("BPNET_ONNX_PROVIDERS", "").split(",") if os.environ.get("BPNET_ONNX_PROVIDERS") else []
    return wanted or [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
