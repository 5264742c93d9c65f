"""`python docs/make/reference.py` writes docs/commands.md and docs/spec_keys.md. A test says when they are old."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from commands import commands_page  # noqa: E402
from spec_keys import spec_keys_page  # noqa: E402

from bpnet_cli.cli import main as bpnet  # noqa: E402


def pages() -> dict[str, str]:
    """The made pages: Markdown by name of the file in docs/."""
    schema = json.loads((ROOT / "specs" / "schema" / "experiment.schema.json").read_text(encoding="utf-8"))
    return {"commands.md": commands_page(bpnet), "spec_keys.md": spec_keys_page(schema)}


if __name__ == "__main__":
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
