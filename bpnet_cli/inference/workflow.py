"""`bpnet infer`: from photos, folders and videos to result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_folder
from bpnet_cli.inference.load import load_predictor, threads_for_many
from bpnet_cli.inference.openpose import openpose_frame
from bpnet_cli.inference.options import InferOptions
from bpnet_cli.inference.outputs import (
    COCO_RESULTS,
    DETECTIONS,
    DRAWN,
    TABLE,
    Outputs,
    announced,
    check_overwriting,
    frames_file,
    openpose_paths,
)
from bpnet_cli.inference.people import People
from bpnet_cli.inference.photo_files import picture_name
from bpnet_cli.inference.photo_run import infer_photos
from bpnet_cli.inference.pipeline import core_count, one_opencv_thread
from bpnet_cli.inference.results import model_entry
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.sources import Inputs, VideoInput, find_inputs
from bpnet_cli.inference.summary import Summary
from bpnet_cli.inference.window import Window
from bpnet_cli.log import say

# From so many photos a core on, each core runs the network on a photo of its own. Before, all cores share a photo.
_MANY = 2


def infer_inputs(
    words: Sequence[str],
    model_path: str,
    results_dir: Path,
    overrides: Sequence[str],
    options: InferOptions,
    engine: str,
) -> Summary:
    """Run a model on all inputs and write the result files. A bad photo or video doesn't stop the run.

    words: files, folders, globs, cameras, addresses and lists, see `find_inputs`. overrides, engine: see
    `load_predictor`. Ctrl-C ends the run; the results up to then are written.
    Raises BpnetError where an input doesn't exist, no input can be used, or a file would be overwritten that no earlier
    run wrote.
    """
    check_folder(results_dir)
    inputs = find_inputs(words)
    for line in inputs.left_out:
        say(line)
    if options.track and not inputs.videos:
        say("--track and --smooth have no effect: they are for videos, and there is none among the inputs")
    photos, videos = plan_outputs(inputs, results_dir, options)
    sources = [photo.path for photo in inputs.photos] + [video.path for video in inputs.videos]
    for outputs in (photos, *videos):
        check_overwriting(outputs, sources, results_dir)
    many = bool(inputs.videos) or len(inputs.photos) >= _MANY * core_count()
    threads = threads_for_many(model_path, engine) if many else None
    predictor = load_predictor(model_path, overrides, engine=engine, threads=threads)
    workers = core_count() if many else 1
    summary = Summary(failed=list(inputs.problems))
    everything = [path for outputs in (photos, *videos) for path in outputs.files]
    known = {"json", "csv"} & set(options.formats)
    with (
        _window(options) as window,
        one_opencv_thread(),
        ThreadPoolExecutor(workers) as pool,
        announced(everything, results_dir, keep=not known),
    ):
        if "openpose" in options.formats:
            openpose_frame([], predictor.backend.metadata.skeleton)  # refuses skeletons of other bodies
        model = model_entry(predictor.backend.metadata, model_path)
        run = Run(People(predictor, options), options, model, results_dir, pool, 2 * workers, window, summary)
        if inputs.photos:
            infer_photos(inputs.photos, photos, run)
        if inputs.videos:
            _infer_videos(inputs.videos, videos, run)
    if summary.failed and not summary.photos and not summary.frames and not summary.stopped:
        reasons = "\n".join(f"  {failure.path}: {failure.reason}" for failure in summary.failed)
        raise BpnetError(f"none of the inputs could be used:\n{reasons}")
    if hint := summary.of_nobody(predictor):
        say(hint)
    return summary


def _infer_videos(videos: Sequence[VideoInput], outputs: Sequence[Outputs], run: Run) -> None:
    from bpnet_cli.inference.video_run import infer_video  # runs of photos don't load FFmpeg's libraries

    for video, files in zip(videos, outputs, strict=True):
        if not run.summary.stopped:
            infer_video(video, files, run)


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


def plan_outputs(inputs: Inputs, results_dir: Path, options: InferOptions) -> tuple[Outputs, list[Outputs]]:
    """The files that the run will write: of the photos, and of each video."""
    formats, drawn = options.formats, results_dir / DRAWN

    def chosen(wanted: str, path: Path) -> Path | None:
        return path if wanted in formats else None

    names = [photo.name for photo in inputs.photos] + [video.name for video in inputs.videos]
    openpose = openpose_paths(results_dir, names, len(inputs.photos)) if "openpose" in formats else []
    alpha = options.draw == "skeleton" and options.transparent
    pictures = [drawn / picture_name(photo.name, alpha) for photo in inputs.photos] if options.pictures else []
    photos = Outputs(
        chosen("json", results_dir / DETECTIONS) if inputs.photos else None,
        chosen("coco", results_dir / COCO_RESULTS) if inputs.photos else None,
        chosen("csv", results_dir / TABLE) if inputs.photos else None,
        tuple(openpose[: len(inputs.photos)]),
        tuple(pictures),
    )
    videos = [
        _outputs_of_video(video.name, openpose[len(inputs.photos) + place :][:1], results_dir, options)
        for place, video in enumerate(inputs.videos)
    ]
    return photos, videos


def _outputs_of_video(name: str, openpose: Sequence[Path], results_dir: Path, options: InferOptions) -> Outputs:
    from bpnet_cli.data.video_writer import video_name

    return Outputs(
        frames_file(results_dir, name) if "json" in options.formats else None,
        None,
        results_dir / f"{name}.csv" if "csv" in options.formats else None,
        tuple(openpose),
        (results_dir / DRAWN / video_name(name),) if options.pictures else (),
    )
