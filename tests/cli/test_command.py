"""The command itself: help, usage errors, specs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpnet_cli.cli import main
from tests.cli.conftest import Run

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))


HEAVY = ("numpy", "cv2", "keras", "tensorflow", "onnxruntime", "pycocotools")


def run_without(modules: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process where importing any of `modules` fails."""
    block = f"import sys; sys.modules.update(dict.fromkeys({modules!r}))"
    code = f"{block}; from bpnet_cli.cli import main; main({words!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_help_needs_only_click() -> None:
    result = run_without((*HEAVY, "pydantic", "yaml", "tqdm"), "--help")
    assert result.returncode == 0
    assert "Commands:" in result.stdout


def test_every_verb_has_help_with_an_example(bpnet: Run) -> None:
    overview = bpnet("--help").output
    assert -1 < overview.find("bpnet infer photo.jpg") < overview.find("bpnet train -e")
    groups = ("spec", "dataset", "benchmark")
    verbs = [[name] for name in main.commands if name not in groups]
    verbs += [[group, name] for group in groups for name in main.commands[group].commands]
    assert ["spec", "check"] in verbs
    for verb in [*verbs, ["spec"]]:
        result = bpnet(*verb, "--help")
        assert result.exit_code == 0
        assert f"Example: bpnet {' '.join(verb)}" in result.output


def test_the_alias_and_taos_spelling_work(bpnet: Run) -> None:
    assert bpnet("inference", "--help").output == bpnet("infer", "--help").output.replace(
        "main infer", "main inference"
    )
    assert bpnet("train", "--experiment_spec_file", "none.yaml", "--results_dir", "x").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", "-e", "x.yaml"],
        ["evaluate", "-m", "x"],
        ["evaluate", "-m", "x", "-r", "y", "--images", "z"],
        ["nonsense"],
        ["info"],
    ],
)
def test_wrong_usage_exits_with_2(bpnet: Run, words: list[str]) -> None:
    assert bpnet(*words).exit_code == 2


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_shipped_specs_are_valid_and_say_what_they_cost(bpnet: Run, path: Path) -> None:
    assert bpnet("spec", "check", path).output.endswith(f"{path}: ok\n")
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    for words in (f"bpnet train -e {path.stem} ", "Expected cost:", "Expected result:"):
        assert words in header


def test_a_typo_is_refused_before_anything_heavy_loads_with_line_path_and_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nmodel:\n  stagse: 3\n  branches: seperate\n")
    checked = run_without(HEAVY, "spec", "check", str(path))
    result = run_without(HEAVY, "train", "-e", str(path), "-r", str(tmp_path / "run"))
    assert checked.stderr == result.stderr
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {path}:3: model.stagse: unknown key, did you mean 'stages'?\n"
        f"{path}:4: model.branches: must be 'shared' or 'separate', did you mean 'separate'? (got 'seperate')\n"
    )
    assert not (tmp_path / "run").exists()


def test_show_fills_in_defaults_and_takes_overrides(bpnet: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: mine\n")
    result = bpnet("spec", "show", path, "--set", "model.stages=2", "-o", tmp_path / "full.yaml")
    assert result.exit_code == 0
    text = (tmp_path / "full.yaml").read_text()
    assert "stages: 2" in text
    assert "min_keypoints: 5" in text
    assert bpnet("spec", "check", tmp_path / "full.yaml").exit_code == 0
    assert bpnet("spec", "show", tmp_path / "full.yaml").output == text


def test_schema_is_the_checked_in_one(bpnet: Run) -> None:
    path = Path(__file__).parents[2] / "specs" / "schema" / "experiment.schema.json"
    assert json.loads(bpnet("spec", "schema").output) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("overrides", "parameters"),
    [
        ([], 16_777_835),
        (["model.stages=6"], 30_015_638),
        (["model.branches=separate"], 25_965_035),
        (["model.stages=6", "model.branches=separate"], 52_319_510),
    ],
)
def test_info_prints_nvidias_numbers(bpnet: Run, overrides: list[str], parameters: int) -> None:
    spec = next(path for path in SPECS if path.name == "bodyposenet_vgg19_coco.yaml")
    words = [word for override in overrides for word in ("--set", override)]
    assert f"{parameters:,}" in bpnet("info", "-e", spec, *words).output


def test_synthetic_data_sets(bpnet: Run, tmp_path: Path) -> None:
    words = ("dataset", "synthetic", "-o", tmp_path / "d", "--images", 2, "--people", 1, 2, "--size", 64, 96)
    assert bpnet(*words).exit_code == 0
    raw = json.loads((tmp_path / "d" / "annotations" / "person_keypoints.json").read_text())
    assert [(i["height"], i["width"]) for i in raw["images"]] == [(64, 96)] * 2
    again = bpnet(*words)
    assert again.exit_code == 1
    assert "already holds a data set" in again.output
    assert bpnet(*words, "--overwrite").exit_code == 0


def test_synthetic_films(bpnet: Run, tmp_path: Path) -> None:
    words = ("dataset", "synthetic", "-o", tmp_path / "d", "--people", 2, 3, "--size", 64, 96, "--seed", 4)
    assert bpnet(*words, "--video", "--seconds", 0.2).exit_code == 0
    lines = (tmp_path / "d" / "film.mp4.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 5
    frame = json.loads(lines[1])
    assert (frame["height"], frame["width"]) == (64, 96)
    again = bpnet(*words, "--video", "--seconds", 0.2)
    assert again.exit_code == 1
    assert "already holds a film" in again.output
    assert bpnet(*words, "--video", "--seconds", 0.2, "--overwrite").exit_code == 0
    for flags, hint in ((("--video", "--images", 3), "--seconds"), (("--seconds", 3), "add --video")):
        wrong = bpnet(*words, *flags)
        assert wrong.exit_code == 2
        assert hint in wrong.output
