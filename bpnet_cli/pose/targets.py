"""Target maps: the maps that a perfect network would output for labelled people. The inverse of `decode`.

`render_target_batch` uses only functions that numpy and `keras.ops` share. So the same code serves the public numpy
function, the tests and the loss on an accelerator.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.skeleton import BODY_18, Skeleton

# Smaller values of a Gaussian become 0, as in NVIDIA's BodyPoseNet.
_HEATMAP_FLOOR = 0.001


def render_targets(
    keypoints: ArrayLike,
    height: int,
    width: int,
    skeleton: Skeleton = BODY_18,
    stride: int = 8,
    heatmap_sigma_px: float = 7.0,
    paf_half_width_px: float = 8.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps and PAFs of labelled people.

    keypoints: (P, K, 3) rows x, y, visibility in network-input pixels; visibility 0: not labelled; P may be 0.
    height, width: size of the network input in pixels, multiples of `stride`.
    heatmap_sigma_px: standard deviation of a keypoint's Gaussian, input pixels.
    paf_half_width_px: largest distance from a limb's segment at which its PAF is set, input pixels.
    Returns float32 heatmaps (height / stride, width / stride, K + 1) with values 0..1, the background last, and float32
    pafs (height / stride, width / stride, 2L), vectors of length 0..1.
    Raises BpnetError for a wrong shape or size.
    Source: Cao et al., CVPR 2017, sections 2.2 and 2.3; here a limb also has round ends.
    """
    people = np.asarray(keypoints, dtype=np.float32)
    count = len(skeleton.keypoints)
    if people.size == 0:
        people = people.reshape(0, count, 3)
    if people.ndim != 3 or people.shape[1:] != (count, 3):
        raise BpnetError(f"render_targets: keypoints must have shape (people, {count}, 3), got {people.shape}")
    if height % stride or width % stride or min(height, width) <= 0:
        raise BpnetError(
            f"render_targets: height and width must be positive multiples of {stride}, got {height} x {width}"
        )
    padded = np.concatenate([people, np.zeros((1, count, 3), np.float32)])[None]
    heatmaps, pafs = render_target_batch(
        padded,
        height // stride,
        width // stride,
        skeleton.limb_indices,
        stride=stride,
        heatmap_sigma_px=heatmap_sigma_px,
        paf_half_width_px=paf_half_width_px,
    )
    return np.ascontiguousarray(heatmaps[0], np.float32), np.ascontiguousarray(pafs[0], np.float32)


def render_target_batch(
    keypoints: Any,
    rows: int,
    columns: int,
    limb_indices: NDArray[np.intp],
    *,
    stride: int,
    heatmap_sigma_px: float,
    paf_half_width_px: float,
    xp: Any = np,
) -> tuple[Any, Any]:
    """Heatmaps and PAFs of a batch of images; see `render_targets`.

    keypoints: (B, P, K, 3) float rows x, y, visibility in input pixels. Images with fewer people are padded with people
        of visibility 0 to the same P >= 1.
    rows, columns: size of the maps in cells. xp: `numpy` or `keras.ops`.
    Returns heatmaps (B, rows, columns, K + 1) and pafs (B, rows, columns, 2L); no mask is applied.
    """
    # PyTorch can't add a numpy array to a tensor.
    xs, ys = (
        xp.array(np.asarray(cell_to_pixel(np.arange(cells, dtype=np.float32), stride), np.float32))
        for cells in (columns, rows)
    )
    heatmaps = _render_heatmaps(keypoints, xs, ys, heatmap_sigma_px, xp)
    pafs = _render_pafs(keypoints, xs, ys, limb_indices, paf_half_width_px, xp)
    return heatmaps, pafs


def reach_px(heatmap_sigma_px: float, paf_half_width_px: float) -> float:
    """How far from a keypoint or limb the maps are marked at most, in input pixels."""
    return max(heatmap_sigma_px * math.sqrt(-2 * math.log(_HEATMAP_FLOOR)), paf_half_width_px)


def _render_heatmaps(keypoints: Any, xs: Any, ys: Any, sigma: float, xp: Any) -> Any:
    """Gaussians exp(-d^2 / (2 sigma^2)), their maximum over people; background = 1 - maximum over keypoints."""
    labelled = xp.where(keypoints[..., 2:3] > 0, 1.0, 0.0)
    across = xp.exp(-((xs - keypoints[..., 0:1]) ** 2) / (2 * sigma**2)) * labelled
    down = xp.exp(-((ys - keypoints[..., 1:2]) ** 2) / (2 * sigma**2))
    maps = xp.max(down[..., :, None] * across[..., None, :], axis=1)
    maps = xp.where(maps < _HEATMAP_FLOOR, 0.0, maps)
    background = 1.0 - xp.max(maps, axis=1, keepdims=True)
    return xp.transpose(xp.concatenate([maps, background], axis=1), (0, 2, 3, 1))


def _render_pafs(
    keypoints: Any,
    xs: Any,
    ys: Any,
    limb_indices: NDArray[np.intp],
    half_width: float,
    xp: Any,
) -> Any:
    """The limb's unit vector in every cell within `half_width` pixels of its segment; the mean where people overlap.

    The distance is measured to the segment. BodyPoseNet measures it to the limb's line inside a bounding rectangle.
    With the segment, limbs shorter than a cell leave a mark, and long limbs don't extend past their ends.
    """
    start = xp.take(keypoints, limb_indices[:, 0], axis=2)
    end = xp.take(keypoints, limb_indices[:, 1], axis=2)
    delta = end[..., :2] - start[..., :2]
    length = xp.sqrt(xp.sum(delta**2, axis=-1, keepdims=True))
    usable = (start[..., 2:3] > 0) & (end[..., 2:3] > 0) & (length > 0)
    unit = delta / xp.where(length > 0, length, 1.0)
    ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
    across = xs - (start[..., 0:1] + end[..., 0:1]) / 2
    down = ys - (start[..., 1:2] + end[..., 1:2]) / 2
    # Passes over arrays of shape (B, P, L, rows, columns) cost most of the time, so there are few of them.
    along = (across * unit[..., 0:1])[..., None, :] + (down * unit[..., 1:2])[..., :, None]
    aside = (across * unit[..., 1:2])[..., None, :] - (down * unit[..., 0:1])[..., :, None]
    beyond = xp.maximum(xp.abs(along) - length[..., None] / 2, 0.0)
    reach = xp.where(usable, half_width**2, -1.0)
    inside = xp.where(beyond**2 + aside**2 <= reach[..., None], 1.0, 0.0)
    people = xp.maximum(xp.sum(inside, axis=1), 1.0)
    vectors = xp.stack([xp.sum(inside * ux, axis=1) / people, xp.sum(inside * uy, axis=1) / people], axis=2)
    batch, limbs, _, rows, columns = vectors.shape
    maps = xp.reshape(vectors, (-1 if batch is None else batch, limbs * 2, rows, columns))
    return xp.transpose(maps, (0, 2, 3, 1))
