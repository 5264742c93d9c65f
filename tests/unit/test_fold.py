"""Batch norms go into the convolutions before them, and exported files have nothing that another tool would remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli.build import metadata_of, network_of, skeleton_of
from bpnet_cli.spec.loader import load_spec

pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.usefixtures("keras_loaded")
PHOTO = np.random.default_rng(2).integers(0, 256, (1, 64, 96, 3), np.uint8)


def trained(name: str) -> Any:
    """The network of a shipped spec, with batch norms that are far from doing nothing."""
    from keras import layers

    spec = load_spec(name)
    network, rng = network_of(spec, skeleton_of(spec)), np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()])
    return network


def norms(network: Any) -> int:
    from keras import layers

    return sum(isinstance(layer, layers.BatchNormalization) for layer in network.layers)


@pytest.mark.parametrize("name", ["lite_coco", "bodyposenet_vgg19_coco"])
def test_no_batch_norm_is_left_and_the_maps_are_the_same(name: str) -> None:
    from bpnet_cli.export.fold import fold_batch_norms

    network = trained(name)
    result = fold_batch_norms(network)
    assert (norms(network) > 10, norms(result)) == (True, 0)
    for wanted, got in zip(network(PHOTO, training=False), result(PHOTO, training=False), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_batch_norm_that_cannot_be_folded_stays() -> None:
    """One behind an activation, one behind a sum, and one whose convolution another layer reads too."""
    import keras
    from keras import layers

    from bpnet_cli.export.fold import fold_batch_norms

    image = keras.Input((None, None, 3), name="image")
    first = layers.Conv2D(4, 3, padding="same")(image)
    second = layers.Conv2D(4, 3, padding="same", activation="relu")(first)
    a, b = layers.BatchNormalization()(first), layers.BatchNormalization()(second)
    total = layers.BatchNormalization()(layers.Add()([a, b]))
    network = keras.Model(image, total)
    assert fold_batch_norms(network) is network


@pytest.mark.parametrize("peaks", [False, True])
def test_another_tool_finds_nothing_left_to_do(tmp_path: Path, peaks: bool) -> None:
    onnxslim, onnx = pytest.importorskip("onnxslim"), pytest.importorskip("onnx")
    from bpnet_cli.build import decode_options_of
    from bpnet_cli.export.fold import fold_batch_norms
    from bpnet_cli.export.onnx import to_onnx
    from bpnet_cli.export.peaks import add_peaks

    spec = load_spec("lite_coco")
    metadata = metadata_of(spec, skeleton_of(spec))
    model = to_onnx(fold_batch_norms(trained("lite_coco")), metadata, 17)
    if peaks:
        add_peaks(model, metadata, decode_options_of(spec))
    before = [node.op_type for node in model.graph.node]
    onnx.save(model, tmp_path / "m.onnx")
    after = [node.op_type for node in onnxslim.slim(onnx.load(tmp_path / "m.onnx")).graph.node]
    assert sorted(after) == sorted(before)
    assert "BatchNormalization" not in before
    assert [entry.domain for entry in model.opset_import] == [""]
