"""What the pages' examples need: photos, labels, a film, a spec and a tiny trained model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bpnet_cli.data.synthetic import generate
from tests.cli.conftest import TINY_MODEL, Run, bpnet, no_network

TAO = Path(__file__).parents[1] / "unit" / "tao"
__all__ = ["bpnet", "no_network"]


@pytest.fixture(scope="session")
def props(tmp_path_factory: pytest.TempPathFactory, bpnet: Run, keras_loaded: None) -> Path:
    """photo.jpg, photos/, labels.json, film.mp4, mine.yaml, model.keras, model.onnx, and the files of a user of TAO."""
    folder = tmp_path_factory.mktemp("props")
    generate(folder / "drawn", 40, people=(1, 2), height=96, width=128, seed=5)
    shutil.move(folder / "drawn" / "images", folder / "photos")
    shutil.move(folder / "drawn" / "annotations" / "person_keypoints.json", folder / "labels.json")
    shutil.rmtree(folder / "drawn")
    shutil.copy(min((folder / "photos").glob("*.jpg")), folder / "photo.jpg")
    words = ("--video", "--seconds", 1, "--people", 1, 1, "--size", 96, 128)
    assert bpnet("dataset", "synthetic", "-o", folder / "film", *words).exit_code == 0
    shutil.move(folder / "film" / "film.mp4", folder / "film.mp4")
    shutil.rmtree(folder / "film")
    shutil.copytree(TAO, folder, dirs_exist_ok=True)
    source = "{images: photos, annotations: labels.json}"
    data = f"dataset: {{train: {source}, validation: {source}}}\n"
    (folder / "mine.yaml").write_text(f"name: mine\n{data}{TINY_MODEL}training: {{epochs: 1, steps_per_epoch: 2}}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = bpnet("train", "-e", "mine.yaml", "-r", "run")
        assert result.exit_code == 0, result.output
        shutil.move("run/model.keras", "model.keras")
        shutil.rmtree("run")
        assert bpnet("export", "-m", "model.keras", "-o", "model.onnx").exit_code == 0
    return folder


@pytest.fixture
def page_folder(props: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for a page, with the props."""
    shutil.copytree(props, tmp_path / "page")
    monkeypatch.chdir(tmp_path / "page")
    return tmp_path / "page"
