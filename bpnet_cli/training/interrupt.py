"""Stopping a run cleanly on Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from bpnet_cli.signals import handled

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers a request to stop the run: Ctrl-C, or SIGTERM, which clusters send before they kill a process."""

    def __init__(self) -> None:
        self.made = False

    def listening(self) -> AbstractContextManager[None]:
        """Handle the signals while the context is open. The second signal stops at once, by KeyboardInterrupt."""
        return handled(_SIGNALS, self._note)

    def _note(self, number: int, frame: FrameType | None) -> Any:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        # `print` is not safe here: the signal may have interrupted another `print`.
        os.write(2, b"\nstopping after this step; once more stops at once\n")
