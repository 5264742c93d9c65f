"""`bpnet docs`, the pages that errors name, and completion in shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bpnet_cli.cli.docs_verb import pages_folder
from tests.cli.conftest import Run

PACKAGE = Path(__file__).parents[2] / "bpnet_cli"


def test_all_pages_are_listed_with_their_titles(bpnet: Run) -> None:
    output = bpnet("docs").output
    pages = {path.relative_to(pages_folder()).as_posix().removesuffix(".md") for path in pages_folder().rglob("*.md")}
    listed = dict(re.findall(r"^(\S+)  +(\S.*)$", output, re.MULTILINE))
    assert pages == listed.keys() >= {"start", "your_photos", "deploy/index", "commands"}
    assert listed["start"] == "Start here"
    assert str(pages_folder()) in output


@pytest.mark.parametrize("word", ["start", "docs/start.md", "START", "your-photos", "deploy", "deploy/index"])
def test_a_page_is_printed(bpnet: Run, word: str) -> None:
    name = {"your-photos": "your_photos", "deploy": "deploy/index", "deploy/index": "deploy/index"}.get(word, "start")
    assert bpnet("docs", word).output.rstrip() == (pages_folder() / f"{name}.md").read_text().rstrip()


def test_an_unknown_page(bpnet: Run) -> None:
    result = bpnet("docs", "../setup")
    assert result.exit_code == 1
    assert "there is no page '../setup'" in result.output
    assert "did you mean 'start'?" in bpnet("docs", "stort").output


def test_the_pages_that_errors_name_exist() -> None:
    texts = [path.read_text() for path in PACKAGE.rglob("*.py")]
    pattern = r'explained_on\("([^"]+)"|^    page = "([^"]+)"|bpnet docs ([a-z_/]+)'
    named = {"".join(found) for text in texts for found in re.findall(pattern, text, re.MULTILINE)}
    assert {"spec", "labels", "import", "training", "model_card", "distributed"} <= named
    assert [name for name in named if not (pages_folder() / f"{name}.md").is_file()] == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (("spec", "check", "no.yaml"), "spec"),
        (("spec", "import-tao", "no.yaml", "-o", "out.yaml"), "tao"),
        (("dataset", "import", "no", "-o", "out"), "labels"),
        (("spec", "init", "--images", ".", "--annotations", "no.json", "-o", "out"), "label_rules"),
        (("import", "no.onnx", "-o", "out.keras"), "import"),
        (("info", "-m", "no.keras"), "model_file"),
    ],
)
def test_an_error_names_its_page(
    bpnet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], page: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "More: " not in bpnet(*words).output
    monkeypatch.setattr("bpnet_cli.cli.on_a_terminal", lambda: True)
    result = bpnet(*words)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == f"More: bpnet docs {page}"


@pytest.mark.parametrize(
    ("shell", "typed", "expected"),
    [("bash", "exp", "plain,export"), ("zsh", "exp", "plain\nexport"), ("fish", "exp", "plain,export")],
)
def test_words_are_completed(shell: str, typed: str, expected: str) -> None:
    command = "import sys; sys.argv[0] = 'bpnet'; from bpnet_cli.cli import main; main(prog_name='bpnet')"
    place = {"COMP_WORDS": f"bpnet {typed}", "COMP_CWORD": typed if shell == "fish" else "1"}
    environment = {**os.environ, "_BPNET_COMPLETE": f"{shell}_complete", **place}
    result = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(expected)
