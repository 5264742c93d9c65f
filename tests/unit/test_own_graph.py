"""A graph from a file, with the maps of another skeleton."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

keras = pytest.importorskip("keras")

from bpnet_cli.errors import ModelFileError  # noqa: E402
from bpnet_cli.importing.keras_graph import KerasGraph  # noqa: E402
from bpnet_cli.importing.maps import find_maps  # noqa: E402
from bpnet_cli.importing.onnx_file import read_onnx  # noqa: E402
from bpnet_cli.models.bodyposenet import backbone_layers  # noqa: E402
from bpnet_cli.models.own_graph import with_maps_of  # noqa: E402
from bpnet_cli.pose.skeleton import BODY_18, Skeleton  # noqa: E402
from tests.unit.pytorch_style import pose_network  # noqa: E402

PHOTO = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
VALUES = BODY_18.to_dict()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("own") / "net.onnx"
    onnx.save(pose_network(), str(path))
    graph = read_onnx(path)
    maps = find_maps(graph, BODY_18)
    return KerasGraph(graph.needed(maps.tensors), maps.layer_names).build(maps.tensors)


def maps_of(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(maps) for maps in model(PHOTO)]


def test_names_in_another_order_give_the_same_maps_in_that_order(network) -> None:
    """Also where the second stage reads them, and with a limb that runs the other way."""
    turned = [VALUES["limbs"][3][::-1], *VALUES["limbs"][:3], *VALUES["limbs"][4:]]
    ours = Skeleton.from_dict(VALUES | {"keypoints": VALUES["keypoints"][::-1], "limbs": turned})
    model, new = with_maps_of(network, BODY_18, ours)
    whole = [name for name, channels in new.items() if not (channels.read.any() or channels.made.any())]
    assert set(whole) == {layer.name for layer in network.layers if layer.weights}
    before, after = maps_of(network), maps_of(model)
    for stage in (0, 1):
        heat, paf = before[stage], before[2 + stage]
        assert np.allclose(after[stage][..., :18], heat[..., :18][..., ::-1], atol=1e-5)
        assert np.allclose(after[2 + stage][..., :2], -paf[..., 6:8], atol=1e-5)
        assert np.allclose(after[2 + stage][..., 2:8], paf[..., :6], atol=1e-5)


def test_what_is_new_starts_afresh(network) -> None:
    ours = Skeleton.from_dict(
        {
            "name": "tail",
            "keypoints": ["nose", "neck", "tail"],
            "limbs": [["nose", "neck"], ["neck", "tail"]],
            "flip_pairs": [],
            "sigmas": [0.1] * 3,
            "midpoints": {},
        }
    )
    model, new = with_maps_of(network, BODY_18, ours)
    whole = [name for name, channels in new.items() if not (channels.read.any() or channels.made.any())]
    before, after = maps_of(network), maps_of(model)
    assert [maps.shape[3] for maps in after] == [4, 4, 4, 4]
    assert np.allclose(after[0][..., [0, 1, 3]], before[0][..., [0, 1, 18]], atol=1e-5)
    assert np.allclose(after[2][..., :2], -before[2][..., 28:30], atol=1e-5)
    fresh = {layer.name for layer in model.layers if layer.weights} - set(whole)
    assert {"stage1_heat_out", "heatmap_out", "stage1_paf_out", "paf_out"} <= fresh
    assert "n0_Conv" in whole


def test_a_skeleton_without_limbs_is_refused(network) -> None:
    with pytest.raises(ModelFileError, match="skeleton pen has no limbs"):
        with_maps_of(network, BODY_18, Skeleton("pen", ("tip",), (), (), (0.05,)))


def test_the_backbone_is_what_all_maps_depend_on(network) -> None:
    names = backbone_layers(network)
    assert "n0_Conv" in names
    assert not {"stage1_heat_out", "heatmap_out", "paf_out"} & names
