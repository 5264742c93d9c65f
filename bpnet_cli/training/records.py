"""The logs of a run: `history.csv`, `status.jsonl`, TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.files import write_text, writing


class History:
    """`history.csv`: one row per epoch. When it is reopened, rows of epochs after `finished_epochs` are dropped."""

    def __init__(self, path: Path, finished_epochs: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file() and finished_epochs:
            with open(path, newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= finished_epochs]

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row and write the file."""
        self.rows.append(dict(row))
        names = list(dict.fromkeys(name for entry in self.rows for name in entry))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())


class Status:
    """`status.jsonl`: one line per event, for programs that watch a run; path None writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def add(self, status: str, message: str, **values: Any) -> None:
        """Append a line. status: STARTED, RUNNING, SUCCESS, FAILURE or INTERRUPTED. Raises BpnetError."""
        time = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._append(json.dumps({"time": time, "status": status, "message": message, **values}) + "\n")

    def begin(self) -> None:
        """Create the file where it is missing. Raises BpnetError."""
        self._append("")

    def _append(self, text: str) -> None:
        if self.path is None:
            return
        with writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(text)


class TensorBoardLog:
    """Scalars and pictures for TensorBoard.

    tensorboardX's `SummaryWriter` isn't used: its thread dies on a full disk, and then the run may wait for ever.
    """

    def __init__(self, directory: Path) -> None:
        """Raises BpnetError where the folder can't be written to."""
        from tensorboardX.event_file_writer import EventsWriter

        self._directory = directory
        with writing(self._directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(directory / "events"))

    def add(self, step: int, scalars: Mapping[str, float], pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Write scalars and (H, W, 3) uint8 RGB pictures of one step. Raises BpnetError."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import image, scalar

        summaries = [scalar(name, value) for name, value in scalars.items()]
        summaries += [image(name, picture, dataformats="HWC") for name, picture in pictures.items()]
        with writing(self._directory):
            for summary in summaries:
                self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._writer.flush()

    def close(self) -> None:
        """Close the event file. Raises BpnetError."""
        with writing(self._directory):
            self._writer.close()
