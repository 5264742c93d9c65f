"""What the user sees while bpnet works: status lines and progress. Also, hides what libraries print."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

# Where the output is not a terminal: seconds between two progress lines, and seconds before the first line.
_LINE_INTERVAL, _FIRST_LINE = 15.0, 3.0
# Environment variable that switches progress off, in processes that work for another one.
NO_PROGRESS = "BPNET_NO_PROGRESS"


# Characters that change what a terminal shows: control characters without tab and line feed, other line ends, and those
# that turn the direction of text.
_HIDDEN = [*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _HIDDEN}
_ONE_LINE = _SHOWN | {9: "\\t", 10: "\\n"}


def shown(text: str) -> str:
    """A text for the terminal: names of files and other words of strangers can't clear it, colour it or hide text."""
    return text.translate(_SHOWN)


def one_line(name: str) -> str:
    """A name for the terminal that can't pass for a line of its own."""
    return name.translate(_ONE_LINE)


def say(text: str) -> None:
    """Print one status line to standard error, as `shown`. Standard output is for results only."""
    print(shown(text), file=sys.stderr, flush=True)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun. many: the plural, where it is not the singular with an "s"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what is printed to standard output inside the block, for pycocotools."""
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        yield


def progress(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    """Yield the items and show progress: a bar on a terminal, elsewhere a line every `_LINE_INTERVAL` seconds.

    Where there was a line, there is also one at the end. Work of less than `_FIRST_LINE` seconds prints no line.
    """
    if NO_PROGRESS in os.environ:
        yield from items
        return
    if sys.stderr.isatty():
        yield from _bar(items, total=total, desc=what, unit="")
        return
    start = time.monotonic()
    due = start + _FIRST_LINE
    done = told = 0

    def tell() -> None:
        say(f"{what}: {done}{f'/{total}' if total else ''} ({done / (time.monotonic() - start):.1f}/s)")

    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() >= due:
            tell()
            told, due = done, time.monotonic() + _LINE_INTERVAL
    if told and told < done:
        tell()


def _bar(items: Iterable[Any] | None = None, **settings: Any) -> Any:
    """A tqdm progress bar that disappears at the end."""
    from tqdm import tqdm

    try:
        known = 0 not in os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        known = True
    # tqdm draws nothing on a terminal without a known size (containers, `script`, serial lines).
    size: dict[str, Any] = {} if known else {"ncols": 80, "nrows": 24}
    return tqdm(items, leave=False, **settings, **size)


class Rate:
    """Items per second since the first call. The first step of a run is not counted, because it builds the graph."""

    def __init__(self) -> None:
        self.first, self.start = 0, math.nan

    def of(self, done: int) -> float:
        """The rate when `done` items are finished; NaN at the first call."""
        now = time.perf_counter()
        if math.isnan(self.start):
            self.first, self.start = done, now
        return (done - self.first) / (now - self.start) if done > self.first else math.nan


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss; "?" for NaN."""
    if math.isnan(seconds):
        return "?"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class Meter:
    """Progress of an epoch in images: a bar on a terminal, elsewhere a line at intervals. The caller counts."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.rate = what, total, Rate()
        self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = _bar(total=total, desc=what, unit=" images")

    def show(self, done: int, note: str) -> None:
        """Show that `done` images of the total are finished. note: a text beside the rate and the time left."""
        rate = self.rate.of(done)
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.last >= _LINE_INTERVAL and not math.isnan(rate):
            self.last = time.monotonic()
            left = duration((self.total - done) / rate)
            say(f"{self.what}: {done}/{self.total} images, {rate:.1f} images/s, epoch done in {left}, {note}")

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
