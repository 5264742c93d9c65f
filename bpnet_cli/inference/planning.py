"""Which files a run of `bpnet infer` will write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpnet_cli.inference.options import InferOptions
from bpnet_cli.inference.outputs import (
    COCO_RESULTS,
    DETECTIONS,
    DRAWN,
    PARQUET,
    TABLE,
    Outputs,
    frames_file,
    openpose_paths,
)
from bpnet_cli.inference.photo_files import picture_name
from bpnet_cli.inference.sources import Inputs


def plan_outputs(inputs: Inputs, results_dir: Path, options: InferOptions) -> tuple[Outputs, list[Outputs]]:
    """The files that the run will write: of the photos, and of each video."""
    formats, drawn = options.formats, results_dir / DRAWN

    def chosen(wanted: str, name: str) -> Path | None:
        return results_dir / name if wanted in formats and inputs.photos else None

    names = [photo.name for photo in inputs.photos] + [video.name for video in inputs.videos]
    openpose = openpose_paths(results_dir, names, len(inputs.photos)) if "openpose" in formats else []
    alpha = options.draw == "skeleton" and options.transparent
    pictures = [drawn / picture_name(photo.name, alpha) for photo in inputs.photos] if options.pictures else []
    photos = Outputs(
        chosen("json", DETECTIONS),
        chosen("coco", COCO_RESULTS),
        chosen("csv", TABLE),
        tuple(openpose[: len(inputs.photos)]),
        tuple(pictures),
        chosen("parquet", PARQUET),
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
        results_dir / f"{name}.parquet" if "parquet" in options.formats else None,
    )
