"""Test-time augmentation: maps of a mirrored or rescaled photo are brought to the original grid and averaged."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.geometry import cell_to_pixel, compose_affine, pixel_to_cell
from bpnet_cli.pose.skeleton import Skeleton

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]

# OpenCV warps at most this many channels at once.
_CHANNELS = 4


def unflip_maps(heatmaps: NDArray[np.float32], pafs: NDArray[np.float32], skeleton: Skeleton) -> Maps:
    """Turn the maps of a mirrored input into maps of the input itself; float32 of the same shapes.

    heatmaps: (h, w, K + 1), the background last. pafs: (h, w, 2L). The input's width must be a multiple of the stride.
    Left and right channels swap, and the x of the PAFs changes sign. The PAF of a limb that has no mirror image in the
    skeleton is NaN.
    """
    keypoints = [*skeleton.flip_permutation, len(skeleton.keypoints)]
    mirrored = pafs[:, ::-1].reshape(*pafs.shape[:2], -1, 2)
    limbs = {tuple(limb): i for i, limb in enumerate(skeleton.limb_indices.tolist())}
    restored = np.full_like(mirrored, np.nan)
    for i, (a, b) in enumerate(skeleton.flip_permutation[skeleton.limb_indices].tolist()):
        if (a, b) in limbs:
            restored[..., i, :] = mirrored[..., limbs[a, b], :] * np.array([-1, 1], np.float32)
        elif (b, a) in limbs:
            restored[..., i, :] = mirrored[..., limbs[b, a], :] * np.array([1, -1], np.float32)
    return np.ascontiguousarray(heatmaps[:, ::-1, keypoints]), restored.reshape(pafs.shape)


def resample_maps(
    maps: NDArray[np.float32], rows: int, columns: int, matrix: NDArray[np.float64], stride: int
) -> NDArray[np.float32]:
    """(rows, columns, C) float32 maps, sampled from (h, w, C) maps of another input by cubic interpolation.

    matrix: 2 x 3, from input pixels of the result to input pixels of `maps`. stride: input pixels per map cell, the
    same for both. Cells outside of `maps` take the nearest value.
    """
    to_pixel = np.array([[stride, 0.0, cell_to_pixel(0.0, stride)], [0.0, stride, cell_to_pixel(0.0, stride)]])
    offset = pixel_to_cell(0.0, stride)
    to_cell = np.array([[1 / stride, 0.0, offset], [0.0, 1 / stride, offset]])
    cells = compose_affine(to_cell, compose_affine(matrix, to_pixel))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    parts = []
    for first in range(0, maps.shape[2], _CHANNELS):
        part = np.ascontiguousarray(maps[..., first : first + _CHANNELS])
        warped = cv2.warpAffine(part, cells, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        parts.append(np.asarray(warped, np.float32).reshape(rows, columns, -1))
    return np.concatenate(parts, axis=2)


def average_maps(variants: list[Maps]) -> Maps:
    """Mean of several (heatmaps, pafs) of equal shapes; PAF values that are NaN in a variant don't count."""
    heatmaps, pafs = (np.stack(kind) for kind in zip(*variants, strict=True))
    known = ~np.isnan(pafs)
    total = np.where(known, pafs, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return heatmaps.mean(axis=0), total.astype(np.float32)
