"""Batches without TensorFlow: the very arrays that tf.data gives."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.photos import photos_of_source
from bpnet_cli.data.pipeline import SampleLoader, make_loader, make_pipeline
from bpnet_cli.data.samples import list_samples
from bpnet_cli.data.sources import open_source
from bpnet_cli.data.threads import thread_batches
from bpnet_cli.errors import DataError
from bpnet_cli.pose.skeleton import BODY_18


@pytest.fixture
def loader(drawn: Path) -> SampleLoader:
    source = open_source(str(drawn / "images"), str(drawn / "annotations" / "person_keypoints.json"))
    samples = list_samples(
        list(photos_of_source(source, BODY_18)), crop="photo", min_keypoints=1, min_area_px=0, min_distance_ratio=0
    )
    return make_loader(samples, BODY_18, Augmentation(), height=64, width=64, stride=8, seed=3)


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize(("start", "step", "workers"), [(0, None, 1), (5, 8, 3)])
def test_they_equal_tf_datas_bit_for_bit(
    loader: SampleLoader, teacher: bool, start: int, step: int | None, workers: int, keras_loaded: None
) -> None:
    pytest.importorskip("tensorflow")
    if teacher:
        loader = replace(loader, teacher=lambda image: np.full((8, 8, 57), image.mean(), np.float32))
    expected = make_pipeline(loader, 4, start=start, step=step).take(6).as_numpy_iterator()
    got = thread_batches(loader, 4, start=start, step=step, workers=workers)
    for (images, labels), (ours, named) in zip(expected, islice(got, 6), strict=True):
        assert np.array_equal(images, ours)
        assert list(labels) == list(named)
        assert all(np.array_equal(labels[name], named[name]) for name in labels)


def test_a_photo_that_can_not_be_read_ends_it_with_its_name(loader: SampleLoader, drawn: Path, tmp_path: Path) -> None:
    def broken(image: object) -> np.ndarray:
        raise DataError("photo.jpg: is cut off")

    batches = thread_batches(replace(loader, teacher=broken), 4, workers=2)
    with pytest.raises(DataError, match="photo.jpg: is cut off"):
        next(batches)
