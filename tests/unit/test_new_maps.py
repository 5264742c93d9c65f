"""Maps that a pretrained network does not have, fitted before training: against numpy's own least squares."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

keras = pytest.importorskip("keras")

from bpnet_cli.importing.keras_graph import KerasGraph  # noqa: E402
from bpnet_cli.importing.maps import find_maps  # noqa: E402
from bpnet_cli.importing.onnx_file import read_onnx  # noqa: E402
from bpnet_cli.models.own_graph import with_maps_of  # noqa: E402
from bpnet_cli.plan import TargetShape  # noqa: E402
from bpnet_cli.pose.skeleton import BODY_18, Skeleton  # noqa: E402
from bpnet_cli.pose.targets import render_targets  # noqa: E402
from bpnet_cli.training.new_maps import NewMaps  # noqa: E402
from tests.unit.pytorch_style import pose_network  # noqa: E402

OURS = Skeleton(
    "cat",
    ("nose", "neck", "tail", "paw"),
    (("nose", "neck"), ("neck", "tail"), ("tail", "paw")),
    (),
    (0.05,) * 4,
)
PHOTOS, HEIGHT, WIDTH = 8, 64, 96


class Loader:
    """Random pictures and people. In half of the pictures, nobody labels the paw. A part of each does not count."""

    samples = tuple(range(PHOTOS // 4))

    def load(self, position: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(position)
        image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        people = np.concatenate([rng.uniform(5, 60, (2, 4, 2)), np.full((2, 4, 1), 2)], axis=-1).astype(np.float32)
        mask = np.ones((HEIGHT // 8, WIDTH // 8), np.float32)
        mask[:2, : position + 1] = 0
        labelled = np.array([1, 1, 1, position % 2], np.float32)
        people[:, labelled == 0] = 0
        return image, people, mask, labelled


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    path = tmp_path_factory.mktemp("new") / "net.onnx"
    onnx.save(pose_network(), str(path))
    graph = read_onnx(path)
    maps = find_maps(graph, BODY_18)
    old = KerasGraph(graph.needed(maps.tensors), maps.layer_names).build(maps.tensors)
    network, new = with_maps_of(old, BODY_18, OURS)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    fitted = NewMaps(Loader(), OURS, TargetShape()).fit(old, network, new)  # type: ignore[arg-type]
    return SimpleNamespace(old=old, network=network, new=new, before=before, fitted=fitted)


def run(network: Any, tensor: Any) -> np.ndarray:
    images = np.stack([Loader().load(p)[0] for p in range(PHOTOS)])
    return keras.ops.convert_to_numpy(keras.Model(network.inputs[0], tensor)(images))


@pytest.mark.parametrize(
    ("name", "first"), [("stage1_heat_out", 0), ("heatmap_out", 0), ("stage1_paf_out", 5), ("paf_out", 5)]
)
def test_a_layer_that_makes_maps_has_the_weights_of_least_squares(
    networks: SimpleNamespace, name: str, first: int
) -> None:
    layer = networks.network.get_layer(name)
    features, given = (run(networks.network, tensor) for tensor in (layer.input, layer.output))
    loaded = [Loader().load(p) for p in range(PHOTOS)]
    targets = np.stack([np.concatenate(render_targets(people, HEIGHT, WIDTH, OURS), -1) for _, people, _, _ in loaded])
    flags = np.stack([labelled for *_, labelled in loaded])
    limbs = np.repeat(flags[:, [0, 1, 2]] * flags[:, [1, 2, 3]], 2, axis=1)
    counts = np.concatenate([flags, flags.min(axis=1, keepdims=True), limbs], axis=1)
    mask = np.stack([mask for *_, mask, _ in loaded])
    for channel in np.flatnonzero(networks.new[name].made):
        cells = (mask * counts[:, first + channel, None, None]) > 0
        x = np.column_stack([features[cells], np.ones(cells.sum())])
        wanted = targets[..., first + channel][cells]
        best = x @ np.linalg.lstsq(x, wanted, rcond=None)[0]
        error, least = ((values - wanted) ** 2 for values in (given[..., channel][cells], best))
        assert error.sum() <= 1.1 * least.sum() + 1e-6  # the ridge costs a little
        assert error.sum() < (wanted**2).sum()


def test_large_layers_get_fewer_crops(networks: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = NewMaps(Loader(), OURS, TargetShape())  # type: ignore[arg-type]
    monkeypatch.setattr("bpnet_cli.training.new_maps._FEWEST_CROPS", 2)
    assert len(fit._crops(networks.old)) == PHOTOS
    monkeypatch.setattr("bpnet_cli.training.new_maps._BYTES", 3 * HEIGHT * WIDTH * 3 * 4)
    assert 2 <= len(fit._crops(networks.old)) < PHOTOS


def test_known_channels_keep_their_weights(networks: SimpleNamespace) -> None:
    for name, channels in networks.new.items():
        layer = networks.network.get_layer(name)
        kernel, before = layer.get_weights()[0], networks.before[name][0]
        if kernel.ndim == 4 and kernel.shape[2:] == (len(channels.read), len(channels.made)):
            known = np.ix_(range(kernel.shape[0]), range(kernel.shape[1]), ~channels.read, ~channels.made)
            assert (kernel[known] == before[known]).all()


def test_layers_that_read_new_maps_give_nearly_what_they_gave(networks: SimpleNamespace) -> None:
    readers = [name for name in networks.fitted if not name.endswith("_out")]
    assert readers
    for name in readers:
        old, new = (run(n, n.get_layer(name).output) for n in (networks.old, networks.network))
        changed = networks.network.get_layer(name)
        weights = changed.get_weights()
        without = [weights[0].copy(), *weights[1:]]
        without[0][:, :, networks.new[name].read] = 0
        changed.set_weights(without)
        nothing = run(networks.network, changed.output)
        changed.set_weights(weights)
        assert ((new - old) ** 2).mean() < 0.9 * ((nothing - old) ** 2).mean()
