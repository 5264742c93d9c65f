"""`bpnet infer`: from photos, folders and videos to result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_folder
from bpnet_cli.inference.load import load_predictor, threads_for_many
from bpnet_cli.inference.openpose import openpose_frame
from bpnet_cli.inference.options import InferOptions, InferRequest
from bpnet_cli.inference.outputs import Outputs, announced, check_overwriting, has_no_sign
from bpnet_cli.inference.parquet import check_parquet
from bpnet_cli.inference.people import People
from bpnet_cli.inference.photo_results import PhotoSet
from bpnet_cli.inference.photo_run import ids_of, infer_photos
from bpnet_cli.inference.pipeline import core_count, one_opencv_thread
from bpnet_cli.inference.planning import plan_outputs
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import model_entry
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Inputs, VideoInput, find_inputs
from bpnet_cli.inference.summary import Summary
from bpnet_cli.inference.window import Window
from bpnet_cli.log import one_line, say

# From so many photos a core on, each core runs the network on a photo of its own. Before, all cores share a photo.
_MANY = 2


def infer_inputs(request: InferRequest) -> Summary:
    """Run a model on all inputs and write the result files. A bad photo or video doesn't stop the run.

    Ctrl-C ends the run; the results up to then are written.
    Raises BpnetError where an input doesn't exist, no input can be used, or a file would be overwritten that no earlier
    run wrote.
    """
    inputs, results_dir, options = checked_inputs(request), request.results_dir, request.options
    photos, videos = plan_outputs(inputs, results_dir, options)
    sources = [photo.path for photo in inputs.photos] + [video.path for video in inputs.videos]
    for outputs in (photos, *videos):
        check_overwriting(outputs, sources, results_dir)
    many = bool(inputs.videos) or len(inputs.photos) >= _MANY * core_count()
    threads = threads_for_many(request.model, request.engine) if many else None
    predictor = load_predictor(request.model, request.overrides, engine=request.engine, threads=threads)
    everything = [path for outputs in (photos, *videos) for path in outputs.files]
    known = {"json", "csv"} & set(options.formats)
    with (
        running(predictor, request, core_count() if many else 1) as run,
        announced(everything, results_dir, keep=lambda: not known or any(map(has_no_sign, videos))),
    ):
        summary = run.summary
        summary.failed += inputs.problems
        if inputs.photos:
            ids = ids_of([photo.name for photo in inputs.photos], told=photos.coco is not None)
            infer_photos([PhotoSet(inputs.photos, ids, photos)], run)
        infer_videos(inputs.videos, videos, run)
    return ended(summary, predictor)


def checked_inputs(request: InferRequest) -> Inputs:
    """The inputs, after all that can be checked without the model; prints what was left out. Raises BpnetError."""
    if "parquet" in request.options.formats:
        check_parquet()
    check_folder(request.results_dir)
    inputs = find_inputs(request.words)
    for line in inputs.left_out:
        say(line)
    if request.options.track and not inputs.videos:
        say("--track and --smooth have no effect: they are for videos, and there is none among the inputs")
    return inputs


@contextmanager
def running(predictor: Predictor, request: InferRequest, workers: int) -> Iterator[Run]:
    """What a run needs, with an empty summary. workers: number of photos or frames that are looked at in parallel.

    Raises BpnetError for a skeleton that a result format can't hold.
    """
    options = request.options
    with _window(options) as window, one_opencv_thread(), ThreadPoolExecutor(workers) as pool:
        if "openpose" in options.formats:
            openpose_frame([], predictor.backend.metadata.skeleton)
        model = model_entry(predictor.backend.metadata, request.model)
        people = People(predictor, options)
        yield Run(people, options, model, request.results_dir, pool, 2 * workers, window, Summary())


def infer_videos(videos: Sequence[VideoInput], outputs: Sequence[Outputs], run: Run) -> None:
    """Find the people of videos, one after the other, until Ctrl-C."""
    for video, files in zip(videos, outputs, strict=True):
        from bpnet_cli.inference.video_run import infer_video  # runs of photos don't load FFmpeg's libraries

        if not run.summary.stopped:
            infer_video(video, files, run)


def ended(summary: Summary, predictor: Predictor | None = None) -> Summary:
    """The summary of a run that has ended, after a hint where nobody was found.

    Raises BpnetError where no input could be used.
    """
    if summary.failed and not summary.photos and not summary.frames and not summary.stopped:
        reasons = "\n".join(f"  {one_line(failure.path)}: {one_line(failure.reason)}" for failure in summary.failed)
        raise BpnetError(f"none of the inputs could be used:\n{reasons}")
    if predictor is not None and (hint := summary.of_nobody(predictor)):
        say(hint)
    return summary


@contextmanager
def _window(options: InferOptions) -> Iterator[Window | None]:
    """A window with `--show`, closed at the end of the block."""
    if not options.show:
        yield None
        return
    window = Window()
    try:
        yield window
    finally:
        window.close()
