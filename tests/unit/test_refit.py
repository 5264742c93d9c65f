"""Channels chosen by their effect, and refitted layers behind those that were removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from bpnet_cli.errors import BpnetError  # noqa: E402
from bpnet_cli.models.bodyposenet import macs_by_layer  # noqa: E402
from bpnet_cli.models.channels import trace_channels  # noqa: E402
from bpnet_cli.models.walk import patches  # noqa: E402
from bpnet_cli.pruning.effect import changes_of_maps, channel_effects  # noqa: E402
from bpnet_cli.pruning.refit import refit  # noqa: E402
from bpnet_cli.pruning.surgery import shrink  # noqa: E402

PHOTOS = [np.random.default_rng(i).integers(0, 256, (1, 32, 24 + 8 * i, 3), dtype=np.uint8) for i in range(4)]


def network(activation: str = "relu"):
    """A trunk of six channels, of which 4 repeats 1 and 5 is constant, behind a residual sum and a dilated layer."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255, name="normalization")(image)
    x = keras.layers.Conv2D(6, 3, padding="same", bias_initializer="random_normal", name="first")(x)
    x = keras.layers.Activation(activation, name="act")(x)
    y = keras.layers.ZeroPadding2D(1, name="pad")(x)
    y = keras.layers.DepthwiseConv2D(3, name="depthwise")(y)
    y = keras.layers.ELU(name="elu")(y)
    x = keras.layers.Conv2D(5, 3, dilation_rate=2, padding="same", name="second")(y)
    model = keras.Model(
        image, [keras.layers.Conv2D(2, 1, name="heatmap_out")(x), keras.layers.Conv2D(2, 1, name="paf_out")(x)]
    )
    kernel, bias = model.get_layer("first").get_weights()
    kernel[..., 4], bias[4] = kernel[..., 1], bias[1]
    kernel[..., 5], bias[5] = 0, 1
    model.get_layer("first").set_weights([kernel, bias])
    depthwise, offset = model.get_layer("depthwise").get_weights()
    depthwise[:, :, 4] = depthwise[:, :, 1]
    centre = np.array([0, 1, 0])  # alone, so that padding adds nothing
    depthwise[:, :, 5] = (centre[:, None] * centre)[..., None]
    model.get_layer("depthwise").set_weights([depthwise, offset])
    return model


def outputs(model, photo):
    return np.concatenate([keras.ops.convert_to_numpy(maps).ravel() for maps in model(photo)])


def without(model, gone: set[int]):
    channels = trace_channels(model)
    numbers = channels.outputs["first"]
    keep = channels.removable - {int(numbers[place]) for place in gone}
    return channels, keep, shrink(model, channels, keep)


def test_a_channel_that_others_can_stand_for_is_not_missed() -> None:
    model = network()
    channels, keep, small = without(model, {4})
    before = max(np.abs(outputs(model, p) - outputs(small, p)).max() for p in PHOTOS)
    assert refit(model, small, channels, keep, PHOTOS) == ["second"]
    after = max(np.abs(outputs(model, p) - outputs(small, p)).max() for p in PHOTOS)
    assert before > 0.05
    assert after < 0.02 * before


def test_a_constant_channel_matters_least() -> None:
    model = network()
    channels = trace_channels(model)
    ranks = channel_effects(model, channels, PHOTOS, macs_by_layer(model, 32, 32))
    first = [ranks[number] for number in channels.outputs["first"].tolist()]
    assert first.index(min(first)) == 5
    assert min(ranks.values()) > 0
    assert max(ranks.values()) == 1


def linear_network():
    """Two stages; `a` and `b` are tied by a sum, which a depthwise layer reads. Without activations."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255, name="normalization")(image)
    a = keras.layers.Conv2D(4, 3, padding="same", name="a")(x)
    b = keras.layers.Conv2D(4, 1, name="b")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(keras.layers.Add(name="sum")([a, b]))
    heat1, paf1 = (keras.layers.Conv2D(2, 1, name=f"{kind}1")(y) for kind in ("heat", "paf"))
    z = keras.layers.Conv2D(3, 3, padding="same", name="c")(keras.layers.Concatenate(name="joined")([y, heat1, paf1]))
    heat2, paf2 = (keras.layers.Conv2D(2, 1, name=f"{kind}2")(z) for kind in ("heat", "paf"))
    return keras.Model(image, [heat1, heat2, paf1, paf2])


def with_means(model, names: tuple[str, ...], channel: int):
    """A copy in which this channel of these convolutions is its mean over all photos, everywhere."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for name in names:
        part = keras.Model(model.inputs[0], model.get_layer(name).output)
        mean = np.mean([keras.ops.convert_to_numpy(part(photo))[..., channel].mean() for photo in PHOTOS])
        kernel, bias = copy.get_layer(name).get_weights()
        kernel[..., channel], bias[channel] = 0, mean
        copy.get_layer(name).set_weights([kernel, bias])
    return copy


def test_the_effect_is_the_change_of_the_maps_when_a_channel_becomes_constant() -> None:
    """In a network without activations the first order is exact; only the random signs are left."""
    model = linear_network()
    channels = trace_channels(model)
    found = changes_of_maps(model, channels, PHOTOS, draws=200)
    assert len(found) == 7
    for names, channel in [(("a", "b"), i) for i in range(4)] + [(("c",), i) for i in range(3)]:
        other, exact = with_means(model, names, channel), 0.0
        for photo in PHOTOS:
            for place, (before, after) in enumerate(zip(model(photo), other(photo), strict=True)):
                change = np.square(keras.ops.convert_to_numpy(before - after)).sum()
                exact += change * (0.01 if place in (0, 2) else 1.0)
        number = int(channels.outputs[names[0]][channel])
        assert found[number] == pytest.approx(exact, rel=0.25), (names, channel)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_backend_finds_the_same_effects(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    model = network()
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "photos.npz", *PHOTOS)
    code = f"""
import json, keras, numpy as np
from bpnet_cli.models.channels import trace_channels
from bpnet_cli.pruning.effect import changes_of_maps
model = keras.saving.load_model({str(tmp_path / "m.keras")!r})
photos = [*np.load({str(tmp_path / "photos.npz")!r}).values()]
print(json.dumps([*changes_of_maps(model, trace_channels(model), photos).items()]))
"""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300, check=True
    )
    found = dict(json.loads(result.stdout))
    expected = changes_of_maps(model, trace_channels(model), PHOTOS)
    assert found.keys() == expected.keys()
    for number, value in expected.items():
        assert found[number] == pytest.approx(value, rel=1e-3, abs=1e-6)


def test_an_activation_that_mixes_channels_is_refused() -> None:
    with pytest.raises(BpnetError, match=r"layer act \(softmax\) mixes channels"):
        trace_channels(network("softmax"))


@pytest.mark.parametrize(
    ("strides", "dilation", "padding", "kernel"),
    [
        (1, 1, "same", 3),
        (2, 1, "same", 3),
        (2, 1, "same", 4),
        (1, 3, "same", 3),
        (1, 2, "valid", 3),
        (3, 1, "valid", 2),
    ],
)
def test_patches_times_the_kernel_are_the_convolution(strides: int, dilation: int, padding: str, kernel: int) -> None:
    layer = keras.layers.Conv2D(4, kernel, strides, padding, dilation_rate=dilation)
    x = np.random.default_rng(0).normal(size=(1, 13, 10, 3)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(layer(x))
    grid = expected.shape[1:3]
    (rows,) = patches(layer, [x], [np.arange(grid[0] * grid[1])], [grid])
    weights, bias = layer.get_weights()
    assert np.allclose(rows @ weights.reshape(-1, 4) + bias, expected.reshape(-1, 4), atol=1e-5)
