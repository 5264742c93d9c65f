"""What README and docs/ show is true: commands run, specs are valid, Python runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from bpnet_cli.cli import main
from bpnet_cli.errors import BpnetError
from bpnet_cli.spec.loader import load_spec_text
from tests.cli.conftest import Run
from tests.docs.blocks import OTHERS, ROOT, RUN, Block, blocks, commands, inline_commands, pages

PAGES = pages()
RUNNABLE = [page for page in PAGES if any(b.language in ("bash", "python") and not b.reason for b in blocks(page))]
# So a run takes seconds.
_LENGTH = ("epochs", "steps_per_epoch", "min_steps_per_epoch", "batch_size")
_SIZES = ("model.input_height", "model.input_width", "inference.input_height")
SHORT = (*(f"training.{key}=1" for key in _LENGTH), "training.log_images=0", *(f"{key}=96" for key in _SIZES))

# In the second limb of the example on docs/skeletons.md.
WRONG = "[left_elbow, left_wirst]"


@pytest.mark.parametrize("page", PAGES)
def test_each_block_says_what_it_is(page: str) -> None:
    text = (ROOT / page).read_text()
    found = blocks(page)
    assert 2 * len(found) == sum(line.lstrip().startswith("```") for line in text.splitlines())
    for block in found:
        assert block.language in RUN | OTHERS, f"{page}:{block.line}"
        assert block.language in RUN or not block.reason, f"{page}:{block.line}: never run, so it needs no reason"


def parsed(words: list[str]) -> list[str]:
    """Read the words as click would, without running anything. Returns what `--set` got. Raises click's errors."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"no command {name!r}")
        command = found
    if isinstance(command, click.Group):
        return []
    context = command.make_context(command.name, words, resilient_parsing=False)
    return list(context.params.get("overrides") or ())


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_are_right(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where none of the files is
    for block in blocks(page):
        if block.language not in ("bash", "console"):
            continue
        for words in commands(block.text):
            try:
                load_spec_text("name: page", "page", parsed(words))
            except click.exceptions.Exit:
                continue  # --help, --version
            except (click.ClickException, BpnetError) as error:
                text = error.format_message() if isinstance(error, click.ClickException) else str(error)
                pytest.fail(f"{page}:{block.line}: bpnet {' '.join(words)}: {text}")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_in_the_text_exist(page: str) -> None:
    for text in inline_commands(page):
        words, command = text.split()[1:], main
        while isinstance(command, click.Group) and words and words[0].replace("-", "").replace("_", "").islower():
            name, *words = words
            found = command.get_command(click.Context(command), name.rstrip(",.;"))
            assert found, f"{page}: {text}"
            command = found
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        given = {word.split("=")[0] for word in words if word.startswith("--") and len(word) > 2}
        assert given <= options | {"--help", "--version"}, f"{page}: {text}"


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_examples_run(page: str, page_folder: Path, bpnet: Run) -> None:
    names: dict = {}
    for block in blocks(page):
        if block.reason:
            continue
        if block.language == "bash":
            ran = [run(words, bpnet, block) for words in commands(block.text)]
            assert ran, f"{page}:{block.line}: no bpnet line, so give a reason why it is not run"
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)


def run(words: list[str], bpnet: Run, block: Block) -> None:
    more = [word for change in SHORT for word in ("--set", change)] if words[0] == "train" else []
    result = bpnet(*words, *more)
    assert result.exit_code == 0, f"{block.page}:{block.line}: bpnet {' '.join(words)}\n{result.output}"


@pytest.mark.parametrize("page", PAGES)
def test_specs_and_json_are_valid(page: str, page_folder: Path, bpnet: Run) -> None:
    for block in blocks(page):
        if block.reason:
            continue
        if block.language == "yaml":
            Path("block.yaml").write_text(block.text)
            result = bpnet("spec", "check", "block.yaml")
            assert result.exit_code == 0, f"{page}:{block.line}: {result.output}"
        elif block.language == "json":
            for text in split_json(block.text):
                json.loads(text)


def split_json(text: str) -> list[str]:
    """One value, or one value a line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return text.splitlines()
    return [text]


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "console" for b in blocks(page))])
def test_the_output_is_what_the_page_shows(
    page: str, page_folder: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpnet_cli.cli.on_a_terminal", lambda: True)
    Path("mine.yaml").write_text("name: mine\nmodel:\n  stagse: 3\n")
    sides = ", ".join(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist"))
    Path("arm.yaml").write_text(f"name: arm\nkeypoints: [{sides}]\nlimbs: [[left_shoulder, left_elbow], {WRONG}]\n")
    for block in blocks(page):
        if block.language == "console" and not block.reason:
            first, *output = block.text.splitlines()
            (words,) = commands(first)
            assert bpnet(*words).output.splitlines() == output, f"{page}:{block.line}"


def test_the_python_page_gives_the_keypoint_back(page_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    for block in blocks("docs/python.md"):
        exec(block.text, names)
    score, x, y = (float(word) for word in re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out)[-4:-1])
    assert score > 0
    assert (x, y) == pytest.approx((100, 60), abs=1)
