"""One video of a run of `bpnet infer`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.live import Video, open_video
from bpnet_cli.data.video import Frame
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.frame_files import FrameFiles, VideoCopy
from bpnet_cli.inference.outputs import Outputs
from bpnet_cli.inference.people import Followed, Found
from bpnet_cli.inference.pipeline import groups, in_order
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Failure, VideoInput
from bpnet_cli.log import counted, one_line, progress
from bpnet_cli.pose.person import Person


class _Seen(NamedTuple):
    """A frame with its people. persons: for the results. found: everyone."""

    frame: Frame
    persons: list[Person]
    found: Found


def infer_video(video: VideoInput, outputs: Outputs, run: Run) -> None:
    """Find the people of a video and write its result files; counts and failures go to the run's summary.

    The files get their names when the last frame is finished, or after Ctrl-C.
    """
    options, summary = run.options, run.summary
    copy: VideoCopy | None = None
    try:
        with ExitStack() as stack:
            reader = stack.enter_context(open_video(video.source, options.every, options.start, options.end))
            files = stack.enter_context(FrameFiles(video.name, outputs, run.people.skeleton, run.model))
            if outputs.pictures:
                copy = stack.enter_context(VideoCopy(outputs.pictures[0], reader))
            frames = _work(video, reader, files, copy, run)
    except KeyboardInterrupt:
        summary.stopped = f"stopped before the first frame of {video.name} was finished"
        return
    except BpnetError as error:
        summary.failed.append(Failure(video.shown, str(error).removeprefix(f"{video.shown}: "), video.name))
        return
    if reader.problem and not summary.stopped:
        summary.failed.append(Failure(video.shown, reader.problem, video.name))
    if copy is not None and copy.problem:
        summary.failed.append(Failure(video.shown, f"its annotated copy {copy.problem}", video.name))
    summary.frames += frames
    drawn = [outputs.pictures[0]] if copy is not None and not copy.problem else []
    summary.written += [str(path) for path in (*files.written, *drawn)]


def _work(video: VideoInput, reader: Video, files: FrameFiles, copy: VideoCopy | None, run: Run) -> int:
    """Process the frames and return their number, at least 1. Ctrl-C after the first frame ends the video there.

    Raises BpnetError where no frame can be read or a result file can't be written.
    """
    most, summary = run.options.max_frames, run.summary
    total = min(reader.count or most, most) if most else reader.count
    done = 0
    stream = _pictures(reader, run, drawn=copy is not None or run.window is not None)
    try:
        with closing(stream):
            for seen, picture in progress(stream, total, one_line(video.name)):
                if copy is not None and picture is not None:
                    copy.add(seen.frame, picture)
                files.add(seen.frame, seen.persons)
                if run.window is not None and picture is not None:
                    run.window.show(picture)
                summary.persons += len(seen.persons)
                summary.weaker += len(seen.found.weak)
                done += 1
    except KeyboardInterrupt:
        if not done:
            raise
        summary.stopped = f"stopped after {counted(done, 'frame')} of {video.name}"
    if not done:
        raise BpnetError(f"{video.shown}: {_why_nothing(run)}")
    return done


def _why_nothing(run: Run) -> str:
    if run.options.start is not None or run.options.end is not None:
        return "has no frame between --start and --end"
    return "no frame could be read"


def _pictures(reader: Video, run: Run, drawn: bool) -> Generator[tuple[_Seen, NDArray[np.uint8] | None], None, None]:
    """The frames with their people and pictures. Reading, finding and drawing run at the same time."""

    def find(group: list[Frame]) -> list[tuple[Frame, Found]]:
        return list(zip(group, run.people.find([frame.image for frame in group]), strict=True))

    def draw(seen: _Seen) -> tuple[_Seen, NDArray[np.uint8] | None]:
        picture = run.people.picture(seen.frame.image, seen.persons, seen.found, transparent=False) if drawn else None
        return seen, picture

    frames = islice(reader.frames(), run.options.max_frames)
    found = in_order(groups(frames, run.options.batch), find, run.pool, run.ahead)
    return in_order(_followed(chain.from_iterable(found), run), draw, run.pool, run.ahead)


def _followed(stream: Iterator[tuple[Frame, Found]], run: Run) -> Iterator[_Seen]:
    """The frames with the people of the results."""
    followed = Followed(run.people)
    for frame, found in stream:
        yield _Seen(frame, followed.update(found, frame.seconds), found)
