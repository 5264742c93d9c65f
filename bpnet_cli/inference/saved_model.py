"""Runs SavedModel folders in TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_tensorflow
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.onnx_layout import Value, read_layout
from bpnet_cli.inference.saved_model_check import check_operations


class SavedModelNetwork:
    """See `backends.OnnxNetwork`. TensorFlow's threads belong to the process, so `threads` has no effect.

    Raises ModelFileError if TensorFlow can't load the folder, or if it is of another form; BpnetError without
    TensorFlow.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        load_tensorflow(f"{path}: a SavedModel")
        import tensorflow as tf

        check_operations(path)
        try:
            self._model = tf.saved_model.load(str(path))
            self._run = self._model.signatures["serving_default"]
        except Exception as error:  # noqa: BLE001 - TensorFlow's errors share no base but Exception
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ModelFileError(f"{path}: TensorFlow can't load it; is the folder complete? ({reason})") from None
        inputs, outputs = self._run.structured_input_signature[1], self._run.structured_outputs
        self.layout, self.metadata = read_layout(_values(inputs), _values(outputs), path)

    def run(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `backends.OnnxNetwork`."""
        import tensorflow as tf

        outputs = self._run(**{self.layout.input: tf.constant(values)})
        return outputs[self.layout.heatmaps.name].numpy(), outputs[self.layout.pafs.name].numpy()


def _values(specs: Any) -> list[Value]:
    return [Value(name, np.dtype(spec.dtype.as_numpy_dtype).name, spec.shape.as_list()) for name, spec in specs.items()]
