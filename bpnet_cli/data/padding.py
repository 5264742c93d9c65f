"""The people of a batch in one padded array: which people are near enough to a crop, and the padded size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.augment import move_keypoints
from bpnet_cli.data.photos import Photo


def people_near(
    photos: Sequence[Photo],
    matrices: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    flip_permutation: NDArray[np.intp],
    size: tuple[int, int],
    reach_px: float,
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Move the people of B photos into crop pixels, and leave out people who are too far from the crop.

    matrices: (B, 2, 3) from photo to crop pixels. mirrored: (B,) bool. flip_permutation: (K,). size: height and width
    of a crop in pixels. reach_px: a person is left out if the box around the labelled keypoints is farther than this
    outside of the crop. Such a person can't mark a cell, because all marks lie within `reach_px` of that box.
    Returns (Q, K, 3) keypoints x, y, visibility, photo after photo, and (B,) the number of people of each photo.
    """
    photo = np.arange(len(photos)).repeat([len(photo.keypoints) for photo in photos])
    people = np.concatenate([photo.keypoints for photo in photos])
    people = move_keypoints(people, matrices[photo], mirrored[photo], flip_permutation)
    points, labelled = people[..., :2], people[..., 2:] > 0
    low, high = (np.where(labelled, points, far) for far in (np.inf, -np.inf))
    end = np.array(size[::-1]) + reach_px
    near = ((low.min(axis=1) <= end) & (high.max(axis=1) >= -reach_px)).all(axis=1)
    return people[near], np.bincount(photo[near], minlength=len(photos))


def pad(people: NDArray[np.float32], counts: NDArray[np.intp], places: int) -> NDArray[np.float32]:
    """Pad the result of `people_near` to (B, places, K, 3). The empty places, last in each photo, have visibility 0."""
    padded = np.zeros((len(counts), places, *people.shape[1:]), np.float32)
    padded[np.arange(places) < counts[:, None]] = people
    return padded


def places_for(people: int, most: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is enough for this many people, but at most `most`.

    Rendering an empty place costs as much as rendering a person. So one crowded photo should not set the number for all
    batches. But XLA compiles the step again for each number, so there are only a few numbers.
    """
    power = 1 << (max(1, people) - 1).bit_length()
    return min(3 * power // 4 if 0 < people <= 3 * power // 4 else power, most)
