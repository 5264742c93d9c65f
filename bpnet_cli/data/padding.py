"""The people of a batch in one array: who is near enough to leave a mark, and how many places a sample gets."""

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
    """(Q, K, 3) people of B photos, moved, one photo's after the other's, and (B,) how many each photo has.

    matrices: (B, 2, 3) from photo to crop. mirrored: (B,). size: height and width of a crop in pixels. Left out are
    those farther than `reach_px` outside of it: all that a person marks lies within reach of the box around the
    labelled keypoints.
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
    """(B, places, K, 3) of what `people_near` returns, people of visibility 0 behind those of each photo."""
    padded = np.zeros((len(counts), places, *people.shape[1:]), np.float32)
    padded[np.arange(places) < counts[:, None]] = people
    return padded


def places_for(people: int, most: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is enough for so many people, and `most` at most.

    Rendering targets costs as much for an empty place as for a person, so one crowded photo should not set the number
    for all batches. But XLA compiles a step for each number anew, so these are few.
    """
    power = 1 << (max(1, people) - 1).bit_length()
    return min(3 * power // 4 if 0 < people <= 3 * power // 4 else power, most)
