"""The window of `infer --show`."""

from __future__ import annotations

import io
import struct
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from bpnet_cli import BpnetError
from bpnet_cli.inference import window


def test_a_display_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("displays by name are of Linux")
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BpnetError, match=r"--show: no window can be opened \(.+\); leave out --show"):
        window.Window()


class Process:
    """The child process without a display: its code runs when it is closed."""

    def __init__(self, *_: object, **__: object) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(b"ready\n")

    def kill(self) -> None:
        pass

    def communicate(self) -> None:
        pass


@pytest.mark.parametrize(("keys", "shown"), [([-1, -1, -1], 3), ([-1, ord("q"), -1], 2)])
def test_pictures_arrive_until_a_key_ends_it(monkeypatch: pytest.MonkeyPatch, keys: list[int], shown: int) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.subprocess, "Popen", Process)
    one = window.Window()
    pictures = [np.full((4 + i, 6, 3), (10 * i, 0, 200), np.uint8) for i in range(3)]
    for picture in pictures:
        one.show(picture)
    sent = one._child.stdin.getvalue()
    one.close()
    arrived: list[np.ndarray] = []
    pressed = iter(keys)
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, picture: arrived.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(pressed))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(sent + struct.pack("<II", 9, 9))))
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out, flush=lambda: None))
    window._serve()
    assert out.getvalue() == b"ready\n"
    assert len(arrived) == shown
    for picture, original in zip(arrived, pictures, strict=False):
        np.testing.assert_array_equal(picture[..., ::-1], original)


def test_a_closed_window_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.subprocess, "Popen", Process)
    one = window.Window()
    one._child.stdin = Closed()
    with pytest.raises(KeyboardInterrupt):
        one.show(np.zeros((4, 6, 3), np.uint8))
    one.close()
