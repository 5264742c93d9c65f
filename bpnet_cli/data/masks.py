"""Ignore regions: parts of a photo that may show keypoints without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bpnet_cli.data.labels import People, Region
from bpnet_cli.data.runs import check_run_list, check_runs
from bpnet_cli.data.unknown import unknown_boxes
from bpnet_cli.errors import DataError

Encoded = Mapping[str, Any]
_FARTHEST_PX = 1e5


def encode_ignore_region(
    people: People,
    height: int,
    width: int,
    limbs: Sequence[tuple[int, int]] = (),
    others: People | None = None,
) -> Encoded | None:
    """Run-length encoding of the region that must not count in the loss; None if the region is empty.

    The region is the union of:
    - crowds and `others`, without the regions of labelled people,
    - people without keypoints,
    - the surroundings of unknown keypoints of labelled people (see `data.unknown`).

    people: all of one image of height x width pixels. If a person has no region, the box is used. limbs: pairs of
    keypoints, counted from 0; they show which keypoints are near an unknown keypoint. others: those of the image who
    have keypoints of their own, but are not used.
    Raises DataError for a region that can't be decoded.
    """
    labelled = people.labelled
    rest, unsure = people[~labelled & ~people.crowds], people[labelled & people.unknown.any(axis=1)]
    parts = _encoded(rest, height, width)
    for keypoints, box, unknown in zip(unsure.keypoints, unsure.boxes, unsure.unknown, strict=True):
        parts += [_encode_box(part, height, width) for part in unknown_boxes(keypoints, box, unknown, limbs)]
    around = _encoded(people[people.crowds], height, width)
    if others is not None:
        around += _encoded(others[[region is not None for region in others.regions]], height, width)
        around += [_encode_box(box, height, width) for box in others.boxes[[r is None for r in others.regions]]]
    if around:
        # pycocotools can't subtract run lengths, so this part works on pixels. Most photos have no crowd.
        region = _pixels(around, height, width) & ~_pixels(_encoded(people[labelled], height, width), height, width)
        parts.append(coco_mask.encode(np.asfortranarray(region.astype(np.uint8))))
    union = coco_mask.merge(parts) if parts else None
    return union if union is not None and coco_mask.area(union) > 0 else None


def warp_mask(ignore: Encoded | None, matrix: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float32]:
    """Loss mask on the map grid: (rows, columns) float32. 1 counts in the loss, 0 is ignored; outside of the photo: 1.

    ignore: the ignore region of the photo; None: nothing is ignored. matrix: 2 x 3 float64, photo pixels to map cells.
    """
    if ignore is None:
        return np.ones((rows, columns), np.float32)
    # pycocotools stores pixels column after column. The transpose makes them contiguous rows, with x and y exchanged.
    region = np.asarray(coco_mask.decode(ignore).T, np.float32)
    warped = cv2.warpAffine(region, matrix[:, [1, 0, 2]], (columns, rows), flags=cv2.INTER_LINEAR, borderValue=(0.0,))
    return 1 - np.asarray(warped, np.float32)


def region_box(region: Region, place: str, height: int, width: int) -> list[float] | None:
    """The box x, y, width, height around a region in an image of height x width pixels; None if the region is empty.

    place: for messages. Raises DataError for a region that can't be decoded.
    """
    if region is None:
        return None
    box: list[float] = coco_mask.toBbox(_encode(region, (), place, height, width)).tolist()
    return box if min(box[2:]) > 0 else None


def _pixels(parts: list[Encoded], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool, the union of encoded regions."""
    if not parts:
        return np.zeros((height, width), bool)
    return np.asarray(coco_mask.decode(coco_mask.merge(parts)), bool)


def _encode_box(box: Sequence[float], height: int, width: int) -> Encoded:
    """Run-length encoding of a box x, y, width, height, cut at the image's edges."""
    x0, x1 = np.clip([box[0], box[0] + box[2]], 0, width)
    y0, y1 = np.clip([box[1], box[1] + box[3]], 0, height)
    encoded: Encoded = coco_mask.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]]), height, width)[0]
    return encoded


def _encoded(people: People, height: int, width: int) -> list[Encoded]:
    """Run-length encoding of each person's region, or of the box without one. Raises DataError."""
    parts = zip(people.regions, people.boxes.tolist(), people.places, strict=True)
    return [_encode(region, box, place, height, width) for region, box, place in parts]


def _encode(segmentation: Region, box: Sequence[float], where: str, height: int, width: int) -> Encoded:
    if segmentation is None:
        x, y, w, h = box
        segmentation = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    if isinstance(segmentation, tuple):
        segmentation = [polygon.tolist() for polygon in segmentation]
    try:
        # pycocotools follows a polygon pixel by pixel, so a point that is very far away would take very long.
        if isinstance(segmentation, list) and not all(abs(v) < _FARTHEST_PX for part in segmentation for v in part):
            raise ValueError("not a finite number, or far outside")
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            if isinstance(segmentation, dict):
                check_run_list(segmentation["counts"], height, width)
            encoded = coco_mask.frPyObjects(segmentation, height, width)
        else:
            check_runs(segmentation["counts"], height, width)
            encoded = segmentation
        merged: Encoded = coco_mask.merge(encoded) if isinstance(encoded, list) else encoded
        rows, columns = merged["size"]
    except Exception as error:  # noqa: BLE001 - pycocotools raises bare `Exception("input type is not supported.")`
        raise DataError(f"{where}: segmentation can't be decoded ({error})") from None
    if (rows, columns) != (height, width):
        raise DataError(f"{where}: segmentation is for {columns} x {rows}, the image is {width} x {height}")
    return merged
