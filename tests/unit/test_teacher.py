"""The maps that a teacher gives for a crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from bpnet_cli.box import box_onnx
from bpnet_cli.inference.backends import load_backend
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.plan import TeacherPlan, plan_of
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.loader import load_spec
from bpnet_cli.training.teacher import make_teacher


@pytest.mark.parametrize("scales", [(1.25,), (1.25, 1.0), (0.5,)])
def test_maps_of_any_scale_are_on_the_crops_grid(scales: tuple[float, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    crop = cv2.resize(noise, (96, 64), interpolation=cv2.INTER_CUBIC)
    teach = make_teacher(TeacherPlan(box_onnx(), 64, 96, scales, flip=False), BODY_18)
    expected = []
    for scale in scales:
        backend = load_backend(box_onnx(), threads=1)
        heatmaps, pafs, _ = Predictor(backend, InputSize(round(64 * scale), round(96 * scale))).maps(crop)
        maps = np.concatenate([heatmaps, pafs], axis=-1)
        parts = [cv2.resize(maps[..., i], (12, 8), interpolation=cv2.INTER_CUBIC) for i in range(maps.shape[-1])]
        expected.append(np.stack(parts, axis=-1))
    got = teach(crop)
    assert got.shape == (8, 12, BODY_18.heatmap_channels + BODY_18.paf_channels)
    np.testing.assert_allclose(got, np.mean(expected, axis=0), atol=0.01)


def test_the_model_in_the_box_is_a_teacher_by_its_name() -> None:
    plan = plan_of(load_spec("quickstart", ["distillation.teacher=box"])).teacher
    assert plan is not None
    assert plan.path == box_onnx()
