"""The results of a video: files that get one frame after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.live import Video
from bpnet_cli.data.video import Frame
from bpnet_cli.data.video_writer import VideoWriter
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path, flush_all, write_text
from bpnet_cli.inference.openpose import openpose_frame, openpose_text
from bpnet_cli.inference.outputs import Outputs, existing_files
from bpnet_cli.inference.parquet import ParquetRows
from bpnet_cli.inference.results import image_entry, skeleton_entry
from bpnet_cli.inference.table import csv_header, csv_rows, csv_text
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton


class FrameFiles:
    """The files with the people of a video. To be used in a `with`.

    `.jsonl`, CSV and Parquet files get their names at the end of the block; after an error they are dropped. OpenPose's
    files are written one after the other, as OpenPose does it; those of an earlier run are deleted first.
    written: the files and folders. Raises BpnetError where one can't be written.
    """

    def __init__(self, name: str, outputs: Outputs, skeleton: Skeleton, model: dict[str, Any]) -> None:
        self._name, self._outputs, self._skeleton, self._model = name, outputs, skeleton, model
        self._stack = ExitStack()
        self._lines: TextIO | None = None
        self._table: TextIO | None = None
        self._rows: ParquetRows | None = None

    def __enter__(self) -> FrameFiles:
        with self._stack:  # drops the files that are open already where the next one can't be written
            if self._outputs.lines:
                self._lines = self._opened(self._outputs.lines)
                head = {"model": self._model, "skeleton": skeleton_entry(self._skeleton)}
                self._lines.write(json.dumps(head) + "\n")
            if self._outputs.table:
                self._table = self._opened(self._outputs.table)
                self._table.write(csv_text([csv_header(self._skeleton)]))
            if self._outputs.parquet:
                self._rows = ParquetRows(self._stack.enter_context(atomic_path(self._outputs.parquet)), frames=True)
                self._stack.callback(self._rows.close)
            for begin in self._outputs.openpose:
                for path in existing_files(begin):
                    path.unlink()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        with self._stack:
            if error is not None:
                raise error  # so that the files are dropped
            for begin in self._outputs.openpose:
                flush_all(existing_files(begin))

    @property
    def written(self) -> list[Path]:
        """The files; for OpenPose's, their folder."""
        return [*self._outputs.result_files, *(begin.parent for begin in self._outputs.openpose)]

    def add(self, frame: Frame, persons: Sequence[Person]) -> None:
        """Append the people of a frame."""
        seconds = round(frame.seconds, 4)
        height, width = frame.image.shape[:2]
        entry = {"frame": frame.number, "seconds": seconds, **image_entry(self._name, width, height, persons)}
        if self._lines is not None:
            self._lines.write(json.dumps(entry) + "\n")
        if self._rows is not None:
            self._rows.add(entry)
        if self._table is not None:
            self._table.write(csv_text(csv_rows(self._name, frame.number, seconds, persons)))
        for begin in self._outputs.openpose:
            path = begin.with_name(f"{begin.name}{frame.number:012}_keypoints.json")
            write_text(path, openpose_text(openpose_frame(persons, self._skeleton)), flush=False)

    def _opened(self, path: Path) -> TextIO:
        temporary = self._stack.enter_context(atomic_path(path))
        return self._stack.enter_context(open(temporary, "w", encoding="utf-8", newline=""))


class VideoCopy:
    """The annotated copy of a video, with its sound and time stamps. To be used in a `with`.

    It gets its name at the end of the block. problem: why it can't be written; then it is given up, and the other
    results go on.
    """

    def __init__(self, path: Path, video: Video) -> None:
        self.path, self.problem = path, ""
        self._video = video
        self._writer: VideoWriter | None = VideoWriter(path, video.rate, video.base, video.sound)

    def __enter__(self) -> VideoCopy:
        return self

    def add(self, frame: Frame, picture: NDArray[np.uint8]) -> None:
        """Append the picture, (H, W, 3) uint8 RGB, of a frame."""
        if self._writer is None:
            return
        try:
            self._writer.add(picture, frame.time * frame.base, frame.duration * frame.base)
            self._writer.add_sound(frame.sound)
        except BpnetError as error:
            self._give_up(error)

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        if self._writer is None:
            return
        try:
            if kind is None:
                self._writer.add_sound(self._video.late_sound)
            self._writer.__exit__(kind, error, at)
        except BpnetError as problem:
            self._give_up(problem)

    def _give_up(self, error: BpnetError) -> None:
        self.problem, self._writer = str(error).removeprefix(f"{self.path}: "), None
