"""The code blocks of README and docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# Blocks of these are run or checked; those of OTHERS are only shown.
RUN = {"bash", "python", "yaml", "json", "console"}
OTHERS = {"text", "cpp", "js", "csv", "toml", "dockerfile", "html", "cmake", "pbtxt"}
_FENCE = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(bpnet [^`\n]+)`")


class Block(NamedTuple):
    """A code block. reason: why it is not run; "" if it is. line: of its first line in the page, from 1."""

    page: str
    line: int
    language: str
    text: str
    reason: str


def pages() -> list[str]:
    """README and the pages of docs/, as paths in the repository."""
    found = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "make" not in path.parts]
    return ["README.md", *(path.relative_to(ROOT).as_posix() for path in found)]


def blocks(page: str) -> list[Block]:
    """The code blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start(3)) + 1, match[2], match[3], match[1] or "")
        for match in _FENCE.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `bpnet` line of a shell block, without comments.

    Lines with a backslash go on, and so do values in quotes.
    """
    joined = re.sub(r"'[^']*'", lambda match: re.sub(r"\s+", " ", match[0]), text)
    for line in re.sub(r"\\\n\s*", " ", joined).splitlines():
        try:
            words = shlex.split(line.removeprefix("$ "), comments=True)
        except ValueError:
            continue  # a quote that is open: part of a script in another language
        words = [re.sub(r"\$\w+", "0", word) for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words[:1] == ["bpnet"]:
            ends = [place for place, word in enumerate(words) if word in ("|", "&&", ";", ">", "&")]
            yield words[1 : ends[0] if ends else None]


def inline_commands(page: str) -> list[str]:
    """The commands in the prose of a page: `bpnet ...` between backticks."""
    return _INLINE.findall(_FENCE.sub("", (ROOT / page).read_text(encoding="utf-8")))
