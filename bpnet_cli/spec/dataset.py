"""Sections about photos: their files, their augmentation, and the maps made from their labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PositiveFloat, Tag, model_validator

from bpnet_cli.spec.base import Model, OnDisk, refusal


class DataSource(Model):
    """Photos with COCO keypoint labels."""

    images: Annotated[str, OnDisk("folder")] = Field(
        description="folder of photos, relative to the working directory, or a URL (s3://...)"
    )
    annotations: Annotated[str, OnDisk("file")] = Field(
        description="COCO keypoint JSON file, relative to the working directory, or a URL"
    )
    # Not strict, because `_as_tuple` has left JSON, where a list is a tuple.
    categories: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = Field(
        default=None,
        description="names of the categories to use; null: all whose keypoints fit the skeleton. People of other "
        "categories with keypoints are ignored in the loss",
    )
    rename: dict[str, str] = Field(
        default={},
        description="{name of a keypoint in the file: its name in the skeleton}; other spellings of the same words "
        "(L_Eye, leftEye) need no entry",
    )


class RecordSource(Model):
    """Photos and labels in TFRecord shards."""

    records: Annotated[str, OnDisk("glob")] = Field(
        description="glob of shards from `bpnet dataset_convert`, such as shards/train-*.tfrecord, on a disk or at a"
        " URL"
    )


Source = DataSource | RecordSource


def _as_tuple(value: Any) -> Any:
    if value is None or isinstance(value, tuple):
        return value
    if isinstance(value, dict):
        return (value,)
    if isinstance(value, list) and value:
        return tuple(value)
    raise refusal("must be {images: FOLDER, annotations: FILE}, {records: GLOB} or a list of these")


def _model_name(value: Any) -> str:
    is_record = isinstance(value, RecordSource) or (isinstance(value, dict) and "records" in value)
    return (RecordSource if is_record else DataSource).__name__


_Source = Annotated[
    Annotated[DataSource, Tag("DataSource")] | Annotated[RecordSource, Tag("RecordSource")], Discriminator(_model_name)
]
_Written = _Source | Annotated[list[_Source], Field(min_length=1)] | None
_Sources = Annotated[tuple[_Source, ...] | None, BeforeValidator(_as_tuple, json_schema_input_type=_Written)]


class DatasetSpec(Model):
    """Photos, and which people get a training crop."""

    train: _Sources = Field(
        default=None,
        description="photos to train on: {images: FOLDER, annotations: FILE}, {records: GLOB} or a list of these",
    )
    validation: _Sources = Field(
        default=None,
        description="photos to measure AP on: {images: FOLDER, annotations: FILE}, {records: GLOB} or a list of these",
    )
    min_keypoints: int = Field(
        default=5, ge=1, description="people with fewer labelled keypoints get no training crop of their own"
    )
    min_area_px: float = Field(
        default=1024.0,
        ge=0,
        description="people with a smaller area get no training crop of their own; square photo pixels",
    )
    min_distance_ratio: float = Field(
        default=0.3,
        ge=0,
        description="a person who is too near to a person with a crop gets no training crop; near: the distance of the "
        "box centres is less than this many times the larger side of the other person's box",
    )

    @property
    def train_sources(self) -> tuple[Source, ...]:
        """The sources to train on; empty if the spec names none."""
        return self.train or ()

    @property
    def validation_sources(self) -> tuple[Source, ...]:
        """The sources to measure AP on; empty if the spec names none."""
        return self.validation or ()


class AugmentationSpec(Model):
    """Random changes of training crops; lengths in network-input pixels."""

    crop: Literal["person", "photo", "random"] = Field(
        default="person",
        description="person: a crop centred on each person; photo: the whole photo, letterboxed; random: the photo is "
        "letterboxed and scaled, and the crop lies anywhere on it",
    )
    person_height: float = Field(
        default=0.6,
        gt=0,
        le=2,
        description="height of the centred person's box as a share of the crop's height, before scale; only for crop: "
        "person",
    )
    flip_probability: float = Field(
        default=0.5, ge=0, le=1, description="share of crops that are mirrored left to right, 0 to 1"
    )
    rotation_deg: float = Field(default=40.0, ge=0, le=180, description="largest rotation in either direction, degrees")
    scale: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(0.5, 1.5),
        description="[low, high]: the size is multiplied by a factor in this range; above 1 makes people larger",
    )
    translation_px: float = Field(
        default=40.0, ge=0, description="largest shift in either direction along x and along y, input pixels"
    )
    brightness: float = Field(default=0.2, ge=0, le=1, description="largest change of brightness, as a share of white")
    contrast: float = Field(default=0.2, ge=0, le=1, description="largest relative change of contrast")
    saturation: float = Field(default=0.2, ge=0, le=1, description="largest relative change of saturation")
    hue_deg: float = Field(
        default=8.0, ge=0, le=180, description="largest rotation of the hue in either direction, degrees"
    )

    @model_validator(mode="after")
    def _scale_is_ordered(self) -> AugmentationSpec:
        if self.scale[0] > self.scale[1]:
            raise refusal("must be [low, high] with low <= high", ("scale",), self.scale)
        return self


class TargetsSpec(Model):
    """The maps that the network learns (targets); lengths in network-input pixels."""

    heatmap_sigma_px: float = Field(
        default=7.0, gt=0, description="standard deviation of a keypoint's Gaussian, input pixels"
    )
    paf_half_width_px: float = Field(
        default=8.0, gt=0, description="a limb's PAF is set up to this distance from the limb's axis, input pixels"
    )
