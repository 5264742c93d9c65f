"""What one training sample looks at: a person, or a whole photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpnet_cli.data.photos import Photo
from bpnet_cli.errors import DataError


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo and, for crops centred on a person, the index of that person; None looks at the whole photo."""

    photo: Photo
    person: int | None


def list_samples(
    photos: Sequence[Photo], *, crop: str, min_keypoints: int, min_area_px: float, min_distance_ratio: float
) -> list[Sample]:
    """One sample per photo (`crop="photo"` or "random") or per person worth a crop of its own (`crop="person"`).

    A person gets a crop with at least `min_keypoints` labelled keypoints, an area of `min_area_px` square photo pixels,
    and a box centre at least `min_distance_ratio` times the larger box side of every person accepted before it away
    from that person's. Raises DataError when nothing is left.
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
    """Indices of the people of a photo that get a crop of their own, in the file's order."""
    accepted: list[int] = []
    centres = photo.boxes[:, :2] + photo.boxes[:, 2:] / 2
    for i, count in enumerate(photo.label_counts):
        if count < min_keypoints or photo.areas[i] < min_area_px:
            continue
        gaps = [np.linalg.norm(centres[i] - centres[j]) / max(photo.boxes[j, 2:].max(), 1.0) for j in accepted]
        if all(gap >= min_distance_ratio for gap in gaps):
            accepted.append(i)
    return accepted
