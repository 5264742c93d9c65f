from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.errors import ModelFileError
from bpnet_cli.models.backbones import BACKBONES
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import load_spec_text
from bpnet_cli.strides import INPUT_MULTIPLES
from tests.unit.specs import make_spec

pytestmark = pytest.mark.usefixtures("keras_loaded")
BACKBONE_NAMES = [
    "vgg19_strided",
    "vgg19",
    "efficientnet_lite0",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet50",
    "tiny",
]


@pytest.mark.parametrize(
    ("stages", "branches", "parameters", "convolutions"),
    [(3, "shared", 16_777_835, 37), (6, "shared", 30_015_638, 64), (3, "separate", 25_965_035, 50)],
)
def test_bodyposenet_has_nvidias_size(stages: int, branches: str, parameters: int, convolutions: int) -> None:
    spec = load_spec_text(f"model: {{stages: {stages}, branches: {branches}}}", "test")
    network = network_of(spec, BODY_18)
    assert network.count_params() == parameters
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("Conv2D") == convolutions
    assert kinds.count("Concatenate") == stages - 1
    assert not any("Pool" in kind for kind in kinds)


@pytest.mark.parametrize(("size", "gmacs"), [((256, 256), 29.39), ((288, 384), 49.60), ((368, 656), 108.3)])
def test_bodyposenet_costs_what_nvidias_does(size: tuple[int, int], gmacs: float) -> None:
    from bpnet_cli.models.bodyposenet import count_macs

    network = network_of(ExperimentSpec(), BODY_18)
    assert count_macs(network, *size) / 1e9 == pytest.approx(gmacs, abs=0.05)


@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
class TestEveryBackbone:
    def test_maps_have_stride_8_at_any_size(self, backbone: str) -> None:
        spec = make_spec(backbone)
        network = network_of(spec, BODY_18)
        multiple = metadata_of(spec, BODY_18).input_multiple
        for height, width in ((4 * multiple, 6 * multiple), (5 * multiple, 3 * multiple)):
            outputs = network(np.zeros((1, height, width, 3), np.uint8))
            assert [tuple(o.shape) for o in outputs] == [
                (1, height // 8, width // 8, channels) for channels in (19, 19, 38, 38)
            ]

    def test_one_column_of_light_is_seen_by_the_cells_around_it(self, backbone: str) -> None:
        """The change in the maps is centred on the cell whose pixels changed.

        Strided "same" convolutions look up to half a cell to the right, and weights are random: hence the tolerance.
        """
        import keras

        keras.utils.set_random_seed(0)
        network = network_of(make_spec(backbone), BODY_18)
        dark = np.full((1, 256, 512, 3), 127, np.uint8)
        lit = dark.copy()
        lit[:, :, 8 * 32 : 8 * 33] = 255
        change = sum(
            np.abs(np.asarray(a) - np.asarray(b)).sum((0, 1, 3))
            for a, b in zip(network(lit), network(dark), strict=True)
        )
        centre = (change * np.arange(64)).sum() / change.sum()
        assert centre == pytest.approx(32, abs=1.5)

    def test_saves_and_loads_as_a_plain_keras_file(self, backbone: str, tmp_path: Path) -> None:
        import keras

        from bpnet_cli.models.model_file import load_network, save_network

        spec = make_spec(backbone)
        network = network_of(spec, BODY_18)
        save_network(network, metadata_of(spec, BODY_18), tmp_path / "m.keras")
        photo = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
        loaded, metadata = load_network(tmp_path / "m.keras")
        plain = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
        for other in (loaded, plain):
            for a, b in zip(network(photo), other(photo), strict=True):
                np.testing.assert_array_equal(a, b)
        assert metadata.skeleton == BODY_18
        assert ExperimentSpec.model_validate_json(_json(metadata.spec)) == spec

    def test_mixed_precision_answers_in_float32(self, backbone: str) -> None:
        import keras

        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            network = network_of(make_spec(backbone), BODY_18)
        finally:
            keras.config.set_dtype_policy("float32")
        assert {str(output.dtype) for output in network.outputs} == {"float32"}
        outputs = network(np.zeros((1, 64, 64, 3), np.uint8))
        assert all(np.isfinite(np.asarray(output)).all() for output in outputs)

    def test_gradients_reach_the_first_layer(self, backbone: str) -> None:
        import tensorflow as tf

        network = network_of(make_spec(backbone), BODY_18)
        photo = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in network(photo, training=True)])
        first = network.trainable_variables[0]
        assert first.shape[:3] in {(3, 3, 3), (7, 7, 3)}
        assert np.abs(np.asarray(tape.gradient(loss, first.value))).max() > 0

    def test_names_are_unique_and_the_same_each_time(self, backbone: str) -> None:
        first, second = (network_of(make_spec(backbone), BODY_18) for _ in range(2))
        paths = [variable.path for variable in first.variables]
        assert len(set(paths)) == len(paths)
        assert paths == [variable.path for variable in second.variables]
        assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
        assert all(layer.output is not None for layer in first.layers)  # Keras raises where a layer is used twice


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large", "resnet50"])
def test_backbones_export_to_onnx(backbone: str, tmp_path: Path) -> None:
    """At a size that tracing did not see; the maps are Keras', in both layouts."""
    import onnxruntime

    from bpnet_cli.export.onnx import check_against_keras, to_onnx
    from bpnet_cli.export.tao import to_tao_layout
    from bpnet_cli.inference.backends import load_backend
    from bpnet_cli.models.bodyposenet import inference_network

    spec = make_spec(backbone)
    network = network_of(spec, BODY_18)
    metadata = metadata_of(spec, BODY_18)
    model = to_onnx(network, metadata, opset=17)
    assert "Tile" not in {node.op_type for node in model.graph.node}  # OpenCV computes wrong maps from it, silently
    assert "auto_pad" not in {attribute.name for node in model.graph.node for attribute in node.attribute}
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "tao.onnx").write_bytes(to_tao_layout(model, 4).SerializeToString())
    check_against_keras(network, metadata, load_backend(tmp_path / "tao.onnx"), "ONNX Runtime", 17)
    photo = np.random.default_rng(1).integers(0, 256, (1, 96, 160, 3), dtype=np.uint8)
    answers = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(["heatmaps", "pafs"], {"image": photo})
    expected = inference_network(network)(photo)
    for name, answer in zip(("heatmaps", "pafs"), answers, strict=True):
        np.testing.assert_allclose(answer, expected[name], atol=1e-4)


def _json(values: Any) -> str:
    import json

    return json.dumps(values)


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"branches": "separate"}, {"stage1_heat_conv1", "stage1_paf_conv1", "stage2_heat_conv2", "stage2_paf_conv1"}),
        ({"branches": "shared"}, {"stage1_conv1", "stage2_conv1", "stage1_heat_out", "heatmap_out", "paf_out"}),
        ({"convolution": "separable"}, {"stage1_conv1_depthwise", "channel_reduction_conv_depthwise"}),
        ({"batch_norm": "true"}, {"stage1_conv1_bn", "channel_reduction_conv_bn"}),
    ],
)
def test_options_show_in_layer_names(keys: dict, names: set[str]) -> None:
    network = network_of(make_spec(**keys), BODY_18)
    assert names <= {layer.name for layer in network.layers}


def test_initializer_is_obeyed() -> None:
    for name, low, high in (("random_normal", 0.005, 0.015), ("he_normal", 0.05, 0.5)):
        network = network_of(make_spec(initializer=name), BODY_18)
        assert low < np.std(network.get_layer("stage1_conv1").get_weights()[0]) < high


def test_every_backbone_is_in_the_table_of_input_sizes() -> None:
    assert BACKBONES.keys() == INPUT_MULTIPLES.keys()


def test_normalisation_is_inside() -> None:
    network = network_of(ExperimentSpec(), BODY_18)
    layer = network.get_layer("normalization")
    photo = np.array([[[[0, 128, 255]]]], np.uint8)
    np.testing.assert_allclose(layer(photo), [[[[-0.5, 0.0, 0.49609375]]]])


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with pytest.raises(ModelFileError, match="no such model file"):
        read_keras_metadata(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="not a .keras archive"):
        read_keras_metadata(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelFileError, match="bpnet did not write this file"):
        read_keras_metadata(path)
    with pytest.raises(ModelFileError, match="metadata in this file can't be read"):
        ModelMetadata.from_json("{}", path)
    text = metadata_of(make_spec(), BODY_18).to_json()
    with pytest.raises(ModelFileError, match="a newer version of bpnet wrote this file"):
        ModelMetadata.from_json(text.replace('"format": 1', '"format": 2'), path)


def test_files_of_the_first_version_say_only_whether_they_are_pruned() -> None:
    metadata = metadata_of(ExperimentSpec(name="old"), BODY_18)
    values = json.loads(metadata.to_json())
    del values["graph"]
    for pruned, graph in ((True, "pruned"), (False, "spec")):
        old = ModelMetadata.from_json(json.dumps(values | {"pruned": pruned}), "old.keras")
        assert (old.graph, old.has_own_graph) == (graph, pruned)
    with pytest.raises(ModelFileError, match="the bpnet metadata in this file can't be read"):
        ModelMetadata.from_json(json.dumps(values | {"graph": "drawn"}), "new.keras")
