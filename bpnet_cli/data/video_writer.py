"""Writing H.264 video."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.files import atomic_path


class VideoWriter:
    """Writes a video, H.264. To be used in a `with`. path: ends in .mp4. rate: frames per second."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self._stack = ExitStack()
        self._stream: Any = None

    def __enter__(self) -> VideoWriter:
        self._temporary = self._stack.enter_context(atomic_path(self.path, flush=False))
        self._container = av.open(str(self._temporary), "w", format="mp4")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._stack.__exit__(kind, error, at)

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture, (H, W, 3) uint8 RGB."""
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self.rate, options={"crf": "20"})
            self._stream.height, self._stream.width = (size + size % 2 for size in picture.shape[:2])
            self._stream.pix_fmt = "yuv420p"
        pads = [(0, size % 2) for size in picture.shape[:2]]
        frame = av.VideoFrame.from_ndarray(np.pad(picture, (*pads, (0, 0)), mode="edge"), format="rgb24")
        self._container.mux(self._stream.encode(frame))
