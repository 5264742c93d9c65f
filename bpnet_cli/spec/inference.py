"""Sections about inference with a trained model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat

from bpnet_cli.spec.base import Model


class DecodeSpec(Model):
    """The decoder's thresholds: the same keys as the fields of `bpnet_cli.pose.options.DecodeOptions`."""

    peak_threshold: float = Field(
        default=0.05, ge=0, le=1, description="the heatmap value of a peak is above this, 0 to 1"
    )
    max_peaks: int = Field(default=128, ge=1, description="largest number of peaks per keypoint; the highest are kept")
    limb_samples: int = Field(
        default=8, ge=1, description="number of points along a candidate limb at which its PAF is read"
    )
    limb_threshold: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="smallest weight of a limb; the weight is the mean of PAF times direction along the limb, times "
        "the square root of the product of its two peaks' heights; 1 is perfect",
    )
    merge_distance: float = Field(
        default=0.8,
        ge=0,
        description="two parts of a person are joined without a limb if the gap between them is below this many "
        "times the size of the larger part; 0: never",
    )
    person_threshold: float = Field(
        default=0.5,
        ge=0,
        description="smallest sum of a person's keypoint scores; people with a smaller sum are dropped",
    )
    min_keypoints: int = Field(default=1, ge=1, description="people with fewer keypoints are dropped")


class InferenceSpec(Model):
    """How photos become network inputs, and how maps become people."""

    input_height: int = Field(default=368, ge=32, le=8192, description="photos are scaled to this height, pixels")
    input_width: int | None = Field(
        default=None,
        ge=32,
        le=8192,
        description="photos are letterboxed to this width, pixels; null: the width follows from each photo's shape",
    )
    max_aspect_ratio: float = Field(
        default=4.0,
        gt=0,
        description="largest width of the input as a multiple of its height; only if input_width is null",
    )
    scales: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = Field(
        default=(1.0,),
        description="factors of the input size; the maps of all sizes are averaged on the grid of the first; each "
        "further size costs another run of the network",
    )
    flip: bool = Field(default=False, description="average the maps with those of the mirrored photo; twice the cost")
    min_person_score: float = Field(
        default=2.0,
        ge=0,
        description="infer leaves out people with a lower score; evaluate keeps all, because AP depends on their "
        "ranking. The score is the mean height of a person's peaks x the number of peaks ** 0.25 x log of the person's "
        "size in pixels of an input 368 high",
    )
    min_drawn_score: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="keypoints with a lower score, and limbs to them, are not drawn; the result files have "
        "all keypoints",
    )
    min_track_score: float = Field(
        default=3.0,
        ge=0,
        description="infer --track: people with a lower score get no id of their own; they can only continue the track "
        "of a person who was seen a moment before",
    )
    decode: DecodeSpec = Field(default=DecodeSpec(), description="how maps become people")
