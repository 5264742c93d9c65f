"""`bpnet infer`: from photos, folders and videos to result files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path, check_folder, write_text
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.inference.load import load_predictor
from bpnet_cli.inference.outputs import COCO_RESULTS, DETECTIONS, DRAWN, announced, check_overwriting, frames_file
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import coco_entries, coco_order, image_entry, image_ids, model_entry, skeleton_entry
from bpnet_cli.inference.sources import (
    Failure,
    Inputs,
    PhotoInput,
    VideoInput,
    find_inputs,
    opencv_path,
    read_ahead,
    read_frames,
    read_photo,
    video_rate,
    write_photo,
)
from bpnet_cli.inference.summary import Summary
from bpnet_cli.log import counted, progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton


def infer_inputs(
    words: Sequence[str],
    model_path: str,
    results_dir: Path,
    overrides: Sequence[str],
    annotate: bool,
    max_frames: int | None,
    engine: str,
) -> Summary:
    """Run a model on all inputs and write the result files. A bad photo doesn't stop the run.

    words: files, folders, globs and cameras, see `find_inputs`. overrides, engine: see `load_predictor`. annotate: also
    write pictures and videos with the people drawn. max_frames: most frames of each video; None: all.
    Ctrl-C ends the run; the results up to then are written.
    Raises BpnetError where an input doesn't exist, no input can be used, or a file would be overwritten that no earlier
    run wrote.
    """
    check_folder(results_dir)
    inputs = find_inputs(words)
    for line in inputs.left_out:
        say(line)
    drawn = results_dir / DRAWN if annotate else None
    outputs = _check_overwriting(inputs, results_dir, drawn)
    predictor = load_predictor(model_path, overrides, engine=engine)
    summary = Summary(failed=list(inputs.problems))
    with announced(outputs, results_dir):
        if inputs.photos:
            _infer_photos(inputs, predictor, model_path, results_dir, drawn, summary)
        for video in inputs.videos:
            if not summary.stopped:
                _infer_video(video, predictor, results_dir, drawn, max_frames, summary)
    if summary.failed and not summary.photos and not summary.frames and not summary.stopped:
        reasons = "\n".join(f"  {failure.path}: {failure.reason}" for failure in summary.failed)
        raise BpnetError(f"none of the inputs could be used:\n{reasons}")
    if hint := summary.of_nobody(predictor):
        say(hint)
    return summary


def _check_overwriting(inputs: Inputs, results_dir: Path, drawn: Path | None) -> list[Path]:
    """The files that the run will write. Raises BpnetError where one is an input, or exists and isn't a result file."""
    sources = [photo.path for photo in inputs.photos] + [video.path for video in inputs.videos]
    groups: list[tuple[Path, list[Path]]] = []
    if inputs.photos:
        copies = [drawn / photo.name for photo in inputs.photos] if drawn else []
        groups.append((results_dir / DETECTIONS, [results_dir / COCO_RESULTS, *copies]))
    for video in inputs.videos:
        groups.append((frames_file(results_dir, video.name), [drawn / video.name] if drawn else []))
    for evidence, others in groups:
        check_overwriting([evidence, *others], evidence, sources, results_dir)
    return [path for evidence, others in groups for path in (evidence, *others)]


def _infer_photos(
    inputs: Inputs, predictor: Predictor, model_path: str, results_dir: Path, drawn: Path | None, summary: Summary
) -> None:
    ids, why = image_ids([photo.name for photo in inputs.photos])
    if why:
        say(f"{COCO_RESULTS}: image_id is 1, 2, ... in order, not the number in the photo's name: {why}")
    skeleton = predictor.backend.metadata.skeleton
    names = coco_order(skeleton)
    # A photo's entry and its COCO entries are appended together, so that Ctrl-C can't separate them.
    done: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    earlier = len(summary.failed)
    numbered = zip(inputs.photos, ids, read_ahead(inputs.photos, _read_or_reason), strict=True)
    try:
        for source, image_id, photo in progress(numbered, len(inputs.photos), "photos"):
            if isinstance(photo, str):
                summary.failed.append(Failure(str(source.path), photo, source.name))
                continue
            persons = _people(predictor, photo, summary)
            height, width = photo.shape[:2]
            coco = [{"file_name": source.name, **entry} for entry in coco_entries(image_id, persons, skeleton, names)]
            entries = image_entry(source.name, width, height, persons), coco
            if drawn is not None:
                try:
                    write_photo(drawn / source.name, draw_persons(photo, predictor.shown(persons), skeleton))
                except BpnetError as error:
                    check_folder(results_dir)  # ends the run where no file at all can be written
                    reason = str(error).removeprefix(f"{drawn / source.name}: ")
                    summary.failed.append(Failure(str(source.path), f"its drawn copy {reason}", source.name))
                    continue
            done.append(entries)
    except KeyboardInterrupt:
        tried = len(done) + len(summary.failed) - earlier
        summary.stopped = f"stopped after {tried} of {counted(len(inputs.photos), 'photo')}"
    finally:
        # Also after other errors. The result file shows the next run that the pictures are bpnet's.
        if done:
            _write_photos(done, model_entry(predictor.backend.metadata, model_path), skeleton, results_dir, summary)
            summary.written += [str(drawn)] if drawn is not None else []


def _write_photos(
    done: Sequence[tuple[dict[str, Any], list[dict[str, Any]]]],
    model: dict[str, Any],
    skeleton: Skeleton,
    results_dir: Path,
    summary: Summary,
) -> None:
    images = [entry for entry, _ in done]
    failed = [{"file": failure.name, "reason": failure.reason} for failure in summary.failed]
    result = {"model": model, "skeleton": skeleton_entry(skeleton), "images": images, "failed": failed}
    for name, content in ((DETECTIONS, result), (COCO_RESULTS, [entry for _, coco in done for entry in coco])):
        write_text(results_dir / name, json.dumps(content))
        summary.written.append(str(results_dir / name))
    summary.photos += len(images)
    summary.persons += sum(len(entry["persons"]) for entry in images)


def _people(predictor: Predictor, photo: NDArray[np.uint8], summary: Summary) -> list[Person]:
    """The people with at least `min_person_score`; the weaker ones are added to `summary.weaker`."""
    everyone = predictor.everyone(photo)
    persons = predictor.strong(everyone)
    summary.weaker += len(everyone) - len(persons)
    return persons


def _read_or_reason(source: PhotoInput) -> NDArray[np.uint8] | str:
    try:
        return read_photo(source.path)
    except BpnetError as error:
        return str(error).removeprefix(f"{source.path}: ")


def _infer_video(
    video: VideoInput,
    predictor: Predictor,
    results_dir: Path,
    drawn: Path | None,
    max_frames: int | None,
    summary: Summary,
) -> None:
    """Write one JSON line per frame, and an annotated copy of the video if `drawn` is given.

    Both files get their names when the last frame is finished, or after Ctrl-C.
    """
    rate, count = video_rate(video.source)
    wanted = min(count or max_frames, max_frames) if max_frames else count
    lines = frames_file(results_dir, video.name)
    stream = islice(read_frames(video.source), max_frames)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(open(stack.enter_context(atomic_path(lines)), "w", encoding="utf-8"))
            canvas = stack.enter_context(_VideoCopy(drawn / video.name, rate)) if drawn is not None else None
            frames = _infer_frames(video, progress(stream, wanted, video.name), rate, predictor, file, canvas, summary)
    except KeyboardInterrupt:
        summary.stopped = f"stopped before the first frame of {video.name} was finished"
        return
    except BpnetError as error:
        summary.failed.append(Failure(video.source, str(error).removeprefix(f"{video.source}: "), video.name))
        return
    # The length in a video file is only approximate.
    if wanted and frames < 0.95 * wanted - 1 and not summary.stopped:
        reason = f"only {frames} of {wanted} frames could be read; is the file complete?"
        summary.failed.append(Failure(video.source, reason, video.name))
    summary.frames += frames
    summary.written += [str(lines), *([str(drawn / video.name)] if drawn is not None else [])]


def _infer_frames(
    video: VideoInput,
    stream: Iterable[NDArray[np.uint8]],
    rate: float,
    predictor: Predictor,
    file: TextIO,
    canvas: _VideoCopy | None,
    summary: Summary,
) -> int:
    """Process frames and return their number, at least 1. Ctrl-C after the first frame ends the video there.

    Raises BpnetError where no frame can be read or the annotated copy can't be written.
    """
    done = 0
    try:
        for frame in stream:
            persons = _people(predictor, frame, summary)
            line = json.dumps(_frame_entry(video, done, rate, frame, persons))
            if canvas is not None:
                canvas.add(draw_persons(frame, predictor.shown(persons), predictor.backend.metadata.skeleton))
            file.write(line + "\n")
            summary.persons += len(persons)
            done += 1
    except KeyboardInterrupt:
        if not done:
            raise
        summary.stopped = f"stopped after {counted(done, 'frame')} of {video.name}"
    if not done:
        raise BpnetError(f"{video.source}: no frame could be read")
    return done


class _VideoCopy:
    """The annotated copy of a video. It is written atomically: it gets its name when it is complete."""

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
            self.writer = cv2.VideoWriter(opencv_path(self.temporary), code, self.rate, (width, height))
            if not self.writer.isOpened():
                raise BpnetError(f"{self.path}: OpenCV can't write this kind of video here; give --no-annotate")
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
