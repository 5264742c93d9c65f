"""What the README shows, runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpnet_cli.cli import main
from tests.cli.conftest import Run

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_python_example_runs(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert "demo/quickstart.onnx" in code
    exec(code.replace("demo/quickstart.onnx", str(exported)), {})
    score, x, y = (float(word) for word in re.findall(r"-?\d+\.\d*(?:e-?\d+)?", capsys.readouterr().out)[:3])
    assert score > 0
    assert abs(x - 100) < 1
    assert abs(y - 60) < 1


def test_every_command_in_the_readme_exists() -> None:
    verbs = set(re.findall(r"bpnet ([a-z_]+)(?= )", README)) - {"of"}
    assert {"train", "evaluate", "infer", "export", "info", "spec", "dataset"} <= verbs
    assert verbs <= set(main.commands) | {"infer"}


def test_the_typo_example_is_what_is_printed(tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: mine\nmodel:\n  stagse: 3\n")
    assert bpnet("spec", "check", "mine.yaml").output.strip() in README
