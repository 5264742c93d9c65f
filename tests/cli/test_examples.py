"""The examples in C++ and JavaScript, built and run as their readers would, find the people that `infer` finds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli.inference.load import load_predictor
from bpnet_cli.pose.person import Person
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY

pytest.importorskip("onnx")
PHOTO = REPOSITORY / "examples" / "photos" / "astronaut.jpg"


def people_of_infer(model: Path) -> list[Person]:
    return load_predictor(str(model)).predict(cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB))


def assert_same_people(printed: bytes, expected: list[Person]) -> None:
    found = json.loads(printed)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        keypoints = [[point["x"], point["y"]] if point else [np.nan] * 2 for point in one["keypoints"]]
        np.testing.assert_allclose(keypoints, other.keypoints[:, :2], rtol=0, atol=1)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("cmake", "g++", "pkg-config"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
    for library, package in (("opencv4", "libopencv-dev"), ("nlohmann_json", "nlohmann-json3-dev")):
        if subprocess.run(["pkg-config", "--exists", library]).returncode:
            pytest.skip(f"{library} is not installed ({package})")
    folder = tmp_path_factory.mktemp("build")
    subprocess.run(["cmake", "-B", folder, "-S", REPOSITORY / "examples" / "cpp"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", folder], check=True, capture_output=True)
    return folder / "bpnet_pose"


def test_cpp(program: Path, tmp_path: Path, bpnet: Run) -> None:
    model, drawn = tmp_path / "m.onnx", tmp_path / "out.png"
    words = ("export", "-m", "box", "-o", model, "--precision", "fp32")
    assert bpnet(*words).exit_code == 0
    missing = subprocess.run([program, model, PHOTO, drawn], capture_output=True, text=True)
    assert missing.returncode == 1
    assert missing.stderr == f"{tmp_path / 'm.json'}: is missing; write it by bpnet export with --metadata-json\n"
    assert bpnet(*words, "--metadata-json", "--overwrite").exit_code == 0
    result = subprocess.run([program, model, PHOTO, drawn], capture_output=True, check=True)
    assert_same_people(result.stdout, people_of_infer(model))
    assert (cv2.imread(str(drawn)) != cv2.imread(str(PHOTO))).any(axis=2).sum() > 500
    nowhere = tmp_path / "no" / "o.png"
    for photo, out, message in (
        (model, drawn, "can't be read as a photo"),
        (PHOTO, nowhere, "o.png: can't be written"),
    ):
        wrong = subprocess.run([program, model, photo, out], capture_output=True, text=True)
        assert wrong.returncode == 1
        assert message in wrong.stderr.splitlines()[-1]


def test_javascript(tmp_path: Path, bpnet: Run) -> None:
    for name in ("node", "npm"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
    example = tmp_path / "js"
    shutil.copytree(REPOSITORY / "examples" / "js", example, ignore=shutil.ignore_patterns("node_modules"))
    words = ["npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(words, cwd=example, capture_output=True).returncode:
        pytest.skip("the packages are not in npm's cache: run `npm install` once in examples/js")
    assert bpnet("export", "-m", "box", "--web", tmp_path / "page", "--precision", "fp32").exit_code == 0
    words = ["node", "find_people.js", tmp_path / "page", PHOTO]
    result = subprocess.run(words, cwd=example, capture_output=True, check=True)
    assert_same_people(result.stdout, people_of_infer(tmp_path / "page" / "model.onnx"))
    usage = subprocess.run(words[:2], cwd=example, capture_output=True, text=True)
    assert usage.returncode == 1
    assert usage.stderr.startswith("usage: node find_people.js FOLDER PHOTO")
