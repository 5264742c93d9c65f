"""Ignore regions: where nobody knows whether there are keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from bpnet_cli.errors import DataError


def encode_ignore_region(annotations: Sequence[Mapping[str, Any]], height: int, width: int) -> Mapping[str, Any] | None:
    """Run-length encoding of (crowd minus labelled people) or people without keypoints; None where that is empty.

    annotations: COCO entries of one image of height x width pixels. A person without a segmentation counts by its box.
    Raises DataError for a segmentation that does not decode.
    """
    crowd = [a for a in annotations if a.get("iscrowd")]
    labelled = [a for a in annotations if not a.get("iscrowd") and any(v > 0 for v in a["keypoints"][2::3])]
    unlabelled = [a for a in annotations if not a.get("iscrowd") and not any(v > 0 for v in a["keypoints"][2::3])]
    if not crowd and not unlabelled:
        return None
    ignore = _union(unlabelled, height, width)
    if crowd:
        ignore |= _union(crowd, height, width) & ~_union(labelled, height, width)
    if not ignore.any():
        return None
    encoded: Mapping[str, Any] = coco_mask.encode(np.asfortranarray(ignore.astype(np.uint8)))
    return encoded


def warp_mask(
    ignore: Mapping[str, Any] | None, matrix: NDArray[np.float64], rows: int, columns: int
) -> NDArray[np.float32]:
    """Loss mask on the map grid: (rows, columns) float32, 1 counts in the loss, 0 is ignored; outside of the photo 1.

    matrix: 2 x 3, photo pixels to map cells.
    """
    if ignore is None:
        return np.ones((rows, columns), np.float32)
    region = np.asarray(coco_mask.decode(ignore), np.float32)
    warped = cv2.warpAffine(region, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderValue=(0.0,))
    return 1 - np.asarray(warped, np.float32)


def _union(annotations: Sequence[Mapping[str, Any]], height: int, width: int) -> NDArray[np.bool_]:
    union = np.zeros((height, width), bool)
    for annotation in annotations:
        union |= _decode(annotation, height, width)
    return union


def _decode(annotation: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_]:
    segmentation = annotation.get("segmentation")
    x, y, w, h = annotation["bbox"]
    if not segmentation:
        segmentation = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    try:
        if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
            encoded = coco_mask.frPyObjects(segmentation, height, width)
        else:
            encoded = segmentation
        if isinstance(encoded, list):
            encoded = coco_mask.merge(encoded)
        region = np.asarray(coco_mask.decode(encoded), bool)
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"annotation {annotation.get('id', '?')}: segmentation can't be decoded ({error})") from None
    if region.shape != (height, width):
        raise DataError(
            f"annotation {annotation.get('id', '?')}: segmentation is for {region.shape[1]} x {region.shape[0]},"
            f" the image is {width} x {height}"
        )
    return region
