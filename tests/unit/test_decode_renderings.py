"""Perfect maps by another formula than our own: limbs marked strictly between their ends (Cao et al., CVPR 2017)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bpnet_cli import BODY_18, decode, render_targets
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.photos import people_of
from bpnet_cli.evaluation.coco import evaluate_detections, restrict
from bpnet_cli.inference.results import coco_entries
from bpnet_cli.pose.geometry import apply_affine, invert_affine, resize_affine
from tests.unit.people import STANDING, people_at

STRIDE, HALF_WIDTH = 8, 8.0


def marked_between_the_ends(people: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """PAFs of equation 8 of the paper: v at p where 0 <= v . (p - start) <= length and |v across| <= half width."""
    y, x = np.mgrid[0 : height // STRIDE, 0 : width // STRIDE] * STRIDE + (STRIDE - 1) / 2
    pafs = np.zeros((*x.shape, 2 * len(BODY_18.limb_indices)), np.float32)
    for limb, (a, b) in enumerate(BODY_18.limb_indices):
        people_here = np.zeros(x.shape)
        for person in people:
            delta = person[b, :2] - person[a, :2]
            length = np.hypot(*delta)
            if person[a, 2] <= 0 or person[b, 2] <= 0 or length == 0:
                continue
            along = ((x - person[a, 0]) * delta[0] + (y - person[a, 1]) * delta[1]) / length
            across = ((x - person[a, 0]) * delta[1] - (y - person[a, 1]) * delta[0]) / length
            marked = (along >= 0) & (along <= length) & (np.abs(across) <= HALF_WIDTH)
            pafs[marked, 2 * limb : 2 * limb + 2] += delta / length
            people_here += marked
        pafs[..., 2 * limb : 2 * limb + 2] /= np.maximum(people_here, 1)[..., None]
    return pafs


@pytest.mark.parametrize("height", [40.0, 55.0, 80.0, 150.0, 300.0])
def test_small_and_large_people_stay_whole(height: float) -> None:
    scale = height / np.ptp(STANDING[:, 1])
    people = people_at((120.3, 190.7, scale), (330.9, 195.1, scale))
    heatmaps, _ = render_targets(people, 384, 480, BODY_18)
    found = decode(heatmaps, marked_between_the_ends(people, 384, 480), BODY_18)
    assert len(found) == 2
    for person in found:
        assert np.isfinite(person.keypoints).all()


@pytest.mark.parametrize("rounded", [False, True])
def test_perfect_maps_of_real_labels(shared_data: Path, rounded: bool) -> None:
    """AP of both ways to draw a limb; people who overlap keep it below 1."""
    truth = restrict(read_coco_file(shared_data / "coco-dev" / "annotations" / "person_keypoints.json"), BODY_18)
    detections = []
    for image_id, image in truth.images.items():
        matrix = resize_affine(*[min(368 / image.height, 656 / image.width)] * 2)
        people = people_of(truth, image_id, BODY_18)
        people[..., :2] = apply_affine(matrix, people[..., :2].astype(np.float64))
        heatmaps, pafs = render_targets(people, 368, 656, BODY_18)
        if not rounded:
            pafs = marked_between_the_ends(people, 368, 656)
        found = [person.moved(invert_affine(matrix)) for person in decode(heatmaps, pafs, BODY_18)]
        detections += coco_entries(image_id, found, BODY_18, truth.keypoint_names, truth.category_id)
    assert evaluate_detections(truth, detections, BODY_18).metrics["AP"] >= 0.92


@pytest.mark.parametrize("wide", [True, False])
def test_people_at_the_two_ends_of_a_long_map_are_not_joined(wide: bool) -> None:
    """What one lacks, the other has, and the PAFs have a little noise in the direction from one to the other."""
    first, second = people_at((120, 150, 1.7), (2800, 150, 1.7))
    upper = [
        BODY_18.keypoints.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle", "ear")
    ]
    first[upper] = 0
    second[[k for k in range(18) if k not in upper]] = 0
    people = np.stack([first, second])
    if not wide:
        people = people[..., [1, 0, 2]]
    size = (272, 2944) if wide else (2944, 272)
    heatmaps, pafs = render_targets(people, *size, BODY_18)
    pafs[..., 0 if wide else 1 :: 2] += 0.13
    for person in decode(heatmaps, pafs, BODY_18):
        assert max(person.box[2:]) < 250
