"""Weights from a network of another skeleton: the same keypoints and limbs make the same maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.errors import SpecError
from bpnet_cli.models.transfer import heatmap_channels, paf_channels, with_names
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec

pytestmark = pytest.mark.usefixtures("keras_loaded")


def skeleton(name: str, keypoints: str, limbs: str) -> Skeleton:
    """Keypoints are letters, limbs pairs of them."""
    pairs = tuple((limb[0], limb[1]) for limb in limbs.split())
    return Skeleton(name, tuple(keypoints), pairs, (), tuple(0.1 for _ in keypoints), ())


ABCD = skeleton("abcd", "abcd", "ab bc cd")
# The same maps in another order, and two limbs turned around.
TURNED = skeleton("turned", "dbca", "dc ab cb")
# c is unknown to ABCD's network as "x", and so is the limb to it.
OTHER = skeleton("other", "xba", "ba bx")


def make(skeleton: Skeleton, seed: int, **model: object) -> tuple[Any, Any]:
    import keras

    keras.utils.set_random_seed(seed)
    stage = {"kernel_sizes": [3], "channels": 8, "head_channels": 8}
    values = {"backbone": "tiny", "stages": 3, "feature_channels": 8, "initial_stage": stage, "refinement_stage": stage}
    spec = ExperimentSpec.model_validate_json(json.dumps({"model": values | model}))
    network = network_of(spec, skeleton)
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        if "variance" not in variable.name:
            variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return network, metadata_of(spec, skeleton)


def maps(network: Any) -> list[np.ndarray]:
    photo = np.random.default_rng(5).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    return [np.asarray(array) for array in network(photo, training=False)]


def carried(tmp_path: Path, skeleton: Skeleton, **model: object) -> tuple[Any, Any, list[str]]:
    """A network of ABCD, one of another skeleton with its weights, and the layers that it filled whole."""
    from bpnet_cli.models.model_file import save_network
    from bpnet_cli.models.weights import load_pretrained

    source, metadata = make(ABCD, 1, **model)
    save_network(source, metadata, tmp_path / "abcd.keras")
    network, _ = make(skeleton, 2, **model)
    return source, network, load_pretrained(network, "tiny", str(tmp_path / "abcd.keras"), skeleton)


@pytest.mark.parametrize("convolution", ["separable", "plain"])
@pytest.mark.parametrize("branches", ["shared", "separate"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_maps_in_another_order(convolution: str, branches: str, batch_norm: bool, tmp_path: Path) -> None:
    model = {"convolution": convolution, "branches": branches, "batch_norm": batch_norm}
    source, network, filled = carried(tmp_path, TURNED, **model)
    assert filled == [layer.name for layer in network.layers if layer.weights]
    for before, after in zip(maps(source), maps(network), strict=True):
        if before.shape[-1] == 5:
            wanted = before[..., [3, 1, 2, 0, 4]]
        else:
            ab, bc, cd = (before[..., 2 * i : 2 * i + 2] for i in range(3))
            wanted = np.concatenate([-cd, ab, -bc], axis=-1)
        assert np.ptp(wanted) > 0.01
        np.testing.assert_allclose(after, wanted, atol=1e-5)


@pytest.mark.parametrize("convolution", ["separable", "plain"])
def test_what_the_other_network_lacks_starts_afresh(
    convolution: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, network, filled = carried(tmp_path, OTHER, convolution=convolution)
    message = "has the skeleton abcd: matched by name, it has 2 of the 3 keypoints and 1 of the 2 limbs of other"
    assert message in capsys.readouterr().err
    in_part = {layer.name for layer in network.layers if layer.weights} - set(filled)
    first = {f"stage{i}_conv1{'_depthwise' if convolution == 'separable' else ''}" for i in (2, 3)}
    assert {name for name in in_part if not name.endswith("_out")} >= first
    assert "stage1_conv1" in filled
    before, after = maps(source), maps(network)
    # Stage 1 reads no maps: what is known is exactly as it was.
    np.testing.assert_allclose(after[0][..., 1:], before[0][..., [1, 0, 4]], atol=1e-6)
    np.testing.assert_allclose(after[3][..., :2], -before[3][..., :2], atol=1e-6)
    fresh, _ = make(OTHER, 2, convolution=convolution)
    kernel, as_it_was = (n.get_layer("stage1_heat_out").get_weights()[0] for n in (network, fresh))
    np.testing.assert_array_equal(kernel[..., 0], as_it_was[..., 0])


def test_as_many_maps_of_other_keypoints_are_not_taken_for_them(tmp_path: Path) -> None:
    """Shapes alone would fit."""
    with_others = skeleton("others", "wxyz", "wx xy yz")
    _, network, filled = carried(tmp_path, with_others)
    fresh, _ = make(with_others, 2)
    assert not any(name.endswith("_out") for name in filled)
    for name in ("heatmap_out", "paf_out"):
        kernel, as_it_was = (n.get_layer(name).get_weights()[0] for n in (network, fresh))
        keypoints = slice(0, 4 if name == "heatmap_out" else 6)  # the background is known
        np.testing.assert_array_equal(kernel[..., keypoints], as_it_was[..., keypoints])


def test_layers_of_another_width_stay_as_they_are(tmp_path: Path) -> None:
    from bpnet_cli.models.transfer import Transfer

    source, _ = make(ABCD, 1)
    wide, _ = make(TURNED, 2, feature_channels=12)
    transfer = Transfer({layer.name: layer.get_weights() for layer in source.layers if layer.weights}, ABCD, TURNED)
    assert transfer.weights("stage2_conv1", wide.get_layer("stage2_conv1").get_weights()) is None
    assert transfer.weights("nowhere", [np.zeros(3)]) is None


def test_keypoints_under_other_names(tmp_path: Path) -> None:
    from bpnet_cli.models.model_file import save_network
    from bpnet_cli.models.weights import load_pretrained

    network, metadata = make(ABCD, 1)
    save_network(network, metadata, tmp_path / "abcd.keras")
    before = maps(network)
    ours = skeleton("ours", "wxyz", "wx xy yz")
    network, _ = make(ours, 2)
    path, names = str(tmp_path / "abcd.keras"), {"w": "a", "x": "b", "y": "c", "z": "d"}
    filled = load_pretrained(network, "tiny", path, ours, names)
    assert filled == [layer.name for layer in network.layers if layer.weights]
    for one, other in zip(before, maps(network), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_name_that_means_another_keypoint() -> None:
    # w and x are a and b; d is theirs too, but under c, a name of theirs that means another keypoint here.
    ours = skeleton("ours", "wxc", "wx xc")
    renamed = with_names(ABCD, {"w": "a", "x": "b", "c": "d"}, ours)
    assert renamed.keypoints == ("w", "x", "c of abcd", "c")
    assert renamed.limbs == (("w", "x"), ("x", "c of abcd"), ("c of abcd", "c"))
    np.testing.assert_array_equal(heatmap_channels(renamed, ours).index, [0, 1, 3, 4])
    np.testing.assert_array_equal(paf_channels(renamed, ours).index, [0, 1, -1, -1])


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"w": "aa"}, "skeleton abcd has no keypoint 'aa', did you mean 'a'"),
        ({"q": "a"}, "skeleton ours has no keypoint 'q'; it has w, x"),
        ({"w": "a", "x": "a"}, "a keypoint of abcd is given twice"),
    ],
)
def test_names_that_no_skeleton_has_are_refused(renamed: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=f"model.pretrained_keypoints: {message}"):
        with_names(ABCD, renamed, skeleton("ours", "wx", "wx"))
