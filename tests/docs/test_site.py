"""The pages that are made from the code are current, and the site gets what it needs from outside of docs/."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

MAKE = ROOT / "docs" / "make"


@pytest.fixture(autouse=True)
def makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MAKE))


def test_the_reference_pages_are_current() -> None:
    from reference import pages  # type: ignore[import-not-found]

    for name, text in pages().items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name} is old: run `python docs/make/reference.py`"


def test_the_page_of_keys_has_every_key() -> None:
    """By another way through the schema than the page's own."""
    schema = json.loads((ROOT / "specs" / "schema" / "experiment.schema.json").read_text())
    page = (ROOT / "docs" / "spec_keys.md").read_text()
    for definition in schema["$defs"].values():
        for key, about in definition["properties"].items():
            start = f"| `{key}` | "
            rows = [line for line in page.splitlines() if line.startswith(start)]
            assert rows, key
            if "description" in about and "|" not in about["description"]:
                assert any(about["description"] in row for row in rows), key


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    from notebooks import notebook_page  # type: ignore[import-not-found]

    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {
            "cell_type": "code",
            "source": "%%bash\nset -e\nbpnet --version",
            "outputs": [
                {"output_type": "stream", "text": "\x1b[31mone\x1b[0m\n"},
                {"output_type": "stream", "text": ["two\n"]},
                {"output_type": "display_data", "data": {"image/png": base64.b64encode(b"p").decode()}},
            ],
        },
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    text, pictures = notebook_page(tmp_path / "n.ipynb")
    assert text.startswith("# Title\ntext\n\n*This page")
    assert "```bash\nbpnet --version\n```\n\n```text\none\ntwo\n```\n\n![" in text
    assert pictures == {"n/1.png": b"p"}


def test_links_and_equations_of_the_site() -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    code = """
import sys; sys.path.insert(0, "docs/make")
from types import SimpleNamespace as N
from hooks import on_page_markdown as to_site
def page(text, name): return to_site(text, N(file=N(src_uri=name)), None, None)
print(page("[a](../examples/onnx_client.py) [b](../CONTRIBUTING.md#the-house) [c](infer.md)", "start.md"))
print(page("[a](../../examples/onnx_client.py) [b](../infer.md)", "deploy/index.md"))
print(page("[a](docs/start.md) [b](LICENSE)", "contributing.md"))
print(page("[a](../examples/nothing.py) [b](../examples/1_find_people.ipynb)", "tao.md"))
print(page("[a](2_fine_tune.ipynb) [b](../docs/results.md) [c](1_find_people.ipynb)", "notebooks/1_find_people.md"))
print(page("```\\n$$\\nx\\n$$\\n[a](../LICENSE)\\n```\\n", "tao.md"))
print(page("$$\\n\\\\frac{1}{2}\\n$$\\nit costs $ 5", "tao.md"))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert lines[0] == "[a](files/examples/onnx_client.py) [b](contributing.md#the-house) [c](infer.md)"
    assert lines[1] == "[a](../files/examples/onnx_client.py) [b](../infer.md)"
    assert lines[2] == "[a](start.md) [b](files/LICENSE)"
    assert lines[3] == "[a](../examples/nothing.py) [b](notebooks/1_find_people.md)"
    assert lines[4] == "[a](2_fine_tune.md) [b](../results.md) [c](../files/examples/1_find_people.ipynb)"
    assert lines[5:10] == ["```", "$$", "x", "$$", "[a](../LICENSE)"]
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in result.stdout
    assert lines[-1] == "it costs $ 5"
