"""Decoded pictures of a video: their time stamps and those of the sound, and pictures without interlacing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.filter

# A step back in time of more seconds than this is a new clock, as after a cut or a new connection.
_NEW_CLOCK = 0.5
# bwdif needs 3 columns and 4 rows; colours have half of the pixels in each direction.
_SMALLEST = 8


class Clock:
    """Time stamps of decoded pictures in one unit, which never go back.

    A missing time stamp follows from the rate. A small step back counts as the next moment; a large one starts a new
    clock, which goes on where the old one ended.
    """

    def __init__(self, stream: Any, rate: Fraction) -> None:
        self.base = Fraction(stream.time_base)
        self._step = max(1, round(1 / (rate * self.base)))
        self._last: int | None = None
        self._shift = 0

    def stamp(self, picture: Any) -> tuple[int, int]:
        """(time, duration) of a picture in units of `base`; duration 0: unknown."""
        duration = round(picture.duration * Fraction(picture.time_base) / self.base) if picture.duration else 0
        if picture.pts is None:
            time = 0 if self._last is None else self._last + self._step
        else:
            time = round(picture.pts * Fraction(picture.time_base) / self.base) + self._shift
        if self._last is not None and time <= self._last:
            is_new = (self._last - time) * self.base > _NEW_CLOCK
            after = self._last + (self._step if is_new else 1)
            self._shift += after - time if is_new else 0
            time = after
        self._last = time
        return time, duration


class SoundClock:
    """Time stamps of sound packets, which never go back: a large step back starts a new clock, as in `Clock`."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._end = self._shift = 0

    def moved(self, packet: Any) -> bool:
        """Move a packet's time stamps to the clock. False: it lies a little before the last one; leave it out."""
        time = packet.pts + self._shift
        if self._last is not None and time < self._last:
            if (self._last - time) * packet.time_base <= _NEW_CLOCK:
                return False
            self._shift += self._end - time
            time = self._end
        packet.pts = time
        packet.dts = time if packet.dts is None else packet.dts + self._shift
        self._last, self._end = time, time + (packet.duration or 1)
        return True


class Deinterlacer:
    """FFmpeg's filter `bwdif`, from the first interlaced picture on. Progressive pictures pass as they are.

    A filter is made for pictures of one size and format: others crash it. So each change makes a new one.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph: Any = None
        self._kind: tuple[int, int, str] | None = None

    def through(self, pictures: Iterable[Any]) -> Iterator[Any]:
        """The same pictures without interlacing; some come later."""
        for picture in pictures:
            kind = (picture.width, picture.height, picture.format.name)
            if self._kind != kind:
                yield from self.rest()
            if self._graph is None and picture.interlaced_frame and min(kind[:2]) >= _SMALLEST:
                self._graph, self._kind = self._built(picture), kind
            if self._graph is None:
                yield picture
            else:
                self._graph.push(picture)
                yield from self._pulled()

    def rest(self) -> Iterator[Any]:
        """The pictures that the filter still holds. The next interlaced picture gets a new filter."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled()
            self._graph = self._kind = None

    def _built(self, picture: Any) -> Any:
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=self._time_base
            ),
            graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            graph.add("buffersink"),
        ]
        for one, two in pairwise(nodes):
            one.link_to(two)
        graph.configure()
        return graph

    def _pulled(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
