"""Pretrained weights: what they fill, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.errors import ModelFileError
from tests.unit.specs import make_spec

pytestmark = pytest.mark.usefixtures("keras_loaded")


class TestPretrained:
    @pytest.mark.parametrize(
        ("backbone", "application", "bgr", "layers", "last", "fresh"),
        [
            ("vgg19", "VGG19", True, 10, "block4_conv2", "conv4_3_cpm"),
            ("mobilenet_v2", "MobileNetV2", False, 78, "block_12_project", "fuse_stride8_conv"),
            ("mobilenet_v3_large", "MobileNetV3Large", False, 82, "expanded_conv_11_project", "fuse_stride16_conv"),
            ("resnet50", "ResNet50", True, 86, "conv4_block6_3_conv", "fuse_stride8_conv"),
        ],
    )
    def test_imagenet_fills_the_trunk_and_turns_bgr_to_rgb(
        self,
        monkeypatch: pytest.MonkeyPatch,
        backbone: str,
        application: str,
        bgr: bool,
        layers: int,
        last: str,
        fresh: str,
    ) -> None:
        """The download is stood in for by the same application with random weights."""
        import keras

        from bpnet_cli.models.weights import load_pretrained

        source = getattr(keras.applications, application)(weights=None, include_top=False, input_shape=(224, 224, 3))
        first = next(layer for layer in source.layers if layer.weights)
        kernel = first.get_weights()[0].copy()
        network = network_of(make_spec(backbone), BODY_18)
        before = network.get_layer(fresh).get_weights()[0]
        monkeypatch.setattr(keras.applications, application, lambda **_: source)
        filled = load_pretrained(network, backbone, "imagenet", BODY_18)
        assert len(filled) == layers
        assert fresh not in filled
        wanted = kernel[:, :, ::-1] if bgr else kernel
        np.testing.assert_array_equal(network.get_layer(first.name).get_weights()[0], wanted)
        for weights, others in zip(
            network.get_layer(last).get_weights(), source.get_layer(last).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weights, others)
        np.testing.assert_array_equal(network.get_layer(fresh).get_weights()[0], before)

    def test_imagenet_is_refused_where_keras_has_none(self) -> None:
        from bpnet_cli.models.weights import load_pretrained

        with pytest.raises(ModelFileError, match="no ImageNet weights for tiny"):
            load_pretrained(network_of(make_spec(), BODY_18), "tiny", "imagenet", BODY_18)

    def test_a_failed_download_is_one_clear_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import keras

        from bpnet_cli.models.weights import load_pretrained

        def fail(**_: object) -> None:
            raise Exception("URL fetch failure")

        monkeypatch.setattr(keras.applications, "VGG19", fail)
        with pytest.raises(ModelFileError, match="the download failed .URL fetch failure"):
            load_pretrained(network_of(make_spec("vgg19"), BODY_18), "vgg19", "imagenet", BODY_18)

    def test_arrays_fill_layers_by_name(self, tmp_path: Path) -> None:
        from bpnet_cli.models.weights import load_pretrained

        network = network_of(make_spec("efficientnet_lite0"), BODY_18)
        kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 32)).astype(np.float16)
        depthwise = np.ones((3, 3, 32, 1), np.float32)
        arrays = {"stem/conv/kernel": kernel, "block_00/depthwise/depthwise_kernel": depthwise, "fc/bias": np.zeros(9)}
        np.savez(tmp_path / "w.npz", **arrays)
        assert load_pretrained(network, "efficientnet_lite0", str(tmp_path / "w.npz"), BODY_18) == [
            "block_00_depthwise",
            "stem_conv",
        ]
        np.testing.assert_array_equal(network.get_layer("stem_conv").get_weights()[0], kernel.astype(np.float32))

    def test_a_shape_that_differs_is_refused(self, tmp_path: Path) -> None:
        from bpnet_cli.models.weights import load_pretrained

        np.savez(tmp_path / "w.npz", **{"stem/conv/kernel": np.zeros((3, 3, 3, 16))})
        network = network_of(make_spec("efficientnet_lite0"), BODY_18)
        with pytest.raises(ModelFileError, match=r"stem/conv/kernel: has shape \(3, 3, 3, 16\), but the layer needs"):
            load_pretrained(network, "efficientnet_lite0", str(tmp_path / "w.npz"), BODY_18)

    def test_a_model_file_is_a_source(self, tmp_path: Path) -> None:
        from bpnet_cli.models.model_file import save_network
        from bpnet_cli.models.weights import load_pretrained

        spec = make_spec()
        source, target = network_of(spec, BODY_18), network_of(make_spec(), BODY_18)
        save_network(source, metadata_of(spec, BODY_18), tmp_path / "m.keras")
        filled = load_pretrained(target, "tiny", str(tmp_path / "m.keras"), BODY_18)
        assert "conv1" in filled
        assert "stage2_conv1" in filled
        np.testing.assert_array_equal(
            target.get_layer("conv1").get_weights()[0], source.get_layer("conv1").get_weights()[0]
        )

    def test_missing_files(self, tmp_path: Path) -> None:
        from bpnet_cli.models.weights import load_pretrained

        network = network_of(make_spec(), BODY_18)
        with pytest.raises(ModelFileError, match="no such weights file"):
            load_pretrained(network, "tiny", str(tmp_path / "none.npz"), BODY_18)
        (tmp_path / "bad.npz").write_bytes(b"x")
        with pytest.raises(ModelFileError, match="not a .npz"):
            load_pretrained(network, "tiny", str(tmp_path / "bad.npz"), BODY_18)

    def test_the_imagenet_trunk_fills_every_layer(self, shared_data: Path) -> None:
        from bpnet_cli.models.weights import load_pretrained

        network = network_of(make_spec("efficientnet_lite0"), BODY_18)
        path = shared_data / "backbones" / "efficientnet_lite0_imagenet.npz"
        filled = set(load_pretrained(network, "efficientnet_lite0", str(path), BODY_18))
        trunk = {layer.name for layer in network.layers if layer.weights and layer.name.startswith(("stem", "block_"))}
        assert filled == trunk
