"""What the user sees while work goes on: status lines and progress; and silence from chatty libraries."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

# Seconds between two progress lines where the output is no terminal.
_LINE_INTERVAL = 15.0


def say(text: str) -> None:
    """One status line on standard error, so that standard output stays for results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what pycocotools prints."""
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        yield


def progress(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    """Pass items through: a progress bar on a terminal, a line every few seconds elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=what, unit="", leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _LINE_INTERVAL:
            say(f"{what}: {done}{f'/{total}' if total else ''} ({done / (now - start):.1f}/s)")
            last = now
