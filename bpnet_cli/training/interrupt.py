"""Leaving a run in good order when it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked the run to stop (Ctrl-C, or SIGTERM as a cluster sends it before it kills)."""

    def __init__(self) -> None:
        self.made = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for a while. The second one stops at once, as it would without this.

        Signals reach a process's first thread only; in others there is nothing to take.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> Any:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        # Printing is not safe here: the signal may have come in the middle of it.
        os.write(2, b"\nstopping after this step; once more stops at once\n")
