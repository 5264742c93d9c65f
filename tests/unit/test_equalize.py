"""Channels of one size: the float network stays the same, and INT8 loses less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.usefixtures("keras_loaded")

PHOTOS = [np.random.default_rng(i).integers(0, 256, (1, 32, 48, 3), np.uint8) for i in range(3)]


def uneven() -> Any:
    """Convolutions whose channels differ by a thousand, with padding and a concatenation between them."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 3, strides=8, padding="same", name="first")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(x)
    features = layers.Conv2D(6, 1, name="features")(x)
    small = layers.Conv2D(2, 1, name="small")(features)
    large = layers.Conv2D(3, 1, name="large")(features)
    x = layers.Concatenate(name="joined")([small, large])
    heatmaps = layers.Conv2D(4, 1, name="heatmaps")(x)
    pafs = layers.Conv2D(2, 3, padding="same", name="pafs")(features)
    network = keras.Model(image, {"heatmaps": heatmaps, "pafs": pafs})
    rng = np.random.default_rng(5)
    for layer in network.layers:
        weights = layer.get_weights()
        layer.set_weights([rng.normal(size=each.shape, scale=0.5) for each in weights])
    for name, factors in (("first", np.logspace(0, 3, 8)), ("small", 0.01), ("large", 30.0)):
        kernel, bias = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([kernel * factors, bias * factors])
    return network


def spread(network: Any, name: str) -> float:
    """How many times as large the largest range of a channel is as the smallest, among those that are not zero."""
    import keras

    probe = keras.Model(network.inputs[0], network.get_layer(name).output)
    ranges = np.max([np.abs(np.asarray(probe(photo))).max(axis=(0, 1, 2)) for photo in PHOTOS], axis=0)
    return float(ranges.max() / ranges[ranges > 0].min())


def test_maps_stay_the_same_and_the_original_too() -> None:
    from bpnet_cli.export.equalize import equalized

    network = uneven()
    before = [weights.copy() for weights in network.get_weights()]
    result = equalized(network, PHOTOS)
    for name, wanted in network(PHOTOS[0]).items():
        got = np.asarray(result(PHOTOS[0])[name])
        np.testing.assert_allclose(got, np.asarray(wanted), atol=1e-5 * np.abs(wanted).max())
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


@pytest.mark.parametrize(("name", "most"), [("relu", 1 / 20), ("joined", 1 / 5)])
def test_channels_of_a_tensor_get_one_size(name: str, most: float) -> None:
    """A factor is at most 32. Before a convolution that mixes channels, its weights take one half of the spread."""
    from bpnet_cli.export.equalize import equalized

    network = uneven()
    before, after = spread(network, name), spread(equalized(network, PHOTOS), name)
    assert before > 300
    assert after < most * before
