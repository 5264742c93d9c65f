"""Sections about a trained model at work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat

from bpnet_cli.spec.base import Model


class DecodeSpec(Model):
    """The decoder's thresholds: the fields of `bpnet_cli.pose.options.DecodeOptions`, one for one."""

    peak_threshold: float = Field(default=0.05, ge=0, le=1, description="smallest heatmap value of a peak, 0 to 1")
    max_peaks: int = Field(default=128, ge=1, description="most peaks per keypoint, the highest are kept")
    limb_samples: int = Field(default=8, ge=1, description="points at which a candidate limb reads the PAF")
    limb_threshold: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="smallest weight of a limb: mean of PAF times direction along it, times the root of the product of "
        "its two peaks' heights; 1 is perfect",
    )
    merge_distance: float = Field(
        default=0.8,
        ge=0,
        description="largest gap between two fragments of a person that are joined without a limb, in sizes of the "
        "larger one; 0 joins none",
    )
    person_threshold: float = Field(
        default=0.5, ge=0, description="smallest sum of the keypoint scores of a person; weaker people are dropped"
    )
    min_keypoints: int = Field(default=1, ge=1, description="people with fewer keypoints are dropped")


class InferenceSpec(Model):
    """How photos become network inputs, and maps become people."""

    input_height: int = Field(default=368, ge=32, description="height photos are scaled to, pixels")
    input_width: int | None = Field(
        default=None, ge=32, description="width photos are letterboxed to, pixels; null: follows each photo's shape"
    )
    max_aspect_ratio: float = Field(
        default=4.0, gt=0, description="widest input as a multiple of its height; where input_width is null"
    )
    scales: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = Field(
        default=(1.0,),
        description="factors of the input size whose maps are averaged, the first one's grid is decoded; each costs "
        "another run of the network",
    )
    flip: bool = Field(default=False, description="average with the maps of the mirrored photo; twice the cost")
    min_person_score: float = Field(
        default=2.0,
        ge=0,
        description="weaker people are left out of the results of infer; evaluate, where ranking is what counts, keeps "
        "them all. The score is the mean height of a person's peaks x their number ** 0.25 x log of its size in pixels "
        "of an input 368 high",
    )
    min_drawn_score: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="keypoints of a lower score are not drawn, nor are limbs to them; the result files hold them all",
    )
    decode: DecodeSpec = Field(default=DecodeSpec(), description="how maps become people")
