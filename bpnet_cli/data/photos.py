"""Photos to train on, with the people of any data set in the keypoint order of a skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.choice import choice_for
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.labels import Labels, LabelSource
from bpnet_cli.data.sources import open_source
from bpnet_cli.errors import DataError
from bpnet_cli.pose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and its labels, in pixels of the photo.

    keypoints: (P, K, 3) float32 x, y, visibility (0 unlabelled, 1 occluded, 2 visible) of people with keypoints.
    label_counts: (P,) int, number of keypoints that the data set itself labels (a computed neck doesn't count).
    boxes: (P, 4) float32 x, y, width, height. areas: (P,) float32 segment areas in square pixels.
    labelled: (K,) bool, False if the data set never labels this keypoint of the skeleton.
    ignore: run-length encoded region that must not count in the loss (crowds, people without keypoints, surroundings
        of unknown keypoints), or None.
    """

    image: EncodedImage
    image_id: int
    height: int
    width: int
    keypoints: NDArray[np.float32]
    label_counts: NDArray[np.intp]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    ignore: Mapping[str, Any] | None


def load_photos(images: str | Path, annotations: str | Path, skeleton: Skeleton) -> list[Photo]:
    """Open the labels beside a folder of photos: `photos_of_source` of `open_source`. Raises DataError."""
    return photos_of_source(open_source(images, annotations, choice_for(skeleton)), skeleton)


def photos_of_source(source: LabelSource, skeleton: Skeleton) -> list[Photo]:
    """The photos of one data source, ordered by image id, with people in the skeleton's keypoint order.

    Keypoints are matched by name. If the data set lacks a keypoint, the skeleton's midpoint rule computes it where both
    ends are labelled; else the keypoint is unlabelled. Raises DataError if no keypoint has the same name.
    """
    names = source.labels.keypoint_names
    if not set(names) & set(skeleton.keypoints):
        raise DataError(
            f"{source.labels.path}: no keypoint in common with skeleton {skeleton.name}: the file has"
            f" {', '.join(names)}; the skeleton {', '.join(skeleton.keypoints)}"
        )
    # For all people at once, because a numpy call has a fixed cost, and one call per photo would pay it each time.
    people = source.labels.people
    keypoints, labelled = to_skeleton(people.keypoints, names, skeleton)
    counts = (people.keypoints[..., 2] > 0).sum(axis=1)
    boxes, areas = people.boxes.astype(np.float32), people.known_areas.astype(np.float32)
    counted = people.labelled
    photos = []
    for image_id in sorted(source.labels.images):
        image, rows = source.labels.images[image_id], source.labels.rows[image_id]
        own = np.arange(rows.start, rows.stop)[counted[rows]]
        photo = Photo(
            image=source.files[image_id],
            image_id=image_id,
            height=image.height,
            width=image.width,
            keypoints=keypoints[own],
            label_counts=counts[own],
            boxes=boxes[own],
            areas=areas[own],
            labelled=labelled,
            ignore=source.ignore(image_id),
        )
        photos.append(photo)
    return photos


def people_of(labels: Labels, image_id: int, skeleton: Skeleton) -> NDArray[np.float32]:
    """(P, K, 3) float32 keypoints x, y, visibility of an image's people, without crowds; see `to_skeleton`."""
    people = labels.people_of(image_id)
    return to_skeleton(people.keypoints[~people.crowds], labels.keypoint_names, skeleton)[0]


def to_skeleton(
    keypoints: NDArray[np.floating[Any]], names: Sequence[str], skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Reorder (P, N, 3) keypoints of a data set into (P, K, 3) of the skeleton.

    names: of the data set's N keypoints. Returns float32 x, y, visibility, and (K,) bool: True if the data set labels
    this keypoint of the skeleton. A person's midpoint is computed only if both ends are labelled; it gets the lower of
    their visibilities. Unlabelled rows are 0.
    """
    known = list(names)
    result = np.zeros((len(keypoints), len(skeleton.keypoints), 3), np.float32)
    labelled = np.array([name in known for name in skeleton.keypoints])
    result[:, labelled] = keypoints[:, [known.index(name) for name in skeleton.keypoints if name in known]]
    for name, first, second in skeleton.midpoints:
        k, a, b = (skeleton.keypoints.index(n) for n in (name, first, second))
        if labelled[k] or not (labelled[a] and labelled[b]):
            continue
        both = (result[:, a, 2] > 0) & (result[:, b, 2] > 0)
        result[both, k, :2] = (result[both, a, :2] + result[both, b, :2]) / 2
        result[both, k, 2] = np.minimum(result[both, a, 2], result[both, b, 2])
        labelled[k] = True
    result[result[..., 2] <= 0] = 0
    return result, labelled
