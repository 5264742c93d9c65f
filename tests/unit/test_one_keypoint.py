"""A skeleton of one keypoint: no limbs, and PAFs without channels, all the way to the runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import Skeleton, decode, render_targets
from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.inference.backends import KerasBackend, load_backend
from bpnet_cli.inference.draw import draw_maps
from bpnet_cli.models.channels import trace_channels
from tests.unit.specs import make_spec

TIP = Skeleton("pen", ("tip",), (), (), (0.05,))


def test_each_point_is_a_person_ranked_by_its_peak() -> None:
    points = np.array([[[40.0, 60.0, 2.0]], [[100.0, 30.0, 2.0]], [[30.0, 20.0, 2.0]]])
    heatmaps, pafs = render_targets(points, 96, 128, TIP)
    assert heatmaps.shape == (12, 16, 2)
    assert pafs.shape == (12, 16, 0)
    heatmaps[:, 10:] *= 0.7
    people = decode(heatmaps, pafs, TIP)
    found = np.array([person.keypoints[0, :2] for person in people])
    assert sorted(found.tolist())[2] == found[2].tolist() == pytest.approx([100, 30], abs=0.5)
    assert sorted(found.tolist())[0] == pytest.approx([30, 20], abs=0.5)
    assert len(people) == 3
    assert people[2].score == pytest.approx(0.7 * people[0].score, rel=0.05)
    assert draw_maps(np.zeros((96, 128, 3), np.uint8), heatmaps, pafs).shape == (96, 256, 3)


@pytest.mark.usefixtures("keras_loaded")
@pytest.mark.parametrize("branches", ["shared", "separate"])
def test_its_network_trains_is_saved_exported_and_pruned(tmp_path: Path, branches: str) -> None:
    pytest.importorskip("tf2onnx")
    from bpnet_cli.export.onnx import to_onnx
    from bpnet_cli.models.model_file import load_network, save_network
    from bpnet_cli.plan import LossWeights, TargetShape
    from bpnet_cli.training.loss import TrainingModel

    spec = make_spec("tiny", branches=branches)
    network, metadata = network_of(spec, TIP), metadata_of(spec, TIP)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    model = TrainingModel(network, TIP, TargetShape(8, 7.0, 8.0), LossWeights())
    labels = {
        "keypoints": np.full((2, 1, 1, 3), 30.0, np.float32),
        "mask": np.ones((2, 8, 12), np.float32),
        "labelled": np.ones((2, 1), np.float32),
    }
    assert np.isfinite(float(model.compute_loss(images, labels, model(images))))
    save_network(network, metadata, tmp_path / "m.keras")
    again, _ = load_network(tmp_path / "m.keras")
    heatmaps, pafs = KerasBackend(again, metadata).maps(images)
    assert pafs.shape == (2, 8, 12, 0)
    (tmp_path / "m.onnx").write_bytes(to_onnx(network, metadata, 17).SerializeToString())
    for engine in ("onnxruntime", "openvino"):
        if engine == "openvino":
            pytest.importorskip("openvino")
        theirs = load_backend(tmp_path / "m.onnx", engine=engine).maps(images)
        assert theirs[0] == pytest.approx(heatmaps, abs=1e-4)
        assert theirs[1].shape == pafs.shape
    assert trace_channels(again).groups
