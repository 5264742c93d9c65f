"""Cameras, and streams without an end: read until they end, with new connections where one is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from bpnet_cli.data.address import is_address
from bpnet_cli.data.video import UNKNOWN_RATE, Frame, VideoReader
from bpnet_cli.errors import DataError
from bpnet_cli.log import say

# Waits before new connections, in seconds. With a last attempt after these, a stream may be away for half a minute.
_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)
_CAMERA_BASE = Fraction(1, 1000)


class Video(Protocol):
    """What can be read as a video, see `VideoReader`. It is used in a `with`."""

    base: Fraction
    rate: Fraction
    count: int | None
    sound: Any
    problem: str
    late_sound: tuple[Any, ...]

    def frames(self) -> Iterator[Frame]:
        """All frames, in order."""

    def __enter__(self) -> Video:
        """Returns itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Closes it."""


def open_video(source: str | int, every: int = 1, start: float | None = None, end: float | None = None) -> Video:
    """A reader for a file, an address or the number of a camera; the other arguments: see `VideoReader`.

    Raises DataError where it can't be opened.
    """
    if isinstance(source, int):
        return Camera(source, every, end)
    reader = VideoReader(source, every, start, end)
    return Stream(source, reader) if is_address(source) and reader.stated_end is None else reader


@dataclass(eq=False)
class Stream:
    """An address without a stated end, as `Video`; without sound.

    After a lost connection it is opened again, for about half a minute; time stamps go on by the clock of this machine.
    reader: the first connection. wait: sleeps so many seconds.
    """

    source: str
    reader: VideoReader
    wait: Callable[[float], object] = time.sleep
    count: int | None = field(init=False, default=None)
    sound: Any = field(init=False, default=None)
    late_sound: tuple[Any, ...] = field(init=False, default=())
    problem: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.base, self.rate = self.reader.base, self.reader.rate

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        self.reader.__exit__(*error)

    def frames(self) -> Iterator[Frame]:
        """See `VideoReader.frames`. A stream that ends by itself ends here; `problem` tells of a lost connection."""
        last: Frame | None = None
        while True:
            received = time.monotonic()
            shift = number = None
            try:
                for frame in self.reader.frames():
                    if shift is None or number is None:  # the first frame of this connection
                        shift, number = self._after(last, frame, time.monotonic() - received)
                    received = time.monotonic()
                    last = frame._replace(number=frame.number + number, time=frame.time + shift, sound=())
                    yield last
                self.problem, broken = self.reader.problem, self.reader.broken
            except DataError as error:  # connected, but no picture came
                if last is None:
                    raise
                self.problem, broken = str(error), True
            if not broken or not self._connected_again():
                return

    def _after(self, last: Frame | None, frame: Frame, away: float) -> tuple[int, int]:
        """What to add to the time and the number of a connection's first frame; away: seconds since the last frame."""
        if last is None:
            return 0, 0
        return last.time + max(1, round(away / self.base)) - frame.time, last.number + self.reader.every

    def _connected_again(self) -> bool:
        for seconds in _WAITS:
            say(f"{self.reader.shown}: the connection was lost; trying again in {seconds:g} s")
            self.wait(seconds)
            self.reader.__exit__(None, None, None)
            try:
                self.reader = VideoReader(self.source, self.reader.every, None, self.reader.end)
            except DataError:
                continue
            return True
        self.problem = f"the connection was lost, and {len(_WAITS)} attempts to connect again failed"
        return False


@dataclass(eq=False)
class Camera:
    """A camera of this machine as `Video`, through OpenCV, with time stamps of this machine's clock from 0 on.

    number: OpenCV's number. every: give every n-th frame. end: seconds. Raises DataError where it can't be opened.
    """

    number: int
    every: int = 1
    end: float | None = None
    count: int | None = field(init=False, default=None)
    sound: Any = field(init=False, default=None)
    late_sound: tuple[Any, ...] = field(init=False, default=())
    problem: str = field(init=False, default="")
    base: Fraction = field(init=False, default=_CAMERA_BASE)

    def __post_init__(self) -> None:
        self.capture = cv2.VideoCapture(self.number)
        if not self.capture.isOpened():
            raise DataError(f"camera:{self.number}: can't be opened; is it connected, and not in use?")
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.rate = (Fraction(round(rate)) if 1 <= rate <= 1000 else UNKNOWN_RATE) / self.every

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.release()

    def frames(self) -> Iterator[Frame]:
        """See `VideoReader.frames`."""
        index, begin = 0, time.monotonic()
        while True:
            ok, image = self.capture.read()
            now = round((time.monotonic() - begin) / self.base)
            if not ok:
                self.problem = "the camera sent no more pictures"
                return
            if self.end is not None and now * self.base >= self.end:
                return
            if index % self.every == 0:
                yield Frame(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), index, now, self.base)
            index += 1
