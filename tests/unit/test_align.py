"""Stages are made as wide as runtimes like, and their maps stay the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.inference.backends import KerasBackend, OnnxBackend
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.experiment import ExperimentSpec

pytest.importorskip("onnx")


@pytest.mark.usefixtures("keras_loaded")
@pytest.mark.parametrize("convolution", ["separable", "plain"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_maps_stay_the_same(convolution: str, batch_norm: bool, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    import keras

    from bpnet_cli.export.onnx import largest_difference, to_onnx

    stage = {"kernel_sizes": [3], "channels": 8, "head_channels": 8}
    model = {"backbone": "tiny", "stages": 3, "feature_channels": 8, "convolution": convolution}
    model |= {"batch_norm": batch_norm, "initial_stage": stage, "refinement_stage": stage}
    spec = ExperimentSpec.model_validate_json(json.dumps({"model": model}))
    keras.utils.set_random_seed(0)
    network, metadata = network_of(spec, BODY_18), metadata_of(spec, BODY_18)
    rng = np.random.default_rng(0)
    for weight in network.trainable_variables:
        weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    keras_maps = KerasBackend(network, metadata)
    assert np.abs(keras_maps.maps(rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8))[1]).max() > 0.05
    exported = to_onnx(network, metadata, 17)
    (tmp_path / "m.onnx").write_bytes(exported.SerializeToString())
    assert widths_read(exported.graph) == [80, 80]  # 8 + 19 + 38 channels and 15 of zeros
    assert largest_difference(keras_maps, OnnxBackend(tmp_path / "m.onnx")) < 5e-5


def widths_read(graph: Any) -> list[int]:
    """Channels that the convolutions read which read joined tensors."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    joined_here = [node.output[0] for node in graph.node if node.op_type == "Concat"]
    convolutions = [node for node in graph.node if node.op_type == "Conv" and node.input[0] in joined_here]
    weights = [tensors[node.input[1]].dims for node in convolutions]
    return [dims[0] if dims[1] == 1 else dims[1] for dims in weights]


def joined(*others: Any, outputs: tuple[str, ...] = ("y",)) -> Any:
    """An image of 3 channels beside a convolution's 4, read by another convolution; and other nodes."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"w0": np.ones((4, 3, 1, 1)), "b0": np.ones(4), "w1": np.ones((2, 7, 1, 1)), "c": np.ones(())}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"]),
        helper.make_node("Concat", ["x", "a"], ["j"], axis=1),
        helper.make_node("Conv", ["j", "w1"], ["y"]),
        *others,
    ]
    shape = [1, None, 4, 4]
    return helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )


def test_widened_where_only_convolutions_read() -> None:
    from bpnet_cli.export.align import align_channels

    graph = joined()
    align_channels(graph)
    assert widths_read(graph) == [16]


@pytest.mark.parametrize(
    ("node", "outputs"),
    [
        (None, ("y", "a")),
        (None, ("y", "j")),
        (("Relu", ["a"], ["z"]), ("y", "z")),
        (("Softmax", ["j"], ["z"]), ("y", "z")),
        (("Mul", ["j", "c"], ["z"]), ("y", "z")),
        (("Add", ["j", "j"], ["z"]), ("y", "z")),
    ],
)
def test_left_alone_where_others_read(node: tuple[str, list[str], list[str]] | None, outputs: tuple[str, ...]) -> None:
    from onnx import helper

    from bpnet_cli.export.align import align_channels

    graph = joined(*([helper.make_node(*node)] if node else []), outputs=outputs)
    align_channels(graph)
    assert widths_read(graph) == [7]
