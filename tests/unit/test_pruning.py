"""Which channels hang together, which go, and that what stays computes what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bpnet_cli.errors import BpnetError

pytestmark = pytest.mark.usefixtures("keras_loaded")


def make_network(backbone: str, convolution: str = "separable", stages: int = 2) -> Any:
    from bpnet_cli.models.bodyposenet import build_network
    from bpnet_cli.models.stages import Convolutions, StageShape

    return build_network(
        backbone=backbone,
        stages=stages,
        shared=True,
        feature_channels=32,
        initial_stage=StageShape([3], 32, 32),
        refinement_stage=StageShape([3, 3], 32, 32),
        convolutions=Convolutions(convolution == "separable", True),
        heatmap_channels=19,
        paf_channels=38,
    )


def randomise(network: Any, seed: int = 0) -> None:
    """Let weights and statistics differ from channel to channel."""
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        value = np.asarray(variable)
        factors = rng.uniform(0.2, 1, value.shape[-1])
        variable.assign(np.abs(value) + 0.1 * factors if value.ndim == 1 else value * factors)


def prune(network: Any, threshold: float, **changes: Any) -> tuple[Any, Any, set[int]]:
    from bpnet_cli.models.channels import trace_channels
    from bpnet_cli.pruning.select import channel_weights, channels_to_keep
    from bpnet_cli.pruning.surgery import shrink

    channels = trace_channels(network)
    arguments = {"granularity": 8, "min_channels": 8} | changes
    keep = channels_to_keep(channels, channel_weights(network, channels), threshold, **arguments)
    return shrink(network, channels, keep), channels, keep


def small_graph() -> Any:
    """Two convolutions that an addition ties, a depthwise one behind, and a concatenation."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3), name="image")
    a = layers.Conv2D(4, 3, padding="same", name="a")(image)
    b = layers.Conv2D(4, 1, name="b")(image)
    added = layers.Add(name="added")([a, b])
    deep = layers.BatchNormalization(name="norm")(layers.DepthwiseConv2D(3, padding="same", name="deep")(added))
    c = layers.Conv2D(2, 1, name="c")(image)
    joined = layers.Concatenate(name="joined")([deep, c])
    return keras.Model(image, layers.Conv2D(5, 1, name="head")(joined))


def test_ties_follow_the_graph() -> None:
    from bpnet_cli.models.channels import trace_channels

    channels = trace_channels(small_graph())
    numbers = channels.outputs
    np.testing.assert_array_equal(numbers["a"], numbers["b"])
    np.testing.assert_array_equal(numbers["a"], numbers["norm"])
    np.testing.assert_array_equal(numbers["joined"], [*numbers["a"], *numbers["c"]])
    assert sorted(names for names, _ in channels.groups) == [("a", "b"), ("c",)]
    assert not channels.removable & {*numbers["head"].tolist(), *channels.inputs["a"].tolist()}


def test_channels_that_do_nothing_go_and_change_nothing() -> None:
    network = small_graph()
    randomise(network)
    for name, dead in (("a", [1, 3]), ("b", [1, 3]), ("c", [0])):
        kernel, bias = (np.array(w) for w in network.get_layer(name).get_weights())
        kernel[..., dead], bias[dead] = 0, 0
        network.get_layer(name).set_weights([kernel, bias])
    norm = network.get_layer("norm")
    gamma, beta, mean, variance = (np.array(w) for w in norm.get_weights())
    depthwise = network.get_layer("deep")
    beta[[1, 3]], mean[[1, 3]] = 0, 0
    depthwise.bias.assign(np.zeros(4))
    norm.set_weights([gamma, beta, mean, variance])
    smaller, *_ = prune(network, 1e-6, granularity=1, min_channels=1)
    assert [smaller.get_layer(name).filters for name in ("a", "b", "c", "head")] == [2, 2, 1, 5]
    images = np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(smaller(images), network(images), atol=1e-5)


def test_one_half_of_a_tie_saves_the_other() -> None:
    network = small_graph()
    kernel, bias = (np.array(w) for w in network.get_layer("a").get_weights())
    network.get_layer("a").set_weights([kernel * 0, bias])
    other = np.ones_like(network.get_layer("b").get_weights()[0])
    network.get_layer("b").set_weights([other, np.zeros(4)])
    smaller, *_ = prune(network, 0.5, granularity=1, min_channels=1)
    assert smaller.get_layer("a").filters == smaller.get_layer("b").filters == 4


@pytest.mark.parametrize("backbone", ["tiny", "efficientnet_lite0", "vgg19_strided"])
def test_every_backbone_shrinks_and_runs(backbone: str) -> None:
    from bpnet_cli.models.bodyposenet import count_macs, macs_by_layer
    from bpnet_cli.pruning.surgery import macs_left

    network = make_network(backbone)
    randomise(network)
    smaller, channels, keep = prune(network, 0.75)
    assert smaller.count_params() < 0.9 * network.count_params()
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    assert [tuple(o.shape) for o in smaller(images)] == [tuple(o.shape) for o in network(images)]
    assert macs_left(macs_by_layer(network, 64, 96), channels, keep) == count_macs(smaller, 64, 96)
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in network.layers]
    for layer in smaller.layers:
        whole = network.get_layer(layer.name)
        if layer.name.endswith("_out"):
            assert layer.filters == whole.filters
        elif hasattr(layer, "filters") and layer.filters != whole.filters:
            assert layer.filters % 8 == 0


def test_batch_norm_counts_in_a_channels_weight() -> None:
    from bpnet_cli.models.channels import trace_channels
    from bpnet_cli.pruning.select import channel_weights

    network = make_network("tiny")
    norm = network.get_layer("channel_reduction_conv_bn")
    gamma, *rest = norm.get_weights()
    gamma[5] = 0
    norm.set_weights([gamma, *rest])
    channels = trace_channels(network)
    number = channels.outputs["channel_reduction_conv"][5]
    assert channel_weights(network, channels)[number] == 0


def test_every_layer_keeps_its_share() -> None:
    network = make_network("tiny")
    randomise(network)
    for share, granularity in ((0.25, 1), (0.5, 8), (0.3, 8), (1.0, 8)):
        smaller, channels, _ = prune(network, 1.0, granularity=granularity, min_channels=1, min_share=share)
        for names, numbers in channels.groups:
            least = -(-int(np.ceil(share * len(numbers))) // granularity) * granularity
            assert smaller.get_layer(names[0]).filters == min(least, len(numbers))


def test_granularity_minimum_and_exclusions_are_honoured() -> None:
    network = make_network("tiny")
    randomise(network)
    for granularity, minimum in ((1, 3), (4, 4), (8, 16), (32, 1)):
        smaller, channels, _ = prune(network, 0.95, granularity=granularity, min_channels=minimum)
        for names, numbers in channels.groups:
            filters = smaller.get_layer(names[0]).filters
            assert filters == len(numbers) or (filters >= minimum and filters % granularity == 0) or filters == minimum
    untouched, *_ = prune(network, 1.0, excluded_layers=["conv*"])
    filters = {layer.name: layer.filters for layer in untouched.layers if layer.name in ("conv3", "stage1_conv1")}
    assert filters == {"conv3": network.get_layer("conv3").filters, "stage1_conv1": 8}


def test_the_search_meets_its_target_and_says_what_it_cannot() -> None:
    from bpnet_cli.pruning.select import find_threshold

    def steps(threshold: float) -> int:
        return 100 - 10 * int(10 * threshold)

    assert steps(find_threshold(steps, 55)) == 50
    assert find_threshold(steps, 100) == pytest.approx(0, abs=1e-5)
    with pytest.raises(BpnetError, match="can't be reached"):
        find_threshold(lambda _: 100, 55)


def test_a_layer_of_another_kind_is_named() -> None:
    import keras
    from keras import layers

    from bpnet_cli.models.channels import trace_channels

    image = keras.Input((16, 16, 3))
    with pytest.raises(BpnetError, match="layer odd has the unsupported kind SeparableConv2D"):
        trace_channels(keras.Model(image, layers.SeparableConv2D(4, 3, name="odd")(image)))
