import numpy as np
import pytest

from bpnet_cli.spec.loader import load_spec_text

pytestmark = pytest.mark.usefixtures("keras_loaded")


def rates(text: str, steps: list[int], total: int) -> list[float]:
    from bpnet_cli.training.schedule import make_schedule

    schedule = make_schedule(load_spec_text(f"optimizer: {text}", "test").optimizer, total)
    return [float(schedule(step)) for step in steps]


def test_soft_start_annealing_gives_nvidias_values() -> None:
    text = "{learning_rate: 1.0, schedule: {name: soft_start_annealing, min_learning_rate: 0.1}}"
    found = rates(text, [1, 200, 400, 600, 800, 999], 1000)
    np.testing.assert_allclose(found, [0.104713, 1, 1, 0.630957, 0.251189, 0.1004616], rtol=1e-5)


def test_cosine_warms_up_and_falls() -> None:
    text = "{name: adamw, learning_rate: 2.0, schedule: {name: cosine, warmup_fraction: 0.1, min_learning_rate: 0.2}}"
    np.testing.assert_allclose(rates(text, [0, 5, 10, 55, 100, 120], 100), [0, 1, 2, 1.1, 0.2, 0.2], atol=1e-6)
    without = text.replace("warmup_fraction: 0.1", "warmup_fraction: 0.0")
    np.testing.assert_allclose(rates(without, [0, 50], 100), [2.0, 1.1], atol=1e-6)


def test_constant() -> None:
    assert rates("{learning_rate: 0.5}", [0, 7, 100], 10) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("path", "factor"),
    [
        ("block_1a_conv_1/kernel", 1),
        ("channel_reduction_conv/bias", 2),
        ("stage1_conv1/kernel", 1),
        ("stage1_heat_out/bias", 2),
        ("stage2_conv3/kernel", 4),
        ("stage2_paf_conv6/bias", 8),
        ("heatmap_out/kernel", 4),
        ("paf_out/bias", 8),
        ("block_1a_bn_1/gamma", 1),
        ("stage2_conv1_bn/beta", 1),
        ("bodyposenet/stage3_conv1/kernel", 4),
    ],
)
def test_bodyposenet_multipliers(path: str, factor: float) -> None:
    from bpnet_cli.training.optimizer import bodyposenet_multipliers

    assert bodyposenet_multipliers(path) == factor


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_multipliers_scale_the_step_and_survive_momentum(name: str) -> None:
    import keras

    from bpnet_cli.training.optimizer import make_optimizer

    def moved(multipliers: str) -> dict[str, float]:
        text = f"optimizer: {{name: {name}, learning_rate: 0.01, layer_multipliers: {multipliers}}}"
        section = load_spec_text(text, "test").optimizer
        layers = {n: keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name=n) for n in ("conv1", "stage2_conv1")}
        variables = []
        for layer in layers.values():
            layer.build((None, 4, 4, 1))
            variables += layer.trainable_variables
        optimizer = make_optimizer(section, 0.01)
        for _ in range(3):
            optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
        return {v.path: float(np.asarray(v).ravel()[0]) for v in variables}

    plain, scaled = moved("none"), moved("bodyposenet")
    factors = {path: scaled[path] / plain[path] for path in plain}
    expected = {"conv1/kernel": 1, "conv1/bias": 2, "stage2_conv1/kernel": 4, "stage2_conv1/bias": 8}
    for path, factor in expected.items():
        assert factors[path] == pytest.approx(factor, rel=2e-3)


def test_clip_norm_and_decay_reach_the_optimizer() -> None:
    import keras

    from bpnet_cli.training.optimizer import make_optimizer

    text = "optimizer: {name: adamw, weight_decay: 0.5, learning_rate: 0.1, clip_norm: 1.0}"
    optimizer = make_optimizer(load_spec_text(text, "test").optimizer, 0.1)
    assert optimizer.global_clipnorm == 1.0
    layer = keras.layers.Conv2D(1, 1, kernel_initializer="ones", bias_initializer="ones", name="c")
    layer.build((None, 4, 4, 1))
    optimizer.apply([keras.ops.zeros(v.shape) for v in layer.trainable_variables], layer.trainable_variables)
    kernel, bias = (float(np.asarray(v).ravel()[0]) for v in layer.trainable_variables)
    assert kernel == pytest.approx(0.95)
    assert bias == 1.0
