"""The moving average of the weights: what counts once, what belongs to it, and that every backend computes it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("keras_loaded")
STEPS, MOMENTUM = 7, 0.3


def make_parts(accumulate: int = 1, momentum: float = MOMENTUM) -> tuple:
    """A model with batch norm, and its average: (model, average)."""
    import keras

    from bpnet_cli import BODY_18
    from bpnet_cli.plan import LossWeights, TargetShape, optimizer_plan
    from bpnet_cli.spec.loader import load_spec_text
    from bpnet_cli.training.averaging import WeightAverage
    from bpnet_cli.training.loss import TrainingModel
    from bpnet_cli.training.optimizer import make_optimizer

    keras.utils.set_random_seed(1)
    image = keras.Input((32, 48, 3), dtype="uint8", name="image")
    x = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    maps = [keras.layers.Conv2D(channels, 1, name=name)(x) for name, channels in (("heat", 19), ("paf", 38))]
    network = keras.Model(image, maps)
    average = WeightAverage(network, momentum)
    model = TrainingModel(network, BODY_18, TargetShape(), LossWeights(), average=average)
    plan = optimizer_plan(load_spec_text("optimizer: {name: sgd, learning_rate: 1.0e-3}", "test").optimizer)
    jit_compile = keras.backend.backend() == "jax"
    model.compile(optimizer=make_optimizer(plan, 1e-3, accumulate=accumulate), jit_compile=jit_compile)
    return model, average


def follow(accumulate: int) -> None:
    """Train, and compute by hand, in float64, what the average has to be after every batch."""
    import keras

    from tests.unit.test_loss import batch

    model, average = make_parts(accumulate)
    expected: list[np.ndarray] = [np.array(w, np.float64) for w in model.network.get_weights()]
    updates = 0
    for step in range(STEPS):
        images, labels = keras.tree.map_structure(keras.ops.convert_to_tensor, batch(step))
        model.train_on_batch(images, labels)
        if (step + 1) % accumulate == 0:
            kept = min(MOMENTUM, updates / (updates + 10))
            updates += 1
            now = model.network.get_weights()
            expected = [kept * old + (1 - kept) * new for old, new in zip(expected, now, strict=True)]
        found = average.weights_of(model.network)
        assert [weight.shape for weight in found] == [weight.shape for weight in expected]
        for variable, ours, wanted in zip(model.network.weights, found, expected, strict=True):
            np.testing.assert_allclose(ours, wanted, atol=1e-6, err_msg=variable.path)
    assert int(average.updates) == updates
    moving = {v.name: np.abs(np.asarray(v) - a).max() for v, a in zip(model.network.weights, found, strict=True)}
    assert moving.keys() == {"gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"}
    assert min(moving.values()) > 1e-6  # all of them do lag behind the weights


@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_update_counts_once_and_batch_norms_statistics_too(accumulate: int) -> None:
    follow(accumulate)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = "from tests.unit.test_averaged_weights import follow; follow(1); follow(3)"
    repository = str(Path(__file__).parents[2])
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": repository, "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository, env=environment)


def test_where_the_weights_began_is_forgotten() -> None:
    """A weight of 1000, then 1: a constant momentum of 0.999 would still average to 900 at the end."""
    import keras

    from bpnet_cli.training.averaging import WeightAverage

    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    average = WeightAverage(network, 0.999)
    for update in range(1, 101):
        network.set_weights([np.full((1, 1), 1000.0 if update == 1 else 1.0)])
        average.update(update)
    np.testing.assert_allclose(average.weights_of(network)[0], 1.0, rtol=1e-5)


def test_nothing_changes_before_an_update() -> None:
    model, average = make_parts()
    before = [np.array(weight) for weight in model.network.get_weights()]
    model.network.set_weights([weight + 1 for weight in before])
    average.update(0)
    for found, weight in zip(average.weights_of(model.network), before, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_what_does_not_learn_has_no_average() -> None:
    """A frozen batch norm keeps its statistics: the network's own are saved, to the last bit."""
    import keras

    from bpnet_cli.training.averaging import WeightAverage

    image = keras.Input((2,))
    frozen, learning = (keras.layers.BatchNormalization(name=name) for name in ("frozen", "learning"))
    network = keras.Model(image, learning(frozen(image)))
    frozen.trainable = False
    names = set(WeightAverage(network, 0.9).named())
    of_layer = ("gamma", "beta", "moving_mean", "moving_variance")
    assert names == {"average/updates", *(f"average/learning/{name}" for name in of_layer)}
