"""Who shares a batch: each host's part of the stream, and places and batches that can't be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.photos import load_photos
from bpnet_cli.data.pipeline import make_loader, make_pipeline
from bpnet_cli.data.samples import list_samples
from bpnet_cli.errors import SpecError

pytestmark = pytest.mark.usefixtures("keras_loaded")


def test_hosts_together_see_exactly_the_samples_of_one(drawn: Path) -> None:
    from bpnet_cli.training.distribution import Distribution

    photos = load_photos(drawn / "images", drawn / "annotations" / "person_keypoints.json", BODY_18)
    samples = list_samples(photos, crop="photo", min_keypoints=5, min_area_px=0, min_distance_ratio=0.3)
    loader = make_loader(samples, BODY_18, Augmentation(crop="photo"), height=64, width=64, stride=8, seed=3)

    def stream(hosts: int, rank: int) -> list:
        offset, length = Distribution(hosts, hosts, rank).slice_of(6)
        assert length == 6 // hosts
        # Not from the beginning, as after resuming, and over the end of the first pass.
        batches = make_pipeline(loader, length, start=6 + offset, step=6).take(3)
        return list(batches.as_numpy_iterator())

    whole = stream(1, 0)
    for hosts in (2, 3):
        parts = [stream(hosts, rank) for rank in range(hosts)]
        for (images, labels), *of_hosts in zip(whole, *parts, strict=True):
            np.testing.assert_array_equal(images, np.concatenate([part[0] for part in of_hosts]))
            for name, values in labels.items():
                np.testing.assert_array_equal(values, np.concatenate([part[1][name] for part in of_hosts]))


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    from bpnet_cli.training.distribution import Distribution, check_batch

    check_batch(8, Distribution(4, 2))
    with pytest.raises(SpecError, match=r"batch_size: 10 samples .* 4 devices on 2 hosts: use 8 or 12$"):
        check_batch(10, Distribution(4, 2))
    with pytest.raises(SpecError, match="use 4$"):
        check_batch(3, Distribution(4, 1))


def test_tensorflow_cannot_accumulate_gradients_on_several_devices() -> None:
    import keras

    from bpnet_cli.training.distribution import Distribution, check_accumulation

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the backend is not tensorflow")
    check_accumulation(1, Distribution(2))
    check_accumulation(2, Distribution(1))
    with pytest.raises(SpecError, match=r"gradient_accumulation: 2 batches .* several devices with TensorFlow: use 1"):
        check_accumulation(2, Distribution(2))


# Each of two devices has a gradient of 5: the whole batch one of 10, which is clipped at 1.
CLIPPING = """
from bpnet_cli.engine import load_keras
load_keras()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from bpnet_cli.plan import optimizer_plan
from bpnet_cli.spec.loader import load_spec_text
from bpnet_cli.training.optimizer import make_optimizer
section = load_spec_text("optimizer: {momentum: 0.0, clip_norm: 1.0}", "test").optimizer
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight = keras.Variable([0.0], name="kernel")
    optimizer = make_optimizer(optimizer_plan(section), 1.0)
    optimizer.build([weight])
strategy.run(tf.function(lambda: optimizer.apply([tf.constant([5.0])], [weight])))
print(weight.numpy().item())
"""


def test_clip_norm_is_the_limit_of_all_devices_together() -> None:
    pytest.importorskip("tensorflow")
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", CLIPPING], capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout) == pytest.approx(-1, rel=1e-5)


PLACE = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1234",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}


@pytest.mark.parametrize("changes", [{}, {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1234,b:1234"}])
def test_a_whole_place_is_accepted(changes: dict[str, str]) -> None:
    from bpnet_cli.training.distribution import check_place

    check_place(PLACE | changes)
    check_place({})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("JOB_ADDRESSES", "", "KERAS_DISTRIBUTION_JOB_ADDRESSES is not set"),
        ("PROCESS_ID", "", "KERAS_DISTRIBUTION_PROCESS_ID is not set"),
        ("PROCESS_ID", "first", "must be a whole number .got 'first'"),
        ("PROCESS_ID", "2", "must be less than KERAS_DISTRIBUTION_NUM_PROCESSES .got 2 of 2"),
        ("JOB_ADDRESSES", "a:1,b:2,c:3", "HOST:PORT of process 0, or of all 2"),
        ("JOB_ADDRESSES", "a", "HOST:PORT"),
    ],
)
def test_a_place_told_in_part_or_wrongly_is_refused(name: str, value: str, message: str) -> None:
    from bpnet_cli.training.distribution import check_place

    with pytest.raises(SpecError, match=message):
        check_place(PLACE | {f"KERAS_DISTRIBUTION_{name}": value})


def test_several_hosts_need_jax() -> None:
    import keras

    from bpnet_cli.training.distribution import make_distribution

    if keras.backend.backend() == "jax":
        pytest.skip("the backend is jax")
    with pytest.raises(SpecError, match="hosts needs KERAS_BACKEND=jax .got tensorflow.*20585"):
        make_distribution("hosts", 4, 1)
