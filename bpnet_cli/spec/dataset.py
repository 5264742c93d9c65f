"""Sections about photos: where they are, how they vary, what is drawn from their labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PositiveFloat, Tag, model_validator

from bpnet_cli.spec.base import Model, OnDisk, refusal


class DataSource(Model):
    """Photos with COCO keypoint labels."""

    images: Annotated[str, OnDisk("folder")] = Field(description="folder of photos; relative to the working directory")
    annotations: Annotated[str, OnDisk("file")] = Field(
        description="COCO keypoint JSON file; relative to the working directory"
    )


class RecordSource(Model):
    """Photos and labels in TFRecord shards."""

    records: Annotated[str, OnDisk("glob")] = Field(
        description="glob of shards that `bpnet dataset_convert` wrote, as in shards/train-*.tfrecord; a path that"
        " TensorFlow reads"
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
    """Photos and the people in them who count."""

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
        default=1024.0, ge=0, description="people of a smaller area, in photo pixels squared, get no crop of their own"
    )
    min_distance_ratio: float = Field(
        default=0.3,
        ge=0,
        description="people whose box centre is nearer to that of a person with a crop than this many times the larger "
        "side of that person's box get no crop of their own",
    )

    @property
    def train_sources(self) -> tuple[Source, ...]:
        """The sources to train on; empty where the spec names none."""
        return self.train or ()

    @property
    def validation_sources(self) -> tuple[Source, ...]:
        """The sources to measure AP on; empty where the spec names none."""
        return self.validation or ()


class AugmentationSpec(Model):
    """How a training crop varies from one epoch to the next; lengths in network-input pixels."""

    crop: Literal["person", "photo", "random"] = Field(
        default="person",
        description="person: a crop centred on each person; photo: the whole photo, letterboxed; random: a crop "
        "anywhere on the letterboxed photo, once it is scaled",
    )
    person_height: float = Field(
        default=0.6,
        gt=0,
        le=2,
        description="height of the centred person's box as a share of the crop's, before scale; crop: person only",
    )
    flip_probability: float = Field(
        default=0.5, ge=0, le=1, description="share of crops mirrored left to right, 0 to 1"
    )
    rotation_deg: float = Field(default=40.0, ge=0, le=180, description="largest rotation either way, degrees")
    scale: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(0.5, 1.5), description="[low, high] factor of size; above 1 makes the person larger"
    )
    translation_px: float = Field(
        default=40.0, ge=0, description="largest shift either way along x and along y, input pixels"
    )
    brightness: float = Field(default=0.2, ge=0, le=1, description="largest change of brightness, as a share of white")
    contrast: float = Field(default=0.2, ge=0, le=1, description="largest relative change of contrast")
    saturation: float = Field(default=0.2, ge=0, le=1, description="largest relative change of saturation")
    hue_deg: float = Field(default=8.0, ge=0, le=180, description="largest turn of the hue either way, degrees")

    @model_validator(mode="after")
    def _scale_is_ordered(self) -> AugmentationSpec:
        if self.scale[0] > self.scale[1]:
            raise refusal("must be [low, high] with low <= high", ("scale",), self.scale)
        return self


class TargetsSpec(Model):
    """What the maps to learn look like; lengths in network-input pixels."""

    heatmap_sigma_px: float = Field(
        default=7.0, gt=0, description="standard deviation of a keypoint's Gaussian, input pixels"
    )
    paf_half_width_px: float = Field(
        default=8.0, gt=0, description="distance from a limb's axis up to which its PAF is set, input pixels"
    )
