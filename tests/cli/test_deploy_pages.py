"""The Python of docs/deploy gives what the predictor gives."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import load_predictor
from tests.cli.conftest import Run

PAGES = Path(__file__).parents[2] / "docs" / "deploy"
DEPLOY = "".join((PAGES / name).read_text() for name in ("openvino.md", "photo_to_input.md"))
FINDING = ("input_width=80", "min_person_score=0", "decode.peak_threshold=0.001", "decode.person_threshold=0")


@pytest.mark.parametrize("settings", [FINDING, FINDING[1:]], ids=["both sides", "height"])
def test_the_examples_of_deploying_run_and_equal_the_predictor(
    trained: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    """Input, people and their place in the photo, whatever the photo's shape."""
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    changes = [word for change in settings for word in ("--set", f"inference.{change}")]
    words = ("export", "-m", trained / "run" / "model.keras", "-o", "model.onnx", "--with-peaks", *changes)
    assert bpnet(*words).exit_code == 0
    predictor = load_predictor("model.onnx")
    code = re.findall(r"```python\n(.*?)```", DEPLOY, re.DOTALL)
    assert len(code) == 4
    for height, width in ((300, 417), (40, 200), (64, 96)):
        photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite("photo.png", photo)
        names: dict = {}
        exec("\n".join(code).replace("photo.jpg", "photo.png"), names)
        np.testing.assert_array_equal(names["image"][0], predictor.prepare(names["photo"])[0])
        expected = predictor.predict(names["photo"])
        assert len(names["people"]) == len(expected) > 0
        for person, other in zip(names["people"], expected, strict=True):
            found = names["to_photo"](person.keypoints[:, :2]).clip(0, (width - 1, height - 1))
            np.testing.assert_allclose(found, other.keypoints[:, :2], atol=0.05)
