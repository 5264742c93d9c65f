"""A window for pictures, in a process of its own.

PyAV and OpenCV bring copies of X11's libraries: in a process that has loaded PyAV, OpenCV's first window never comes
back. And where a display can't be reached, OpenCV's windows end their process without an error that could be
caught.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from contextlib import suppress
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError

_NAME = "bpnet"
_READY = b"ready\n"
_SIZE = struct.Struct("<II")
_ENDING_KEYS = (ord("q"), 27)


class Window:
    """Shows pictures until the user presses q or Esc. To be closed. Raises BpnetError where no window can be opened."""

    def __init__(self) -> None:
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise BpnetError("--show: there is no display here; leave out --show")
        words = [sys.executable, "-m", "bpnet_cli.inference.window"]
        pipe, errors = subprocess.PIPE, TemporaryFile()  # noqa: SIM115 - it lives as long as the window
        self._errors = errors
        self._child = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True)
        if self._child.stdout is None or self._child.stdout.readline() != _READY:
            self._child.communicate()
            errors.seek(0)
            why = errors.read().decode(errors="replace").strip().splitlines() or ["unknown reason"]
            errors.close()
            raise BpnetError(
                f"--show: no window can be opened ({why[0]}); leave out --show, or see if DISPLAY is right"
            )

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a (H, W, 3) uint8 RGB picture. Raises KeyboardInterrupt where the user has ended it."""
        height, width = picture.shape[:2]
        if self._child.stdin is None:
            return
        try:
            self._child.stdin.write(_SIZE.pack(height, width) + picture[..., :3].tobytes())
            self._child.stdin.flush()
        except BrokenPipeError:
            raise KeyboardInterrupt from None

    def close(self) -> None:
        """Close the window."""
        self._child.kill()
        with suppress(BrokenPipeError):
            self._child.communicate()
        self._errors.close()


def _serve() -> None:
    """The window's process: pictures come through the standard input, each after its height and width."""
    cv2.namedWindow(_NAME, cv2.WINDOW_NORMAL)
    sys.stdout.buffer.write(_READY)
    sys.stdout.flush()
    while len(size := sys.stdin.buffer.read(_SIZE.size)) == _SIZE.size:
        height, width = _SIZE.unpack(size)
        data = sys.stdin.buffer.read(3 * height * width)
        if len(data) < 3 * height * width:
            return
        picture = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        cv2.imshow(_NAME, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF in _ENDING_KEYS:
            return


if __name__ == "__main__":
    _serve()
