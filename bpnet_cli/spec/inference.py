"""Sections about a trained model at work."""

from __future__ import annotations

from pydantic import Field

from bpnet_cli.spec.base import Model


class DecodeSpec(Model):
    """The decoder's thresholds: the fields of `bpnet_cli.pose.options.DecodeOptions`, one for one."""

    peak_threshold: float = Field(default=0.1, ge=0, le=1, description="smallest heatmap value of a keypoint, 0 to 1")
    max_peaks: int = Field(default=128, ge=1, description="most candidates per keypoint; the highest are kept")
    limb_threshold: float = Field(
        default=0.1, ge=-1, le=1, description="smallest mean of PAF times direction along a limb, 1 is perfect"
    )
    limb_samples: int = Field(default=10, ge=1, description="points at which a candidate limb reads the PAF")
    min_keypoints: int = Field(default=2, ge=1, description="people with fewer keypoints are dropped")


class InferenceSpec(Model):
    """How photos become network inputs, and maps become people."""

    input_height: int = Field(default=368, ge=32, description="height photos are scaled to, pixels")
    input_width: int | None = Field(
        default=None, ge=32, description="width photos are letterboxed to, pixels; null: follows each photo's shape"
    )
    max_aspect_ratio: float = Field(
        default=4.0, gt=0, description="widest input as a multiple of its height; where input_width is null"
    )
    decode: DecodeSpec = Field(default=DecodeSpec(), description="how maps become people")
