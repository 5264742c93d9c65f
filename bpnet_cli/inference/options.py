"""What a run of `bpnet infer` looks at, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FORMATS = ("json", "coco", "openpose", "csv", "parquet")


@dataclass(frozen=True)
class InferOptions:
    """Options of `infer_inputs`.

    formats: kinds of result files, of `FORMATS`.
    max_frames: most frames of each video. every: look at every n-th frame. start, end: seconds, by the time stamps of
        the video.
    max_people: most people of a photo or frame; keep: which ones.
    batch: number of photos or frames that run through the network at once, where their inputs have one size.
    track: people in videos get ids. smooth: their keypoints are smoothed over time, which needs ids.
    annotate: write pictures.
    draw: what pictures show: the people on their photo, the people alone, or the photo alone. With "none", pictures are
        written only if `blur_faces`. transparent: with "skeleton", pictures of photos are transparent, not black.
    colour: see `draw.draw_persons`. show_ids, show_scores: write them beside each person. blur_faces: hide all faces.
    show: show each picture in a window.
    """

    formats: tuple[str, ...] = ("json", "coco")
    max_frames: int | None = None
    every: int = 1
    start: float | None = None
    end: float | None = None
    max_people: int | None = None
    keep: Literal["surest", "largest"] = "surest"
    batch: int = 1
    track: bool = False
    smooth: bool = False
    annotate: bool = True
    draw: Literal["photo", "skeleton", "none"] = "photo"
    transparent: bool = False
    colour: Literal["side", "person"] = "side"
    show_ids: bool = False
    show_scores: bool = False
    blur_faces: bool = False
    show: bool = False

    @property
    def pictures(self) -> bool:
        """Whether pictures are written."""
        return self.annotate and (self.draw != "none" or self.blur_faces)


@dataclass(frozen=True)
class InferRequest:
    """One call of `bpnet infer`.

    words: files, folders, globs, cameras, addresses and lists, see `find_inputs`. overrides, engine: see
    `load_predictor`.
    """

    words: Sequence[str]
    model: str
    results_dir: Path
    overrides: Sequence[str]
    options: InferOptions
    engine: str
