"""The decoder: from heatmaps and PAFs to people. infer, evaluate and the validation in training all use this one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.assemble import assemble
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.limbs import find_limbs
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.peaks import Peaks, find_peaks, read_peaks, sane
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, Skeleton

__all__ = ["DecodeOptions", "decode", "decode_peaks"]

_DEFAULTS = DecodeOptions()
# The person score contains the person's size. It is converted to an input of this height, in pixels, so that a score
# means the same at any input height.
_SCORE_HEIGHT = 368
# The size of a single point in the person score, in the same pixels.
_POINT_SIZE = 100
# By rounding, a peak may lie this many pixels beyond the edge.
_SLACK = 0.05


def decode(
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    skeleton: Skeleton = BODY_18,
    stride: int = 8,
    options: DecodeOptions = _DEFAULTS,
) -> list[Person]:
    """People in a network's maps, the highest score first; keypoints in network-input pixels.

    heatmaps: (h, w, K + 1) of any float type, the background last. pafs: (h, w, 2L), x and y of each limb's vector.
    stride: input pixels per map cell. Values that are not finite count as 0.
    Raises BpnetError for maps that don't fit the skeleton or each other.
    Source of the method: Cao et al., CVPR 2017, section 2.4; `assemble` groups in another way.
    """
    _check_maps("heatmaps", heatmaps, skeleton.heatmap_channels, skeleton)
    _check_maps("pafs", pafs, skeleton.paf_channels, skeleton)
    if heatmaps.shape[:2] != pafs.shape[:2]:
        raise BpnetError(
            "decode: heatmaps and pafs must have the same height and width, "
            f"got {heatmaps.shape[:2]} and {pafs.shape[:2]}"
        )
    peaks = find_peaks(sane(heatmaps), options.peak_threshold, options.max_peaks)
    return _group(peaks, pafs, skeleton, stride, options)


def decode_peaks(
    peaks: NDArray[np.floating],
    pafs: NDArray[np.floating],
    skeleton: Skeleton = BODY_18,
    stride: int = 8,
    options: DecodeOptions = _DEFAULTS,
) -> list[Person]:
    """People from peaks that are already found, for example by a model of `bpnet export --with-peaks`; see `decode`.

    peaks: (K, P, 3) rows x, y in network-input pixels and score; for each keypoint the highest score first. Rows whose
    score is not above `options.peak_threshold` are left out, and so are rows with values that are not finite.
    pafs: (h, w, 2L).
    Raises BpnetError for shapes that don't fit the skeleton, and for peaks outside of the area that the PAFs cover.
    """
    count, shape = len(skeleton.keypoints), np.shape(peaks)
    if len(shape) != 3 or shape[0] != count or shape[2] != 3:
        raise BpnetError(
            f"decode_peaks: peaks must have shape ({count}, rows, 3) for skeleton {skeleton.name}, got {shape}"
        )
    _check_maps("pafs", pafs, skeleton.paf_channels, skeleton, "decode_peaks")
    height, width = (stride * size for size in pafs.shape[:2])
    found = read_peaks(np.asarray(peaks, np.float32), stride, options.peak_threshold, options.max_peaks)
    x, y = (cell_to_pixel(part, stride) + 0.5 for part in (found.points.real, found.points.imag))
    if ((np.minimum(x, y) < -_SLACK) | (x > width + _SLACK) | (y > height + _SLACK)).any():
        raise BpnetError(
            f"decode_peaks: some peaks lie outside of the {height} x {width} input pixels (height x width) that the"
            f" pafs cover at stride {stride}; give their x, y in pixels of the network's input"
        )
    return _group(found, pafs, skeleton, stride, options)


def _group(
    peaks: Peaks, pafs: NDArray[np.floating], skeleton: Skeleton, stride: int, options: DecodeOptions
) -> list[Person]:
    """The part of `decode` after the peaks: limbs, assembly, scores."""
    limbs = find_limbs(pafs, peaks, skeleton.limb_indices, options.limb_threshold, options.limb_samples)
    # The diagonal stands for the largest person that fits into the map. People in a very wide map are not larger, so
    # it is limited to twice the shorter side.
    diagonal = min(math.hypot(*pafs.shape[:2]), 2 * min(pafs.shape[:2]))
    groups = assemble(peaks, limbs, skeleton.neighbours, diagonal, options.merge_distance)
    found = np.full((3, len(peaks.score) + 1), np.nan, np.float32)
    found[:2, :-1] = cell_to_pixel(peaks.points.view(np.float32).reshape(-1, 2).T, stride)
    found[2, :-1] = peaks.score
    return _rank(found.take(groups.T, axis=1), options, _SCORE_HEIGHT / (stride * pafs.shape[0]))


def _rank(keypoints: NDArray[np.float32], options: DecodeOptions, scale: float) -> list[Person]:
    """People that pass the thresholds, the highest score first.

    The score is mean keypoint score x count ** 0.25 x log(1 + scale x size). The size is the diagonal of the person's
    box in pixels. Count and size are part of it because poses of many keypoints and of large people are right more
    often than the height of their peaks tells. People of a skeleton of one keypoint have the size `_POINT_SIZE`.
    keypoints: (3, K, P) x, y, score; NaN where not found. scale: `_SCORE_HEIGHT` / height of the input.
    """
    score = keypoints[2]
    found = score == score  # NaN is not
    count = np.add.reduce(found)
    total = np.add.reduce(score, where=found)
    kept = ((total >= options.person_threshold) & (count >= options.min_keypoints)).nonzero()[0]
    total, count, keypoints = total[kept], count[kept], keypoints.take(kept, axis=2)
    width, height = np.fmax.reduce(keypoints[:2], axis=1) - np.fmin.reduce(keypoints[:2], axis=1)
    size = scale * np.hypot(width, height) if len(found) > 1 else _POINT_SIZE
    scores = total * count**-0.75 * np.log1p(size)
    order = (-scores).argsort(kind="stable")
    rows = keypoints.T[order]
    return list(map(Person, rows, scores[order].tolist()))


def _check_maps(
    name: str, maps: NDArray[np.floating], channels: int, skeleton: Skeleton, caller: str = "decode"
) -> None:
    shape = np.shape(maps)
    if len(shape) != 3 or shape[2] != channels or 0 in shape[:2]:
        raise BpnetError(
            f"{caller}: {name} must have shape (height, width, {channels}) for skeleton {skeleton.name}, got {shape}"
        )
