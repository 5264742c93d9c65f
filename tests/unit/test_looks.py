"""Colours along limbs, and tracking by them."""

from __future__ import annotations

import cv2
import numpy as np

from bpnet_cli import BODY_18, Person
from bpnet_cli.inference.looks import looks_of


def standing(x: float) -> Person:
    """A person in a shape of vertical limbs; each keypoint k at height 4 k."""
    keypoints = np.array([[x, 4 * k, 1] for k in range(len(BODY_18.keypoints))], np.float32)
    return Person(keypoints, 1.0)


def test_looks_are_the_colours_between_the_joints() -> None:
    image = np.zeros((80, 60, 3), np.uint8)
    image[:, :30], image[:, 30:] = (200, 30, 40), (20, 60, 180)
    left, right = standing(10), standing(50)
    right.keypoints[4] = np.nan  # the right wrist
    looks = looks_of(image, [left, right], BODY_18)
    assert looks.shape == (2, len(BODY_18.limbs), 3)
    for look, colour in zip(looks, ((200, 30, 40), (20, 60, 180)), strict=True):
        expected = cv2.cvtColor(np.array([[colour]], np.uint8), cv2.COLOR_RGB2LAB)[0, 0]
        np.testing.assert_allclose(look[0], expected, atol=1)
    gone = [i for i, limb in enumerate(BODY_18.limbs) if "right_wrist" in limb]
    assert np.isnan(looks[1, gone]).all()
    assert np.isnan(looks).sum() == 3 * len(gone)
    assert looks_of(image, [], BODY_18).shape == (0, len(BODY_18.limbs), 3)


def test_people_outside_of_the_picture_have_looks_too() -> None:
    person = standing(10)
    person.keypoints[:, :2] += 1000
    assert np.isfinite(looks_of(np.full((9, 9, 3), 7, np.uint8), [person], BODY_18)).all()
