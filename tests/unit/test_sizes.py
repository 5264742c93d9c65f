"""A word where people are of another size in training than in inference."""

from __future__ import annotations

import numpy as np
import pytest

from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.photos import Photo
from bpnet_cli.data.samples import Sample
from bpnet_cli.data.sizes import size_hint


def samples(*heights: float, person: int | None = None) -> list[Sample]:
    """A photo of 400 x 600 pixels for each height of a person in it."""
    zeros = np.zeros((1, 3, 3), np.float32)
    return [
        Sample(
            Photo(None, i, 400, 600, zeros, zeros, np.array([[50, 10, 90, height]]), np.ones(1), np.ones(3), None),
            person,
        )
        for i, height in enumerate(heights)
    ]


PHOTO = Augmentation(crop="photo", scale=(1.0, 1.0))


def test_photos_that_are_larger_in_inference() -> None:
    # 600 x 400 into 300 x 300: half; 400 to 368: 0.92.
    hint = size_hint(samples(100, 200, 390), PHOTO, (300, 300), (368, None))
    assert "the median person is 100 pixels high in training, but 184 in inference" in hint
    assert "inference.input_height (368), model.input_height (300)" in hint


@pytest.mark.parametrize(
    ("augmentation", "training", "inference"),
    [
        (PHOTO, (300, 300), (200, None)),
        (PHOTO, (300, 300), (368, 300)),
        (Augmentation(crop="random", scale=(0.5, 2.0)), (300, 300), (368, None)),
    ],
)
def test_no_word_where_sizes_are_alike(
    augmentation: Augmentation, training: tuple[int, int], inference: tuple[int, int | None]
) -> None:
    assert size_hint(samples(100, 200, 390), augmentation, training, inference) == ""


def test_crops_of_a_person() -> None:
    augmentation = Augmentation(crop="person", person_height=0.5, scale=(0.8, 1.1))
    hint = size_hint(samples(100, person=0), augmentation, (256, 256), (400, None))
    assert hint == ""  # 102 to 141 pixels, and 100: within the slack
    hint = size_hint(samples(50, person=0), augmentation, (256, 256), (400, None))
    assert "is 102 to 141 pixels high in training, but 50 in inference" in hint
