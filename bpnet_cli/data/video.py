"""Reading video with FFmpeg's libraries (PyAV): frames as players show them, with the time stamps of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.address import is_address, without_login
from bpnet_cli.data.images import most_pixels
from bpnet_cli.data.pictures import Clock, Deinterlacer, SoundClock
from bpnet_cli.errors import DataError
from bpnet_cli.storage import is_remote, place

# Frames per second where a source doesn't tell.
UNKNOWN_RATE = Fraction(25)
# Containers without a rate are given one of tens of thousands.
_MOST_RATE = 1000
# Sample aspect ratios as close to 1 as this come from rounding the picture's size.
_SQUARE = 0.02
# A file that ends so much earlier than it says was cut off: seconds, and share of its length.
_MISSING_SECONDS, _MISSING_SHARE = 0.5, 0.05
# FFmpeg's options by the scheme of an address, without an "s" for encryption. Over UDP, lost packets of RTSP become
# broken pictures.
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp"},
    "http": {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "4"},
}
_OPEN_SECONDS, _READ_SECONDS = 15.0, 15.0


class Frame(NamedTuple):
    """A frame of a video.

    image: (H, W, 3) uint8 RGB, upright and with square pixels, as players show it.
    number: of the frame, counted from 0 at the first one that was read.
    time: the file's time stamp in units of `base` seconds. It never goes back.
    duration: in the same units; 0: unknown.
    sound: packets of the first sound track that were read before this frame, to be copied.
    """

    image: NDArray[np.uint8]
    number: int = 0
    time: int = 0
    base: Fraction = 1 / UNKNOWN_RATE
    duration: int = 0
    sound: tuple[Any, ...] = ()

    @property
    def seconds(self) -> float:
        """The time stamp in seconds."""
        return float(self.time * self.base)


@dataclass(eq=False)
class VideoReader:
    """A video file or an address (http, rtsp, ...). It can be read once. To be used in a `with`.

    source: a path or an address. every: give every n-th frame. start, end: seconds; frames from `start` on, and before
    `end`, by their time stamps.
    base: unit of time stamps, in seconds. rate: frames per second that are given, on average.
    stated_end: the end of the last frame in seconds, as the file states it; None where it doesn't.
    count: number of frames that will be given, only roughly, because files state it so; None: unknown.
    sound: the first sound track, or None.
    problem: after reading, a reason why not all frames could be read; empty: all were read.
    broken: after reading, whether an error ended it, such as a lost connection.
    late_sound: after reading, the packets of sound that came after the last frame.
    Raises DataError where the source can't be opened or has no pictures.
    """

    source: str
    every: int = 1
    start: float | None = None
    end: float | None = None
    problem: str = field(init=False, default="")
    broken: bool = field(init=False, default=False)
    late_sound: tuple[Any, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self.shown = without_login(self.source)
        self._files = ExitStack()
        try:
            self.container = self._open()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._files.close()
            raise DataError(f"{self.shown}: can't be opened as a video ({reason(error)})") from None
        streams = self.container.streams
        # A cover picture in a sound file is a stream of pictures too.
        pictures = [s for s in streams.video if not s.disposition & type(s.disposition).attached_pic]
        usable = [stream for stream in pictures if stream.codec_context is not None]
        if not usable:
            kinds = ", ".join(sorted({stream.type for stream in streams})) or "data"
            self._close()  # from here on, a stream must not be asked for anything
            why = "FFmpeg has no decoder for its video" if pictures else f"has no video, only {kinds}"
            raise DataError(f"{self.shown}: {why}")
        self.stream = usable[0]
        size = (self.stream.codec_context.width, self.stream.codec_context.height)
        most = most_pixels()
        if size[0] * size[1] > most:
            self._close()
            raise DataError(f"{self.shown}: has {size[0]} x {size[1]} pixels, more than {most:,}")
        self.stream.codec_context.options = {"max_pixels": str(most)}  # pictures within may be larger
        self.stream.thread_type = "AUTO"
        self.base = Fraction(self.stream.time_base)
        self.rate = self._average_rate() / self.every
        self.stated_end = self._stated_end()
        self.count = self._count()
        self.sound = next((s for s in streams.audio if s.codec_context is not None), None)
        self._heard = 0.0

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        self.container.close()
        self._files.close()

    def _open(self) -> Any:
        if is_address(self.source):
            options = _OPTIONS.get(self.source.split(":")[0].lower().removesuffix("s"), {})
            waits = (_OPEN_SECONDS, _READ_SECONDS)
            return av.open(self.source, "r", metadata_errors="replace", container_options=options, timeout=waits)
        if is_remote(path := place(self.source)):
            return av.open(self._files.enter_context(path.open()), "r", metadata_errors="replace")
        if self.source.isprintable():  # "file:" lets a name have colons
            return av.open(f"file:{self.source}", "r", metadata_errors="replace")
        # FFmpeg can't open names that are not UTF-8.
        return av.open(self._files.enter_context(open(self.source, "rb")), "r", metadata_errors="replace")

    def _average_rate(self) -> Fraction:
        stream = self.stream
        rates = (rate for rate in (stream.average_rate, stream.guessed_rate) if rate and 0 < rate <= _MOST_RATE)
        return Fraction(next(rates, UNKNOWN_RATE))

    def _stated_end(self) -> float | None:
        if self.stream.duration:
            return float(((self.stream.start_time or 0) + self.stream.duration) * self.stream.time_base)
        if not self.container.duration:
            return None
        # Matroska states the time of the end, other containers state the length.
        start = 0 if "matroska" in self.container.format.name else self.container.start_time or 0
        return float((start + self.container.duration) / av.time_base)

    def _count(self) -> int | None:
        last = self.stated_end
        if last is None:
            return None
        first = float((self.stream.start_time or 0) * self.base)
        seconds = (last if self.end is None else min(last, self.end)) - max(first, self.start or 0)
        return max(1, round(seconds * float(self.rate)))

    def frames(self) -> Iterator[Frame]:
        """The frames in the order in which players show them. Damaged parts are left out, see `problem`.

        Raises DataError where no frame at all can be decoded.
        """
        if self.start:
            self._seek(self.start)
        clock = Clock(self.stream, self.rate * self.every)
        aspect = float(self.stream.sample_aspect_ratio or 1)
        reached, index, decoded = 0.0, 0, False
        kept: list[Any] = []
        for picture, sound in self._pictures():
            time, duration = clock.stamp(picture)
            seconds, decoded = float(time * clock.base), True
            kept += sound
            if self.end is not None and seconds >= self.end:
                return
            if self.start and seconds < self.start:
                kept.clear()
                continue
            reached = seconds + float(duration * clock.base)
            if index % self.every == 0:
                yield Frame(_as_shown(picture, aspect), index, time, clock.base, duration * self.every, tuple(kept))
                kept.clear()
            index += 1
        if not decoded:
            raise DataError(f"{self.shown}: no frame could be read; is it damaged?")
        self._note_missing(max(reached, self._heard))

    def _note_missing(self, reached: float) -> None:
        stated = self.stated_end or 0
        missing = stated - reached
        if not self.problem and missing > max(_MISSING_SECONDS, _MISSING_SHARE * stated):
            self.problem = f"ends at {reached:.1f} s, but the file says {stated:.1f} s; is the file complete?"

    def _seek(self, seconds: float) -> None:
        """Go to the last key frame before a time, where the file allows it. Otherwise all frames are read."""
        try:
            self.container.seek(int(seconds * av.time_base))
        except av.FFmpegError:
            self._close()
            self.__post_init__()

    def _pictures(self) -> Iterator[tuple[Any, list[Any]]]:
        """Decoded pictures without interlacing, each with the packets of sound that were read before it."""
        sound: list[Any] = []
        woven, heard = Deinterlacer(self.stream.time_base), SoundClock()
        for packet in self._packets():
            if packet.stream is self.sound:
                if packet.pts is not None and heard.moved(packet):
                    sound.append(packet)
                    self._heard = max(self._heard, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                continue
            for picture in woven.through(self._decoded(packet)):
                yield picture, sound
                sound = []
        for picture in woven.rest():
            yield picture, sound
            sound = []
        self.late_sound = tuple(sound)

    def _packets(self) -> Iterator[Any]:
        packets = self.container.demux([self.stream] if self.sound is None else [self.stream, self.sound])
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.problem, self.broken = f"the rest can't be read ({reason(error)})", True
                return
            if packet is None:
                return
            yield packet

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except av.FFmpegError:
            self.problem = self.problem or "some frames are damaged and were left out"
            return []


def reason(error: BaseException) -> str:
    """The text of an error of FFmpeg or the system, without numbers and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _as_shown(picture: Any, pixel_aspect: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB with square pixels, turned as the file says. pixel_aspect: width / height of a pixel."""
    image = picture.to_ndarray(format="rgb24")
    if abs(pixel_aspect - 1) > _SQUARE:
        height, width = image.shape[:2]
        image = cv2.resize(image, (max(1, round(width * pixel_aspect)), height), interpolation=cv2.INTER_LINEAR)
    quarter_turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image
