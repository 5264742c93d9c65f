"""`--engine`: the verbs run .onnx files in OpenVINO where they are told to, and find the same people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpnet_cli.inference import backends
from tests.cli.conftest import Run

pytest.importorskip("tf2onnx")
pytest.importorskip("openvino")
# The network of the tests finds people where thresholds are this low.
LOW = ("min_person_score=0", "decode.peak_threshold=0.001", "decode.person_threshold=0")
CHANGES = tuple(word for change in LOW for word in ("--set", f"inference.{change}"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The (engine, file) that were used since the test began."""
    used: list[tuple[str, str]] = []
    for name, load in list(backends._ENGINES.items()):

        def loading(path: str | Path, threads: int | None, name: str = name, load: object = load) -> object:
            used.append((name, Path(path).name))
            return load(path, threads)

        monkeypatch.setitem(backends._ENGINES, name, loading)
    return used


def test_infer(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run, opened: list) -> None:
    found = []
    for words in ((), ("--engine", "openvino")):
        directory = tmp_path / str(len(words))
        result = bpnet("infer", drawn / "images", "-m", exported, "-r", directory, "--no-annotate", *CHANGES, *words)
        assert result.exit_code == 0, result.output
        entries = json.loads((directory / "detections.json").read_text())["images"]
        found.append([[round(person["score"], 2) for person in entry["persons"]] for entry in entries])
    assert opened == [("onnxruntime", "model.onnx"), ("openvino", "model.onnx")]
    assert sum(map(len, found[0])) > 0
    assert [pytest.approx(scores, abs=0.02) for scores in found[0]] == found[1]


def test_evaluate_the_model_in_the_box(drawn: Path, tmp_path: Path, bpnet: Run, opened: list) -> None:
    words = ("--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json")
    result = bpnet("evaluate", *words, "-r", tmp_path, "--engine", "openvino")
    assert result.exit_code == 0, result.output
    assert opened == [("openvino", "box.onnx")]
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 12


@pytest.mark.parametrize("verb", ["infer", "evaluate"])
def test_keras_files_and_unknown_engines_are_refused(trained: Path, drawn: Path, verb: str, bpnet: Run) -> None:
    model = trained / "run" / "model.keras"
    words = (verb, "-m", model, "-r", trained / "refused", *([drawn / "images"] if verb == "infer" else []))
    result = bpnet(*words, "--engine", "openvino")
    assert (result.exit_code, (trained / "refused").exists()) == (1, False)
    assert (
        f"{model}: engine openvino needs an .onnx file; to make one: bpnet export -m {model} -o OUT.onnx"
        in result.output
    )
    assert bpnet(*words, "--engine", "nothing").exit_code == 2
