import numpy as np
import pytest

from bpnet_cli.plan import OptimizerPlan, optimizer_plan
from bpnet_cli.spec.loader import load_spec_text

pytestmark = pytest.mark.usefixtures("keras_loaded")


def plan(text: str) -> OptimizerPlan:
    """Of a spec's section `optimizer`."""
    return optimizer_plan(load_spec_text(f"optimizer: {text}", "test").optimizer)


def rates(text: str, steps: list[int], total: int) -> list[float]:
    from bpnet_cli.training.schedule import make_schedule

    schedule = make_schedule(plan(text), total)
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


def test_step_falls_at_each_boundary() -> None:
    text = "{learning_rate: 2.0, schedule: {name: step, boundaries: [0.5, 0.75], factor: 0.1, warmup_fraction: 0.1}}"
    found = rates(text, [0, 5, 10, 49, 50, 74, 75, 130], 100)
    np.testing.assert_allclose(found, [0, 1, 2, 2, 0.2, 0.2, 0.02, 0.02], rtol=1e-5)
    without = text.replace("warmup_fraction: 0.1", "warmup_fraction: 0.0")
    np.testing.assert_allclose(rates(without, [0, 99], 100), [2.0, 0.02], rtol=1e-5)


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
        text = f"{{name: {name}, learning_rate: 0.01, layer_multipliers: {multipliers}}}"
        section = plan(text)
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


@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_shrink_once_an_update_at_the_rate_of_their_layer(accumulate: int) -> None:
    """w (1 - decay rate factor)^n without any gradient; batch norm and biases keep theirs.

    Would fail too where Keras decayed the weights beside us.
    """
    import keras

    from bpnet_cli.training.optimizer import make_optimizer

    text = "{name: adamw, weight_decay: 0.5, learning_rate: 0.1, layer_multipliers: bodyposenet}"
    section = plan(text)
    layers = [keras.layers.Conv2D(1, 1, bias_initializer="ones", name=name) for name in ("conv1", "stage2_conv1")]
    layers.append(keras.layers.BatchNormalization(beta_initializer="ones", name="stage2_bn"))
    for layer in layers:
        layer.build((None, 4, 4, 1))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    before = [np.array(variable) for variable in variables]
    optimizer = make_optimizer(section, 0.1, accumulate=accumulate)
    for _ in range(3 * accumulate):
        optimizer.apply([keras.ops.zeros(v.shape) for v in variables], variables)
    found = {v.path: float((np.array(v) / b).item()) for v, b in zip(variables, before, strict=True)}
    shrunk = {"conv1/kernel": 0.95**3, "stage2_conv1/kernel": 0.8**3}
    assert found == pytest.approx(dict.fromkeys(found, 1.0) | shrunk, rel=1e-5)


CLIPPED = (12.0, 3.0, 4.0)  # gradients of a kernel that is frozen for 4 batches, and of two weights that learn


def half_frozen(optimizer: str, accumulate: int) -> tuple:
    """An optimizer that clips at 2, the weights of two layers, and a function that takes one step of CLIPPED."""
    import keras

    from bpnet_cli.training.optimizer import Freeze, make_optimizer

    section = plan(optimizer)
    frozen = keras.layers.Conv2D(1, 1, kernel_initializer="zeros", use_bias=False, name="conv1")
    learning = keras.layers.Conv2D(1, 1, kernel_initializer="zeros", name="stage1_conv1")
    for layer in (frozen, learning):
        layer.build((None, 4, 4, 1))
    variables = [*frozen.trainable_variables, *learning.trainable_variables]
    made = make_optimizer(section, 1.0, accumulate=accumulate, freeze=Freeze(frozenset({"conv1"}), 4))
    gradients = [keras.ops.full(v.shape, gradient) for v, gradient in zip(variables, CLIPPED, strict=True)]
    return made, variables, lambda: made.apply(gradients, variables)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_clip_norm_is_over_what_learns(accumulate: int) -> None:
    """The norm is 5 while the layer with the gradient of 12 is frozen, then 13."""
    _, variables, apply = half_frozen("{name: sgd, momentum: 0.0, clip_norm: 2.0}", accumulate)
    expected = np.zeros(3)
    for batch in range(6):
        apply()
        if (batch + 1) % accumulate == 0:
            norm, learns = (5, [0, 1, 1]) if batch < 4 else (13, [1, 1, 1])
            expected -= np.multiply(CLIPPED, learns) * 2 / norm
        np.testing.assert_allclose([np.asarray(v).item() for v in variables], expected, rtol=1e-5, err_msg=str(batch))


def test_adam_remembers_gradients_of_frozen_layers_as_they_will_count() -> None:
    optimizer, _, apply = half_frozen("{name: adamw, clip_norm: 2.0}", 1)
    apply()
    moments = [np.asarray(v).item() for v in optimizer.variables if v.name.endswith("_momentum")]
    np.testing.assert_allclose(moments, 0.1 * np.divide(np.multiply(CLIPPED, 2), [13, 5, 5]), rtol=1e-5)


def test_clip_norm_without_frozen_layers() -> None:
    import keras

    from bpnet_cli.training.optimizer import make_optimizer

    section = plan("{momentum: 0.0, clip_norm: 2.0}")
    weight = keras.Variable(np.zeros(2, np.float32), name="kernel")
    optimizer = make_optimizer(section, 1.0)
    for size, moved in ((1.0, [3.0, 4.0]), (0.1, [0.3, 0.4])):
        weight.assign(np.zeros(2))
        optimizer.apply([keras.ops.convert_to_tensor([3 * size, 4 * size])], [weight])
        expected = np.array(moved) * min(1, 2 / np.linalg.norm(moved))
        np.testing.assert_allclose(-np.array(weight), expected, rtol=1e-5)


def test_two_accumulated_batches_of_4_are_one_of_8() -> None:
    from bpnet_cli.training.optimizer import make_optimizer
    from bpnet_cli.training.schedule import make_schedule
    from tests.unit.test_loss import batch, make_model

    parts = [batch(seed) for seed in range(4)]
    images = np.concatenate([image for image, _ in parts])
    labels = {name: np.concatenate([label[name] for _, label in parts]) for name in parts[0][1]}
    section = plan("{learning_rate: 1.0e-4, momentum: 0.0, clip_norm: 1.0}")
    start = None
    ends = []
    for accumulate in (1, 2):
        model = make_model(l2=0.01)
        start = start or model.network.get_weights()
        model.network.set_weights(start)
        model.compile(optimizer=make_optimizer(section, make_schedule(section, 4), accumulate=accumulate))
        size = 8 // accumulate
        for _ in range(2):
            for at in range(0, 8, size):
                part = {name: label[at : at + size] for name, label in labels.items()}
                model.train_on_batch(images[at : at + size], part)
        assert int(model.optimizer.iterations) == 2
        ends.append(model.network.get_weights())
    for a, b, before in zip(*ends, start, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert np.abs(a - before).max() > 1e-6


def test_the_schedule_runs_by_batches_where_gradients_are_accumulated() -> None:
    import keras

    from bpnet_cli.training.optimizer import make_optimizer
    from bpnet_cli.training.schedule import make_schedule

    text = "{learning_rate: 1.0, momentum: 0, schedule: {name: cosine, warmup_fraction: 0.0}}"
    section = plan(text)
    weight = keras.Variable(np.zeros(1, np.float32), name="kernel")
    optimizer = make_optimizer(section, make_schedule(section, 8), accumulate=2)
    for _ in range(8):
        optimizer.apply([keras.ops.ones(1)], [weight])
    used = rates("{learning_rate: 1.0, schedule: {name: cosine, warmup_fraction: 0.0}}", [1, 3, 5, 7], 8)
    assert float(weight[0]) == pytest.approx(-sum(used), rel=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_layers_move_only_once_they_are_thawed(name: str, accumulate: int) -> None:
    import keras

    from bpnet_cli.training.optimizer import Freeze, make_optimizer

    section = plan(f"{{name: {name}}}")
    layers = [keras.layers.Conv2D(1, 1, kernel_initializer="ones", name=n) for n in ("conv1", "stage1_conv1")]
    for layer in layers:
        layer.build((None, 4, 4, 1))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer = make_optimizer(section, 0.1, accumulate=accumulate, freeze=Freeze(frozenset({"conv1"}), 4))
    before = [np.array(variable) for variable in variables]
    for batches in range(1, 5 + accumulate):
        optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
        moved = [bool(np.any(np.array(v) != b)) for v, b in zip(variables, before, strict=True)]
        assert moved[:2] == [batches == 4 + accumulate] * 2, batches
        assert moved[2:] == [batches >= accumulate] * 2, batches
