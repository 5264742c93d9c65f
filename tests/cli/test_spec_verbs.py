"""Shipped specs by name, list and init; paths that are absent; skeleton files; `--set` wherever `-e` is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import click
import pytest

from bpnet_cli.cli import main
from bpnet_cli.spec.loader import load_spec
from bpnet_cli.spec.shipped import shipped_skeletons, shipped_specs, skeleton_names
from tests.cli.conftest import Run

NAMES = ["bodyposenet_vgg19_coco", "box", "box-fast", "finetune", "lite_coco", "openpose_vgg19_coco", "quickstart"]
SHIPPED = f"(shipped: {', '.join(NAMES)})"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder outside of the clone."""
    monkeypatch.chdir(tmp_path)


def test_list_has_a_line_for_each_shipped_spec_and_skeleton(bpnet: Run) -> None:
    specs, skeletons = bpnet("spec", "list").output.split("skeletons, for `skeleton:` in a spec:\n")
    assert specs.startswith("specs, for -e:\n")
    lines = specs.splitlines()[1:]
    assert [line.split()[0] for line in lines] == NAMES == list(shipped_specs())
    assert [line.split()[0] for line in skeletons.splitlines()] == list(skeleton_names())
    for line in [*lines, *skeletons.splitlines()]:
        assert re.fullmatch(r"  [\w-]+ +[A-Zb][^`]{30,110}\.", line)


def test_init_copies_a_shipped_skeleton(bpnet: Run) -> None:
    result = bpnet("spec", "init", "hand_21", "-o", "hand.yaml")
    assert result.output == "hand.yaml: the skeleton hand_21, to change; `skeleton: hand.yaml` in a spec points to it\n"
    assert bpnet("spec", "check", "hand.yaml").exit_code == 0
    assert Path("hand.yaml").read_text() == shipped_skeletons()["hand_21"].read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_spec_is_taken_by_its_name(bpnet: Run, name: str) -> None:
    for words in (["spec", "check", name], ["spec", "check", "-e", name]):
        result = bpnet(*words)
        assert result.exit_code == 0
        assert result.output.endswith(f"{name}: ok\n")
    assert f"name: {name}\n" in bpnet("spec", "show", "-e", name).output


def test_a_file_of_that_name_wins_and_a_folder_does_not(bpnet: Run) -> None:
    Path("box").mkdir()
    Path("quickstart").write_text("name: my_own")
    assert "name: box\n" in bpnet("spec", "show", "box").output
    assert "name: my_own\n" in bpnet("spec", "show", "quickstart").output


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lite_cooc", f"there is no such file, and no shipped spec has this name, did you mean 'lite_coco'? {SHIPPED}"),
        ("horses", f"there is no such file, and no shipped spec has this name {SHIPPED}"),
        ("specs/box.yaml", "there is no such file; for the shipped spec, give only its name: box"),
        ("horses.yaml", "there is no such file"),
        (".", "is a folder, not a YAML file"),
    ],
)
def test_an_unknown_spec_is_refused_with_what_there_is(bpnet: Run, word: str, message: str) -> None:
    for words in (["spec", "check", word], ["train", "-e", word, "-r", "run"]):
        result = bpnet(*words)
        assert (result.exit_code, result.output) == (1, f"Error: {word}: {message}\n")


def test_one_spec_must_be_given(bpnet: Run) -> None:
    for verb in ("check", "show"):
        for words in ([], ["box", "-e", "box"]):
            result = bpnet("spec", verb, *words)
            assert result.exit_code == 2
            assert "give one SPEC" in result.output


@pytest.mark.parametrize("name", NAMES)
def test_init_writes_a_spec_to_change(bpnet: Run, name: str, tmp_path: Path) -> None:
    result = bpnet("spec", "init", name, "-o", "my specs/mine.yaml")
    assert result.exit_code == 0
    assert "\n  my specs/mine.yaml:" in result.output.split("Next, ")[1]
    assert re.search(r" dataset\.train(\.0)?\.images: ", result.output)
    assert "Then: bpnet spec check 'my specs/mine.yaml' --paths && bpnet train -e" in result.output
    text, shipped = (tmp_path / "my specs" / "mine.yaml").read_text(), shipped_specs()[name].read_text()
    assert "bpnet train -e 'my specs/mine.yaml' -r " in text
    assert f"-e {name}" not in text
    assert text.split("\n")[1:] == shipped.replace(f"-e {name}", "-e 'my specs/mine.yaml'").split("\n")[1:]
    assert load_spec("my specs/mine.yaml") == load_spec(name)
    schema = text.split("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert '"ExperimentSpec"' in Path(url2pathname(urlparse(schema).path)).read_text()


def test_init_overwrites_nothing_and_knows_its_names(bpnet: Run) -> None:
    Path("mine.yaml").write_text("name: precious")
    result = bpnet("spec", "init", "box", "-o", "mine.yaml")
    assert (result.exit_code, result.output) == (
        1,
        "Error: mine.yaml: exists already; give --overwrite to replace it\n",
    )
    assert bpnet("spec", "init", "boxx", "-o", "mine.yaml", "--overwrite").output == (
        f"Error: boxx: no shipped spec has this name, did you mean 'box'? {SHIPPED}\n"
    )
    assert Path("mine.yaml").read_text() == "name: precious"
    assert bpnet("spec", "init", "box", "-o", "mine.yaml", "--overwrite").exit_code == 0
    assert "name: box" in Path("mine.yaml").read_text()


def test_list_init_and_check_load_nothing_heavy() -> None:
    for words in (("list",), ("init", "finetune", "-o", "a.yaml"), ("check", "finetune")):
        code = f"import sys; from bpnet_cli.cli import main; main({('spec', *words)!r}, standalone_mode=False)"
        run = subprocess.run([sys.executable, "-c", code + "; print(*sys.modules)"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert not {"keras", "tensorflow", "cv2", "onnxruntime"} & set(run.stdout.split())


ABSENT = """\
dataset:
  train:
  - images: photos
    annotations: train.json
  - {records: 'shards/train-*.tfrecord'}
  validation: {records: 'gs://bucket/*.tfrecord'}
distillation:
  teacher: teacher.onnx
model:
  backbone: tiny
  pretrained: start.keras
"""
HINT = "(paths are relative to the working directory)"
UNOPENED = "photos and annotations were not opened; to check them: bpnet dataset check -e s.yaml"
LINES = [
    f"s.yaml:3: dataset.train.0.images: photos: no such folder {HINT}",
    f"s.yaml:4: dataset.train.0.annotations: train.json: no such file {HINT}",
    f"s.yaml:5: dataset.train.1.records: shards/train-*.tfrecord: no such file {HINT}",
    f"s.yaml:8: distillation.teacher: teacher.onnx: no such file {HINT}",
    f"s.yaml:11: model.pretrained: start.keras: no such file {HINT}",
]


def test_absent_paths_are_named_and_with_paths_are_errors(bpnet: Run) -> None:
    Path("s.yaml").write_text(ABSENT)
    result = bpnet("spec", "check", "s.yaml")
    assert (result.exit_code, result.output.splitlines()) == (0, [*LINES, UNOPENED, "s.yaml: ok"])
    result = bpnet("spec", "check", "s.yaml", "--paths")
    assert (result.exit_code, result.output) == (1, "Error: " + "\n".join(LINES) + "\n")


def test_paths_that_are_there_are_not_named(bpnet: Run) -> None:
    Path("s.yaml").write_text(ABSENT)
    Path("photos").mkdir()
    Path("shards").mkdir()
    for name in ("train.json", "shards/train-0.tfrecord", "teacher.onnx", "start.keras"):
        Path(name).touch()
    assert bpnet("spec", "check", "s.yaml", "--paths").output == f"{UNOPENED}\ns.yaml: ok\n"
    for weights in ("none", "box", "box-fast", "imagenet"):
        words = ("--set", f"model.pretrained={weights}", "--set", "model.backbone=vgg19")
        assert bpnet("spec", "check", "s.yaml", "--paths", *words).output == f"{UNOPENED}\ns.yaml: ok\n"
    words = ("--paths", "--set", "distillation.teacher=box")
    assert bpnet("spec", "check", "s.yaml", *words).output == f"{UNOPENED}\ns.yaml: ok\n"
    result = bpnet("spec", "check", "s.yaml", "--set", "model.pretrained=b.npz")
    assert result.output.startswith(f"--set model.pretrained=b.npz: model.pretrained: b.npz: no such file {HINT}\n")


def test_a_skeleton_file_is_checked_as_such(bpnet: Run) -> None:
    Path("hand.yaml").write_text("name: hand\nkeypoints: [a, b]\nlimbs: [[a, b]]\nflip_pairs: []")
    result = bpnet("spec", "check", "hand.yaml")
    assert result.exit_code == 0
    assert result.output == "hand.yaml: ok; this is a skeleton file, `skeleton: hand.yaml` in a spec points to it\n"
    result = bpnet("train", "-e", "hand.yaml", "-r", "run")
    assert result.exit_code == 1
    assert (
        "hand.yaml: is a skeleton file, not a spec; to use it, write `skeleton: hand.yaml` in a spec" in result.output
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nkeypoints: [a]\nlimps: [[a, a]]", "hand.yaml:3: limps: unknown key, did you mean 'limbs'?"),
        ("name: x\nkeypoints: [a, b]\nlimbs: [[a, c]]", "hand.yaml:3: limbs.0.1: no keypoint has this name"),
        ("model: {stages: 2}\nkeypoints: [a]", "hand.yaml:2: keypoints: unknown key"),
    ],
)
def test_a_wrong_skeleton_file_is_refused(bpnet: Run, text: str, message: str) -> None:
    Path("hand.yaml").write_text(text)
    result = bpnet("spec", "check", "hand.yaml")
    assert result.exit_code == 1
    assert message in result.output


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


MORE = {"train": ["-r", "out"], "evaluate": ["-r", "out"], "dataset_convert": ["-o", "out"]}
WITH_SPEC = [path for path, command in commands() if any(option.name == "spec_path" for option in command.params)]


@pytest.mark.parametrize("path", WITH_SPEC, ids=" ".join)
def test_set_works_wherever_a_spec_is_given_and_is_checked_first(bpnet: Run, path: tuple[str, ...]) -> None:
    words = (*path, "-e", "quickstart", *MORE.get(path[-1], []) * (len(path) == 1))
    result = bpnet(*words, "--set", "model.stages=2", "--set", "model.stagse=1")
    assert result.exit_code == 1
    assert result.output.endswith("Error: --set model.stagse=1: model.stagse: unknown key, did you mean 'stages'?\n")
    assert not Path("out").exists()


def test_the_page_says_which_commands_take_set() -> None:
    page = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
    assert {("train",), ("evaluate",), ("spec", "check"), ("dataset_convert",)} < set(WITH_SPEC)
    others = {path[0] for path, command in commands() if any("--set" in option.opts for option in command.params)}
    others -= {path[0] for path in WITH_SPEC}
    sentence = re.search(r"Every command with `-e SPEC` takes `--set key=value`.*?\. ", page, re.DOTALL)
    assert sentence
    assert others == set(re.findall(r"`([a-z]+)`", sentence[0]))


def test_the_page_lists_all_shipped_specs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
    assert [name for name in NAMES if f"| `{name}` |" in page] == NAMES


def test_a_spec_without_data_has_nothing_to_open(bpnet: Run) -> None:
    Path("s.yaml").write_text("name: s")
    assert bpnet("spec", "check", "s.yaml").output == "s.yaml: ok\n"


SIDES = "name: paw\nkeypoints: [%s]\nlimbs: [[a, b]]\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SIDES % "a, b", "no left/right pairs are found"),
        (SIDES % "a, b, LHip, RHip", ""),
        (SIDES % "a, b, LHip, RHip, tip.l", "1 keypoint(s) have no partner"),
        (SIDES % "a, b" + "flip_pairs: []", ""),
        (SIDES % "a, b, LHip" + "flip_pairs: [[a, b]]", "1 keypoint(s) have no partner"),
        (SIDES % "a, b" + "flip_pairs: [[a, b]]", ""),
    ],
)
def test_keypoints_without_a_partner_are_told(bpnet: Run, text: str, line: str) -> None:
    Path("paw.yaml").write_text(text)
    Path("spec.yaml").write_text("skeleton: paw.yaml")
    for file in ("paw.yaml", "spec.yaml"):
        output = bpnet("spec", "check", file).output
        assert (f"skeleton paw: {line}" in output) if line else ("mirrored crops" not in output)
    silent = bpnet("spec", "check", "spec.yaml", "--set", "augmentation.flip_probability=0").output
    assert "mirrored crops" not in silent


def test_a_side_without_a_partner_is_told_with_its_line_and_a_name_that_is_near(bpnet: Run) -> None:
    Path("arm.yaml").write_text(
        "name: arm\nkeypoints: [left_elbow, right_elbow,\n left_wrist, left_toe,\n right_writs]\n"
        "limbs: [[left_elbow, left_wrist]]\n"
    )
    Path("spec.yaml").write_text("skeleton: arm.yaml")
    told = [
        "arm.yaml:3: keypoint 'left_wrist' has no partner on the other side; is it meant to be the partner of"
        " 'right_writs'?",
        "arm.yaml:3: keypoint 'left_toe' has no partner on the other side",
    ]
    for file in ("arm.yaml", "spec.yaml"):
        lines = bpnet("spec", "check", file).output.splitlines()
        assert [line for line in lines if "has no partner" in line] == told


def test_keypoints_that_no_limb_joins_to_the_others_are_told(bpnet: Run) -> None:
    Path("paw.yaml").write_text(
        "name: paw\nkeypoints: [a, b, c, d, e]\nlimbs: [[a, b], [b, c], [d, e]]\nflip_pairs: []"
    )
    Path("spec.yaml").write_text("skeleton: paw.yaml")
    for file in ("paw.yaml", "spec.yaml"):
        told = "skeleton paw: no limb joins d, e to a, b, c, so they are found as people of their own"
        assert told in bpnet("spec", "check", file).output
    Path("paw.yaml").write_text("name: paw\nkeypoints: [a, b]\nlimbs: [[a, b], [b, a]]\nflip_pairs: []")
    assert "paw.yaml:3: limbs.1: the limb is there twice" in bpnet("spec", "check", "paw.yaml").output


def test_a_skeleton_that_is_not_there_is_told_with_what_there_is(bpnet: Run) -> None:
    Path("spec.yaml").write_text("skeleton: mine/paw.yaml")
    output = bpnet("spec", "check", "spec.yaml").output
    assert "skeleton: mine/paw.yaml: there is no such file (paths are relative to the working directory)" in output
    output = bpnet("dataset", "synthetic", "-o", "x", "--skeleton", "hand_12").output
    assert "no shipped skeleton of this name, did you mean 'hand_21'?" in output


def test_a_tab_is_told_as_such(bpnet: Run) -> None:
    Path("paw.yaml").write_text("name: paw\nkeypoints:\n\t- a\n")
    assert "paw.yaml:3: has a tab; YAML needs spaces here" in bpnet("spec", "check", "paw.yaml").output


def test_pairs_that_were_found_are_in_info(bpnet: Run) -> None:
    Path("paw.yaml").write_text(SIDES % "a, b, LHip, RHip")
    Path("spec.yaml").write_text("{skeleton: paw.yaml, model: {backbone: tiny, input_height: 64, input_width: 64}}")
    assert json.loads(bpnet("info", "-e", "spec.yaml", "--json").stdout)["flip_pairs"] == [["LHip", "RHip"]]
    assert "flip pairs" in (text := bpnet("info", "-e", "spec.yaml").output)
    assert "LHip - RHip" in text
