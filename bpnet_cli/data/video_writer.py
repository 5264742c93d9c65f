"""Writing H.264 video with FFmpeg's libraries (PyAV), with the time stamps and the sound of a source."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from bpnet_cli.data.video import reason
from bpnet_cli.errors import DataError
from bpnet_cli.files import atomic_path

# Endings of containers that can hold H.264 with any time stamps, and FFmpeg's names of these containers.
_CONTAINERS = {
    **{".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".3gp": "3gp", ".flv": "flv"},
    **{".ts": "mpegts", ".mts": "mpegts", ".m2ts": "mpegts"},
}
# Sound in these codecs is copied as it is; other sound is encoded as AAC.
_COPIED_SOUND = ("aac", "mp3")
# Options of x264. Without B-frames, packets have the order of the frames.
_QUALITY = {"crf": "20", "preset": "veryfast", "bf": "0"}
# The finest unit of time stamps; it is the one of MPEG.
_FINEST = Fraction(1, 90_000)
# Sound begins a little before the first picture in many files (seconds). Earlier sound belongs to pictures left out.
_EARLY_SOUND = 0.1


def video_name(name: str) -> str:
    """The name of an H.264 copy of a video: the same name, with `.mp4` added where its container can't hold H.264."""
    return name if Path(name).suffix.lower() in _CONTAINERS else f"{name}.mp4"


class VideoWriter:
    """Writes a video, H.264 without transparency. To be used in a `with`.

    The file gets its name at the end of the block, when it is complete and closed. After an error in the block, and
    where nothing was added, no file is left.
    path: its ending is one that `video_name` keeps. rate: frames per second. base: unit of time stamps in seconds; by
    default a frame. sound: the source's sound track (of `VideoReader`), whose packets will be given to `add_sound`.
    `add`, `add_sound` and the end of the block raise DataError, with the reason, where the file can't be written.
    """

    def __init__(self, path: Path, rate: Fraction, base: Fraction | None = None, sound: Any = None) -> None:
        self.path, self.rate, self.sound = path, rate, sound
        self.base = max(base or 1 / rate, _FINEST)
        self._stack = ExitStack()
        self._container: Any = None
        self._zero = Fraction(0)
        self._last = -1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._container is None:
            return
        if kind is not None:
            self._drop(kind, error, at)
            return
        try:
            self._mux(self._pictures.encode(None))
            if self._heard is not None and not self._copied:
                self._mux(self._heard.encode(None))
            self._container.close()
        except (av.FFmpegError, OSError, ValueError) as problem:
            self._fail(problem)
        self._stack.close()

    def add(self, picture: NDArray[np.uint8], time: Fraction | None = None, duration: Fraction | None = None) -> None:
        """Append a picture, (H, W, 3) uint8 RGB; the first one sets the size, others are scaled to it.

        time: time stamp in seconds, the next frame's by default. The video begins at the first one. duration: seconds.
        """
        try:
            if self._container is None:
                self._begin(picture, time or Fraction(0))
            self._add_picture(picture, time, duration)
        except (av.FFmpegError, OSError, ValueError) as problem:
            self._fail(problem)

    def add_sound(self, packets: Iterable[Any]) -> None:
        """Append packets of the source's sound track, after the first picture."""
        try:
            for packet in packets:
                self._add_packet(packet)
        except (av.FFmpegError, OSError, ValueError) as problem:
            self._fail(problem)

    def _begin(self, picture: NDArray[np.uint8], zero: Fraction) -> None:
        temporary = self._stack.enter_context(atomic_path(self.path))
        self._container = av.open(f"file:{temporary}", "w", format=_CONTAINERS[self.path.suffix.lower()])
        self._zero = zero
        height, width = picture.shape[:2]
        # 4:2:0 needs an even size: a last row or column is doubled.
        self._size = (width + width % 2, height + height % 2)
        self._pictures = self._container.add_stream("libx264", rate=self.rate, options=_QUALITY)
        self._pictures.width, self._pictures.height = self._size
        self._pictures.pix_fmt = "yuv420p"
        context = self._pictures.codec_context
        context.time_base = self.base
        # Players take untagged video of more than 576 rows as BT.709, and other video as BT.601.
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        self._copied = self.sound is not None and self.sound.codec_context.name in _COPIED_SOUND
        self._heard: Any = None
        if self._copied:
            self._heard = self._container.add_stream_from_template(self.sound)
        elif self.sound is not None:
            self._heard = self._container.add_stream("aac", rate=self.sound.codec_context.sample_rate)

    def _add_picture(self, picture: NDArray[np.uint8], time: Fraction | None, duration: Fraction | None) -> None:
        moment = self._last + 1 if time is None else round((time - self._zero) / self.base)
        self._last = max(moment, self._last + 1)
        frame = av.VideoFrame.from_ndarray(self._fitted(picture), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = self._last, self.base
        frame.duration = round(duration / self.base) if duration else 0
        self._mux(self._pictures.encode(frame))

    def _fitted(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        width, height = self._size
        below, beside = height - picture.shape[0], width - picture.shape[1]
        if (below, beside) == (0, 0):
            return np.ascontiguousarray(picture)
        if below in (0, 1) and beside in (0, 1):
            return np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")
        return np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)

    def _add_packet(self, packet: Any) -> None:
        shift = round(self._zero / packet.time_base)
        if (shift - packet.pts) * packet.time_base > _EARLY_SOUND:
            return
        if self._copied:
            packet.pts, packet.dts = packet.pts - shift, (packet.pts if packet.dts is None else packet.dts) - shift
            packet.stream = self._heard
            self._container.mux(packet)
            return
        for heard in packet.decode():
            heard.pts = None if heard.pts is None else heard.pts - round(self._zero / heard.time_base)
            self._mux(self._heard.encode(heard))

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _fail(self, problem: BaseException) -> None:
        error = DataError(f"{self.path}: can't be written ({reason(problem)})")
        self._drop(type(error), error, None)
        raise error from None

    def _drop(self, kind: type[BaseException], error: BaseException | None, at: TracebackType | None) -> None:
        """Close and delete the unfinished file."""
        if self._container is not None:
            with suppress(av.FFmpegError, OSError, ValueError):  # the error is known already
                self._container.close()
            self._stack.__exit__(kind, error, at)
