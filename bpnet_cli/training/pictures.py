"""Pictures for TensorBoard: the network's results on the first validation photos, with the maps of the labels."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.photos import people_of
from bpnet_cli.evaluation.evaluate import LabelledSet
from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.plan import TargetShape
from bpnet_cli.pose.geometry import apply_affine
from bpnet_cli.pose.targets import render_targets

Pictures = dict[str, NDArray[np.uint8]]
_CAPTION_HEIGHT = 20  # pixels


def pictures_of(
    predictor: Predictor, labelled: LabelledSet | None, count: int, targets: TargetShape
) -> Callable[[], Pictures]:
    """A function that draws the first `count` photos and returns (H, W, 3) uint8 RGB pictures by name.

    A picture `.../people` shows the people found. A picture `.../maps` shows the maps of the labels above the predicted
    maps, and is as wide as two network inputs: heatmaps on the left, PAFs on the right. No `labelled`: no pictures.
    """
    if labelled is None:
        return lambda: {}
    image_ids = sorted(labelled.files)[:count]
    return lambda: {
        name: picture
        for image_id in image_ids
        for name, picture in _pictures_of_photo(predictor, labelled, image_id, targets).items()
    }


def _pictures_of_photo(predictor: Predictor, labelled: LabelledSet, image_id: int, targets: TargetShape) -> Pictures:
    name = labelled.truth.images[image_id].file_name
    photo = labelled.files[image_id].rgb()
    canvas, _ = predictor.prepare(photo, predictor.scales[0])
    heatmaps, pafs, matrix = predictor.maps(photo)
    wanted = _label_maps(predictor, labelled, image_id, canvas.shape[0], canvas.shape[1], matrix, targets)
    both = [
        _captioned(draw_maps(canvas, *wanted), "labels: heatmaps, PAFs"),
        _captioned(draw_maps(canvas, heatmaps, pafs), "network: heatmaps, PAFs"),
    ]
    persons = predictor.decode(heatmaps, pafs, matrix)
    return {
        f"{name}/people": draw_persons(photo, persons, predictor.backend.metadata.skeleton),
        f"{name}/maps": np.vstack(both),
    }


def _label_maps(
    predictor: Predictor,
    labelled: LabelledSet,
    image_id: int,
    height: int,
    width: int,
    matrix: NDArray[np.float64],
    targets: TargetShape,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps and PAFs of a photo's labels on a height x width network input; crowds leave no marks."""
    skeleton = predictor.backend.metadata.skeleton
    keypoints = people_of(labelled.truth, image_id, skeleton)
    keypoints[..., :2] = apply_affine(matrix, keypoints[..., :2].astype(np.float64))
    return render_targets(
        keypoints, height, width, skeleton, targets.stride, targets.heatmap_sigma_px, targets.paf_half_width_px
    )


def _captioned(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The (H, W, 3) picture under a strip with the text."""
    strip = np.full((_CAPTION_HEIGHT, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (4, _CAPTION_HEIGHT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])
