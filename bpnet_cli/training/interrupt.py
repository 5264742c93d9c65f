"""Leaving a run in good order when it is told to stop."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

from bpnet_cli.signals import handled

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked the run to stop (Ctrl-C, or SIGTERM as a cluster sends it before it kills)."""

    def __init__(self) -> None:
        self.made = False

    def listening(self) -> AbstractContextManager[None]:
        """Take the signals for a while. The second one stops at once, as it would without this."""
        return handled(_SIGNALS, self._note)

    def _note(self, number: int, frame: FrameType | None) -> Any:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        # Printing is not safe here: the signal may have come in the middle of it.
        os.write(2, b"\nstopping after this step; once more stops at once\n")
