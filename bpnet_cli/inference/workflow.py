"""`bpnet infer`: photos, folders and videos in; result files out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path, check_folder, write_text
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.inference.load import load_predictor
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import coco_entries, coco_order, image_entry, model_entry, skeleton_entry
from bpnet_cli.inference.sources import (
    Inputs,
    PhotoInput,
    VideoInput,
    find_inputs,
    read_ahead,
    read_frames,
    read_photo,
    video_rate,
    write_photo,
)
from bpnet_cli.log import progress
from bpnet_cli.pose.person import Person


@dataclass
class Summary:
    """What happened. failed: (input, reason) pairs."""

    photos: int = 0
    frames: int = 0
    persons: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """For the terminal."""
        parts = [f"{self.photos} photos"] if self.photos or not self.frames else []
        parts += [f"{self.frames} video frames"] if self.frames else []
        lines = [f"{self.persons} people in {' and '.join(parts)}: {', '.join(self.written)}"]
        lines += [f"failed: {name}: {reason}" for name, reason in self.failed]
        return "\n".join(lines)


def infer_inputs(
    words: Sequence[str],
    model_path: str,
    results_dir: Path,
    overrides: Sequence[str],
    annotate: bool,
    max_frames: int | None,
    engine: str,
) -> Summary:
    """Run a model on everything that `words` name and write the result files; one bad photo doesn't stop the rest.

    overrides, engine: see `load_predictor`. Raises BpnetError when an input doesn't exist or nothing could be read.
    """
    check_folder(results_dir)
    inputs = find_inputs(words, results_dir)
    predictor = load_predictor(model_path, overrides, engine=engine)
    summary = Summary(failed=list(inputs.problems))
    drawn = results_dir / "annotated" if annotate else None
    if inputs.photos or not inputs.videos:
        _infer_photos(inputs, predictor, model_path, results_dir, drawn, summary)
    for video in inputs.videos:
        _infer_video(video, predictor, results_dir, drawn, max_frames, summary)
    if summary.failed and not summary.photos and not summary.frames:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in summary.failed)
        raise BpnetError(f"none of the inputs could be used:\n{reasons}")
    return summary


def _infer_photos(
    inputs: Inputs, predictor: Predictor, model_path: str, results_dir: Path, drawn: Path | None, summary: Summary
) -> None:
    skeleton = predictor.backend.metadata.skeleton
    entries: list[dict[str, Any]] = []
    coco: list[dict[str, Any]] = []
    names = coco_order(skeleton)
    read = read_ahead(inputs.photos, _read_or_reason)
    numbered = zip(inputs.photos, _image_ids(inputs.photos), read, strict=True)
    for source, image_id, photo in progress(numbered, len(inputs.photos), "photos"):
        if isinstance(photo, str):
            summary.failed.append((str(source.path), photo))
            continue
        persons = predictor.predict(photo)
        height, width = photo.shape[:2]
        entries.append(image_entry(source.name, width, height, persons))
        for entry in coco_entries(image_id, persons, skeleton, names):
            coco.append({"file_name": source.name, **entry})
        summary.photos += 1
        summary.persons += len(persons)
        if drawn is not None:
            write_photo(drawn / source.name, draw_persons(photo, persons, skeleton))
    if not entries:
        return
    result = {
        "model": model_entry(predictor.backend.metadata, model_path),
        "skeleton": skeleton_entry(skeleton),
        "images": entries,
        "failed": [{"file": name, "reason": reason} for name, reason in summary.failed],
    }
    write_text(results_dir / "detections.json", json.dumps(result))
    write_text(results_dir / "coco_results.json", json.dumps(coco))
    summary.written += [str(results_dir / "detections.json"), str(results_dir / "coco_results.json")]
    summary.written += [str(drawn)] if drawn is not None else []


def _read_or_reason(source: PhotoInput) -> NDArray[np.uint8] | str:
    try:
        return read_photo(source.path)
    except BpnetError as error:
        return str(error).removeprefix(f"{source.path}: ")


def _image_ids(photos: Sequence[PhotoInput]) -> list[int]:
    """COCO wants numbers: the files' own where all names are different ones (000000001234.jpg), else their places."""
    stems = [photo.path.stem for photo in photos]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(photos) + 1))


def _infer_video(
    video: VideoInput,
    predictor: Predictor,
    results_dir: Path,
    drawn: Path | None,
    max_frames: int | None,
    summary: Summary,
) -> None:
    """One JSON line per frame, and an annotated copy under the same name; both appear when the last frame is done."""
    rate, count = video_rate(video.source)
    wanted = min(count or max_frames, max_frames) if max_frames else count
    lines = results_dir / f"{video.name}.jsonl"
    frames = 0
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open(stack.enter_context(atomic_path(lines)), "w", encoding="utf-8"))
            canvas = stack.enter_context(_VideoCopy(drawn / video.name, rate)) if drawn is not None else None
            stream = islice(read_frames(video.source), max_frames)
            for frames, frame in enumerate(progress(stream, wanted, video.name), start=1):
                persons = predictor.predict(frame)
                file.write(json.dumps(_frame_entry(video, frames - 1, rate, frame, persons)) + "\n")
                summary.persons += len(persons)
                if canvas is not None:
                    canvas.add(draw_persons(frame, persons, predictor.backend.metadata.skeleton))
            if not frames:
                raise BpnetError(f"{video.source}: no frame could be read")
    except BpnetError as error:
        summary.failed.append((video.source, str(error).removeprefix(f"{video.source}: ")))
        return
    # Containers state their length only roughly.
    if wanted and frames < 0.95 * wanted - 1:
        summary.failed.append((video.source, f"only {frames} of {wanted} frames could be read; is the file complete?"))
    summary.frames += frames
    summary.written += [str(lines), *([str(drawn / video.name)] if drawn is not None else [])]


class _VideoCopy:
    """A video that appears under its name when it is whole."""

    CODES: ClassVar[dict[str, str]] = {".avi": "MJPG", ".webm": "VP80"}

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.writer: cv2.VideoWriter | None = None

    def __enter__(self) -> _VideoCopy:
        self.atomic = atomic_path(self.path)
        self.temporary = self.atomic.__enter__()
        return self

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a (H, W, 3) uint8 RGB frame; the first one sets the size. Raises BpnetError."""
        if self.writer is None:
            code = cv2.VideoWriter.fourcc(*self.CODES.get(self.path.suffix.lower(), "mp4v"))
            height, width = picture.shape[:2]
            self.writer = cv2.VideoWriter(str(self.temporary), code, self.rate, (width, height))
            if not self.writer.isOpened():
                raise BpnetError(f"{self.path}: OpenCV can't write this kind of video here; use --no-annotate")
        self.writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def __exit__(self, *error: Any) -> None:
        if self.writer is not None:
            self.writer.release()
        self.atomic.__exit__(*error)


def _frame_entry(
    video: VideoInput, index: int, rate: float, frame: NDArray[np.uint8], persons: Sequence[Person]
) -> dict[str, Any]:
    height, width = frame.shape[:2]
    return {"frame": index, "seconds": round(index / rate, 4), **image_entry(video.name, width, height, persons)}
