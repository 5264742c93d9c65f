"""Runs SavedModel folders in TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.engine import load_tensorflow
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.onnx_layout import Value, read_layout

# Operations with a state that networks and their saving need; those that read files without having a state.
_OF_VARIABLES = {
    *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp", "DisableCopyOnRead", "RestoreV2"),
    *("StatefulPartitionedCall", "NoOp"),
}
_OF_SAVING = {"SaveV2", "MergeV2Checkpoints"}
_OF_FILES = re.compile("ReadFile|MatchingFiles|Dataset|ImmutableConst|Reader")


class SavedModelNetwork:
    """See `backends.OnnxNetwork`. TensorFlow's threads belong to the process, so `threads` has no effect.

    Raises ModelFileError if TensorFlow can't load the folder, or if it is of another form; BpnetError without
    TensorFlow.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        load_tensorflow(f"{path}: a SavedModel")
        import tensorflow as tf

        _check_operations(path)
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


def _check_operations(path: str | Path) -> None:
    """Raise ModelFileError where loading or running a SavedModel could touch files, or run code that is no network.

    Its graph is a program: TensorFlow has operations that read, write and run Python.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.framework import op_def_registry

    model = SavedModel()
    try:
        model.ParseFromString(Path(path, "saved_model.pb").read_bytes())
    except Exception as error:  # noqa: BLE001 - the error types of protobuf's versions share no base but Exception
        raise ModelFileError(f"{path}: TensorFlow can't load it; is the folder complete? ({error})") from None
    for graph in model.meta_graphs:
        functions = {each.signature.name: each.node_def for each in graph.graph_def.library.function}
        every = [node for nodes in (graph.graph_def.node, *functions.values()) for node in nodes]
        run = list(_reached(graph, functions))
        for nodes, allowed in ((every, _OF_VARIABLES | _OF_SAVING), (run, _OF_VARIABLES)):
            for node in nodes:
                known = op_def_registry.get(node.op)
                harmless = known is not None and not known.is_stateful and not _OF_FILES.search(node.op)
                if not harmless and node.op not in allowed:
                    raise ModelFileError(f"{path}: has the operation {node.op!r}, which no pose network needs")


def _reached(graph: Any, functions: Mapping[str, Any]) -> Iterator[Any]:
    """The nodes of the functions that the signatures of a graph call."""
    nodes = {node.name: node for node in graph.graph_def.node}
    tensors = [tensor for signature in graph.signature_def.values() for tensor in signature.outputs.values()]
    left = [nodes[name] for tensor in tensors if (name := tensor.name.split(":")[0]) in nodes]
    seen: set[str] = set()
    while left:
        node = left.pop()
        yield node
        called = [
            name for value in node.attr.values() for name in (value.func.name, *(f.name for f in value.list.func))
        ]
        for name in set(called) & functions.keys() - seen:
            seen.add(name)
            left += functions[name]


def _values(specs: Any) -> list[Value]:
    return [Value(name, np.dtype(spec.dtype.as_numpy_dtype).name, spec.shape.as_list()) for name, spec in specs.items()]
