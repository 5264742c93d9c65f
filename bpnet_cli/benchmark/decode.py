"""`bpnet benchmark decode`: accuracy and speed of the decoder, without a network.

There are three kinds of maps: maps rendered from labels (a perfect network), stored maps of a real network, and maps
of crowds of synthetic people. Times are compared with a x8 cubic upsampling of the same maps in the same run, the usual
first step of decoders of this family. Both run on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.benchmark.crowds import draw_crowd
from bpnet_cli.data.choice import choice_for
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.labels import Labels
from bpnet_cli.data.photos import people_of
from bpnet_cli.data.plausible import make_plausible
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.coco import evaluate_detections, restrict
from bpnet_cli.inference.results import coco_entries
from bpnet_cli.log import progress
from bpnet_cli.pose.decode import decode
from bpnet_cli.pose.geometry import apply_affine, invert_affine, resize_affine
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.pose.targets import render_targets
from bpnet_cli.strides import STRIDE

UPSAMPLING = 8
CROWDS = (1, 5, 10, 30, 60, 100)
CROWD_SIZE = (736, 1312)
_DECODINGS = 15
_UPSAMPLINGS = 3
_ROUNDS = 9


@dataclass(frozen=True, eq=False)
class MapsOfPhoto:
    """Maps of one photo. matrix: 2 x 3, from photo pixels to network-input pixels."""

    image_id: int
    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]
    matrix: NDArray[np.float64]


def benchmark_rendered(
    annotations: str | Path, skeleton: Skeleton, options: DecodeOptions, height: int, width: int
) -> dict[str, Any]:
    """AP and times on maps rendered from labels; needs no photos. Every photo is fitted into height x width pixels.

    Returns one row. Times are CPU time of one thread in milliseconds, the median over the photos. first_ms: the first
    decoding of each photo. ratio: decode_ms / upsample_ms, the median over the photos.
    Raises DataError for a file that can't be used.
    """
    truth = restrict(make_plausible(read_coco_file(annotations, choice_for(skeleton))), skeleton)
    return _measure(truth, _render(truth, skeleton, height, width), skeleton, options, f"rendered {height}x{width}")


def benchmark_stored(
    maps: str | Path, annotations: str | Path, skeleton: Skeleton, options: DecodeOptions
) -> dict[str, Any]:
    """AP and times on stored maps; returns a row as `benchmark_rendered` does.

    maps: a `.npz` file with one (h, w, K + 1 + 2L) array per photo, named by the photo's id with 12 digits. The
    network's input was the photo resized to (8h, 8w) pixels. Raises DataError for a file that doesn't fit.
    """
    truth = restrict(make_plausible(read_coco_file(annotations, choice_for(skeleton))), skeleton)
    return _measure(truth, _load(truth, maps, skeleton), skeleton, options, f"stored {Path(maps).name}")


def benchmark_crowds(skeleton: Skeleton, options: DecodeOptions) -> list[dict[str, Any]]:
    """Times for 1 to 100 people, who don't overlap, on one large input (`CROWD_SIZE`, height x width pixels).

    Returns a row for each number of people. found: people with every keypoint within a pixel. The times are those of
    `benchmark_rendered`.
    """
    crowds = [draw_crowd(count, *CROWD_SIZE, skeleton) for count in CROWDS]
    maps = [render_targets(keypoints, *CROWD_SIZE, skeleton) for keypoints in crowds]
    # The crowds take turns, so that a machine that is busy for a while slows all of them equally.
    upsampling: list[list[_Turn]] = [[] for _ in crowds]
    decoding: list[list[_Turn]] = [[] for _ in crowds]
    for _ in progress(range(_ROUNDS), _ROUNDS, "crowds"):
        for number, m in enumerate(maps):
            upsampling[number].append(_timed(partial(upsample, *m), 1))
            decoding[number].append(_timed(partial(decode, *m, skeleton, STRIDE, options), _DECODINGS))
    return [
        {
            "people": len(keypoints),
            "found": sum(_is_found(person, decoded[0].result) for person in keypoints),
            "decode_ms": round(1e3 * median(turn.seconds for turn in decoded), 3),
            "first_ms": round(1e3 * median(turn.first for turn in decoded), 3),
            "upsample_ms": round(1e3 * median(turn.seconds for turn in upsampled), 3),
        }
        for keypoints, decoded, upsampled in zip(crowds, decoding, upsampling, strict=True)
    ]


def upsample(heatmaps: NDArray[np.float32], pafs: NDArray[np.float32]) -> None:
    """Upsample all maps x8 with cubic interpolation."""
    for maps in (heatmaps, pafs):
        cv2.resize(maps, None, fx=UPSAMPLING, fy=UPSAMPLING, interpolation=cv2.INTER_CUBIC)


def one_thread() -> None:
    """Limit OpenCV to one thread. numpy's threads are set by environment variables before it is imported."""
    cv2.setNumThreads(1)


def _measure(
    truth: Labels, maps: Iterator[MapsOfPhoto], skeleton: Skeleton, options: DecodeOptions, what: str
) -> dict[str, Any]:
    detections: list[dict[str, Any]] = []
    decoding, upsampling = [], []
    for photo in progress(maps, len(truth.images), what):
        # Both are measured on each photo in turn, so that a busy machine slows both equally.
        decoded = _timed(partial(decode, photo.heatmaps, photo.pafs, skeleton, STRIDE, options), _DECODINGS)
        decoding.append(decoded)
        upsampling.append(_timed(partial(upsample, photo.heatmaps, photo.pafs), _UPSAMPLINGS).seconds)
        inverse = invert_affine(photo.matrix)
        moved = [person.moved(inverse) for person in decoded.result]
        detections += coco_entries(photo.image_id, moved, skeleton, truth.keypoint_names, truth.category_id)
    metrics = evaluate_detections(truth, detections, skeleton).metrics
    return {
        "maps": what,
        "photos": len(decoding),
        "AP": round(metrics["AP"], 4),
        "AR": round(metrics["AR"], 4),
        "decode_ms": round(1e3 * median(turn.seconds for turn in decoding), 3),
        "first_ms": round(1e3 * median(turn.first for turn in decoding), 3),
        "upsample_ms": round(1e3 * median(upsampling), 3),
        "ratio": round(median(d.seconds / u for d, u in zip(decoding, upsampling, strict=True)), 4),
    }


def _render(truth: Labels, skeleton: Skeleton, height: int, width: int) -> Iterator[MapsOfPhoto]:
    for image_id, image in truth.images.items():
        scale = min(height / image.height, width / image.width)
        matrix = resize_affine(scale, scale)
        keypoints = people_of(truth, image_id, skeleton)
        keypoints[..., :2] = apply_affine(matrix, keypoints[..., :2].astype(np.float64))
        yield MapsOfPhoto(image_id, *render_targets(keypoints, height, width, skeleton), matrix)


def _load(truth: Labels, path: str | Path, skeleton: Skeleton) -> Iterator[MapsOfPhoto]:
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file of stored maps")
    channels = skeleton.heatmap_channels + skeleton.paf_channels
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        for image_id, image in truth.images.items():
            name = f"{image_id:012d}"
            if name not in archive:
                raise DataError(f"{path}: has no array {name}, but {truth.path} lists the photo {image_id}")
            maps = np.asarray(archive[name], np.float32)
            if maps.ndim != 3 or maps.shape[2] != channels:
                raise DataError(f"{path}: {name} must have shape (height, width, {channels}), got {maps.shape}")
            size = (STRIDE * maps.shape[1] / image.width, STRIDE * maps.shape[0] / image.height)
            heatmaps = np.ascontiguousarray(maps[..., : skeleton.heatmap_channels])
            pafs = np.ascontiguousarray(maps[..., skeleton.heatmap_channels :])
            yield MapsOfPhoto(image_id, heatmaps, pafs, resize_affine(*size))


@dataclass(frozen=True, eq=False)
class _Turn:
    """The result of some work, and its CPU seconds on this thread: the median of all runs, and the first run."""

    result: Any
    seconds: float
    first: float


def _timed(work: Callable[[], Any], times: int) -> _Turn:
    seconds = []
    for _ in range(times):
        start = time.thread_time()
        result = work()
        seconds.append(time.thread_time() - start)
    return _Turn(result, median(seconds), seconds[0])


def _is_found(keypoints: NDArray[np.float64], persons: Sequence[Person]) -> bool:
    """Whether one of `persons` has every labelled keypoint within a pixel."""
    labelled = keypoints[:, 2] > 0
    errors = [np.linalg.norm(p.keypoints[labelled, :2] - keypoints[labelled, :2], axis=1).max() for p in persons]
    return any(error < 1 for error in errors)
