"""The grammar of layer names: built and read alike, and no backbone's."""

from __future__ import annotations

import pytest

from bpnet_cli.models import names
from bpnet_cli.models.names import HEATMAPS, PAFS, Place, parse
from bpnet_cli.strides import INPUT_MULTIPLES
from tests.unit.test_house import loaded_after


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (names.FEATURES, Place(0)),
        (names.FEATURES + names.DEPTHWISE + names.NORM, Place(0, part="_depthwise_bn")),
        (names.concatenation(2), Place(2)),
        (names.convolution(1, None, 3), Place(1, None, 3)),
        (names.convolution(12, PAFS, 1) + names.DEPTHWISE, Place(12, PAFS, 1, "_depthwise")),
        (names.convolution(2, HEATMAPS, 10) + names.ACTIVATION, Place(2, HEATMAPS, 10, "_relu")),
        (names.output(1, HEATMAPS, last=False), Place(1, HEATMAPS, makes_maps=True)),
        (names.output(3, PAFS, last=True), Place(None, PAFS, makes_maps=True)),
        (names.output(1, HEATMAPS, last=True), Place(None, HEATMAPS, makes_maps=True)),
    ],
)
def test_what_is_built_is_read(name: str, place: Place) -> None:
    assert parse(name) == place


def test_the_contract_with_files_that_are_there() -> None:
    assert names.FEATURES == "channel_reduction_conv"
    assert names.convolution(2, PAFS, 6) + names.NORM == "stage2_paf_conv6_bn"
    assert [names.output(2, branch, last=False) for branch in (HEATMAPS, PAFS)] == ["stage2_heat_out", "stage2_paf_out"]
    assert [names.output(2, branch, last=True) for branch in (HEATMAPS, PAFS)] == ["heatmap_out", "paf_out"]


@pytest.mark.parametrize(
    "name", ["block_1a_conv_1", "image", "stage2", "stage2_out", "stage0_conv1", "stage1_heat_concat", "conv3_out", ""]
)
def test_other_names_tell_nothing(name: str) -> None:
    assert parse(name) is None


def test_refinement_is_known_by_its_name() -> None:
    found = [parse(name) for name in ("channel_reduction_conv", "stage1_conv1", "stage2_conv1", "paf_out")]
    assert [place is not None and place.refines for place in found] == [False, False, True, True]


@pytest.mark.parametrize("backbone", INPUT_MULTIPLES)
def test_no_backbone_has_names_of_the_grammar(backbone: str, keras_loaded: None) -> None:
    """And what is no backbone's has: so the one can be told from the other."""
    import keras

    from bpnet_cli.build import network_of
    from bpnet_cli.models.backbones import BACKBONES
    from bpnet_cli.models.bodyposenet import backbone_layers
    from bpnet_cli.pose.skeleton import BODY_18
    from tests.unit.specs import make_spec

    photo = keras.Input((64, 64, 3), name="image")
    features = BACKBONES[backbone].build(keras.layers.Rescaling(1.0, name="normalization")(photo))
    own = {layer.name for layer in keras.Model(photo, features).layers}
    assert not [name for name in own if parse(name)]
    network = network_of(make_spec(backbone), BODY_18)
    behind = {layer.name for layer in network.layers} - own
    assert behind
    assert [name for name in behind if not parse(name)] == []
    assert backbone_layers(network) == own


def test_names_need_no_keras() -> None:
    assert not loaded_after("import bpnet_cli.models.names") & {"keras", "tensorflow", "numpy"}
