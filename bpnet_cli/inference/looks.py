"""What people look like, for tracking: the colours along their limbs."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# Places along a limb, as shares of its length. Its ends are joints, where other limbs and the background are near.
_PLACES = (0.3, 0.4, 0.5, 0.6, 0.7)


def looks_of(image: NDArray[np.uint8], persons: Sequence[Person], skeleton: Skeleton) -> NDArray[np.float32]:
    """(P, L, 3) the median colour of each person along each limb, as L, a, b from 0 to 255; NaN where a limb is absent.

    image: (H, W, 3) uint8 RGB; the people's keypoints are in its pixels.
    """
    limbs = np.asarray(skeleton.limb_indices)
    if not persons:
        return np.zeros((0, len(limbs), 3), np.float32)
    points = np.stack([person.keypoints[:, :2] for person in persons])
    starts, ends = points[:, limbs[:, 0], None], points[:, limbs[:, 1], None]
    places = starts + np.asarray(_PLACES)[:, None] * (ends - starts)
    absent = np.isnan(places[:, :, 0, 0])
    height, width = image.shape[:2]
    columns, rows = np.nan_to_num(places).round().astype(int).reshape(-1, 2).T
    colours = image[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    lab = cv2.cvtColor(colours[:, None], cv2.COLOR_RGB2LAB).reshape(*places.shape[:3], 3)
    looks = np.asarray(np.median(lab, axis=2), np.float32)
    looks[absent] = np.nan
    return looks
