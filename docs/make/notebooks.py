"""The notebooks of examples/ as pages of the site, with the outputs that are stored in them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ENDINGS = {"image/jpeg": "jpg", "image/png": "png"}
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The page as Markdown, and its pictures by name: `NAME/3.jpg` for the third output of the notebook NAME.ipynb."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for cell in cells:
        text = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(text)
        elif cell["cell_type"] == "code" and text:
            parts += [_code(text), *_outputs(cell.get("outputs", []), path.stem, pictures)]
    title, *rest = parts
    note = f"*This page is a notebook that CI runs: [{path.name}]({path.name}).*"
    return "\n\n".join([title, note, *rest]) + "\n", pictures


def _code(text: str) -> str:
    language = "python"
    if text.startswith("%%bash"):
        language, text = "bash", text.partition("\n")[2].removeprefix("set -e\n")
    return f"```{language}\n{text}\n```"


def _outputs(outputs: list[dict[str, Any]], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """A block for texts that follow each other, and a link for each picture, which is added to `pictures`."""
    texts: list[str] = []
    for output in outputs:
        data = output.get("data", {})
        kind = next((kind for kind in _ENDINGS if kind in data), None)
        if kind is None:
            texts.append("".join(output.get("text", data.get("text/plain", ""))))
            continue
        yield from _text(texts)
        texts = []
        picture = f"{name}/{len(pictures) + 1}.{_ENDINGS[kind]}"
        pictures[picture] = base64.b64decode("".join(data[kind]))
        yield f"![Output of the cell above]({picture})"
    yield from _text(texts)


def _text(texts: list[str]) -> Iterator[str]:
    text = _COLOURS.sub("", "".join(texts)).strip("\n")
    if text:
        yield f"```text\n{text}\n```"
