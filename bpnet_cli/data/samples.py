"""Training samples: each is a crop around a person, or a whole photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpnet_cli.data.photos import Photo
from bpnet_cli.errors import DataError


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo to train on. person: index of the person in the middle of the crop; None: the whole photo."""

    photo: Photo
    person: int | None


def list_samples(
    photos: Sequence[Photo], *, crop: str, min_keypoints: int, min_area_px: float, min_distance_ratio: float
) -> list[Sample]:
    """One sample per photo (`crop="photo"` or "random"), or per person of `main_persons` (`crop="person"`).

    Raises DataError if no person of any photo gets a crop.
    """
    if crop != "person":
        return [Sample(photo, None) for photo in photos]
    samples = []
    for photo in photos:
        for person in main_persons(photo, min_keypoints, min_area_px, min_distance_ratio):
            samples.append(Sample(photo, person))
    if not samples:
        raise DataError(
            f"none of the people in {len(photos)} photos has {min_keypoints} keypoints and {min_area_px:g} square"
            " pixels: lower dataset.min_keypoints or dataset.min_area_px"
        )
    return samples


def main_persons(photo: Photo, min_keypoints: int, min_area_px: float, min_distance_ratio: float) -> list[int]:
    """Indices of the people of a photo that get their own crop, in the order of the file.

    A person gets a crop if all of these are true:
    - at least `min_keypoints` keypoints are labelled,
    - the area is at least `min_area_px` square pixels of the photo,
    - the box centre is far enough from the box centre of every person accepted before: at least `min_distance_ratio`
      times the larger box side of that earlier person.
    """
    accepted: list[int] = []
    centres = photo.boxes[:, :2] + photo.boxes[:, 2:] / 2
    for i, count in enumerate(photo.label_counts):
        if count < min_keypoints or photo.areas[i] < min_area_px:
            continue
        gaps = [np.linalg.norm(centres[i] - centres[j]) / max(photo.boxes[j, 2:].max(), 1.0) for j in accepted]
        if all(gap >= min_distance_ratio for gap in gaps):
            accepted.append(i)
    return accepted
