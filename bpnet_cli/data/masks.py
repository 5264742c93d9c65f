"""Ignore regions: where nobody knows whether there are keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bpnet_cli.errors import DataError

Encoded = Mapping[str, Any]


def encode_ignore_region(annotations: Sequence[Mapping[str, Any]], height: int, width: int) -> Encoded | None:
    """Run-length encoding of (crowd minus labelled people) or people without keypoints; None where that is empty.

    annotations: COCO entries of one image of height x width pixels. A person without a segmentation counts by its box.
    Raises DataError for a segmentation that does not decode.
    """
    crowd = [a for a in annotations if a.get("iscrowd")]
    people = [a for a in annotations if not a.get("iscrowd")]
    labelled = [a for a in people if any(v > 0 for v in a["keypoints"][2::3])]
    unlabelled = [a for a in people if not any(v > 0 for v in a["keypoints"][2::3])]
    parts = [_encode(a, height, width) for a in unlabelled]
    if crowd:
        # Run lengths know no difference, so this part goes through pixels; most photos have no crowd.
        region = _pixels(crowd, height, width) & ~_pixels(labelled, height, width)
        parts.append(coco_mask.encode(np.asfortranarray(region.astype(np.uint8))))
    union = coco_mask.merge(parts) if parts else None
    return union if union is not None and coco_mask.area(union) > 0 else None


def warp_mask(ignore: Encoded | None, matrix: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float32]:
    """Loss mask on the map grid: (rows, columns) float32, 1 counts in the loss, 0 is ignored; outside of the photo 1.

    matrix: 2 x 3, photo pixels to map cells.
    """
    if ignore is None:
        return np.ones((rows, columns), np.float32)
    region = np.asarray(coco_mask.decode(ignore), np.float32)
    warped = cv2.warpAffine(region, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderValue=(0.0,))
    return 1 - np.asarray(warped, np.float32)


def _pixels(annotations: Sequence[Mapping[str, Any]], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool union."""
    if not annotations:
        return np.zeros((height, width), bool)
    return np.asarray(coco_mask.decode(coco_mask.merge([_encode(a, height, width) for a in annotations])), bool)


def _encode(annotation: Mapping[str, Any], height: int, width: int) -> Encoded:
    where = f"annotation {annotation.get('id', '?')}"
    segmentation = annotation.get("segmentation")
    if not segmentation:
        x, y, w, h = annotation["bbox"]
        segmentation = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    try:
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            encoded = coco_mask.frPyObjects(segmentation, height, width)
        else:
            encoded = segmentation
        merged: Encoded = coco_mask.merge(encoded) if isinstance(encoded, list) else encoded
        rows, columns = merged["size"]
    except Exception as error:  # noqa: BLE001 - pycocotools raises bare `Exception("input type is not supported.")`
        raise DataError(f"{where}: segmentation can't be decoded ({error})") from None
    if (rows, columns) != (height, width):
        raise DataError(f"{where}: segmentation is for {columns} x {rows}, the image is {width} x {height}")
    return merged
