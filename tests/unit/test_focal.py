import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("keras_loaded")


@pytest.mark.parametrize(
    ("predicted", "target", "factor"),
    [
        (0.3, 0.8, 0.64),  # set, too low: (1 + 0.1 - 0.3) ** 2
        (1.0, 0.8, 0.01),  # set and reached
        (-0.3, -0.8, 0.64),  # a negative PAF is set too, and judged along its own sign
        (0.3, -0.8, 1.96),  # the wrong way round: (1 + 0.1 + 0.3) ** 2
        (0.3, 0.0, 0.1024),  # background: (0.3 + 0.02) ** 2
        (-0.3, 0.0, 0.1024),
        (0.0, 0.01, 0.0004),  # the threshold itself is background
    ],
)
def test_factor(predicted: float, target: float, factor: float) -> None:
    from bpnet_cli.plan import Focal
    from bpnet_cli.training.focal import focal_factor

    focal = Focal(gamma=2.0, alpha=0.1, beta=0.02, threshold=0.01)
    found = focal_factor(np.float32([predicted]), np.float32([target]), focal)
    np.testing.assert_allclose(found, [factor], rtol=1e-5)


def test_factor_scales_the_squared_error_within_the_mask() -> None:
    from bpnet_cli.plan import Focal
    from bpnet_cli.training.loss import masked_sum_of_squares

    predicted = np.float32([[[[0.3, 0.3, 0.5]]]])
    target = np.float32([[[[0.8, 0.0, 1.0]]]])
    mask = np.float32([[[[1, 1, 0]]]])
    loss = masked_sum_of_squares(predicted, target, mask, Focal(2.0, 0.1, 0.02, 0.01))
    assert float(loss) == pytest.approx(0.5 * (0.5**2 * 0.64 + 0.3**2 * 0.1024))


def test_gradients_are_finite_where_the_factor_vanishes() -> None:
    import tensorflow as tf

    from bpnet_cli.plan import Focal
    from bpnet_cli.training.focal import focal_factor

    predicted = tf.constant([1.0, 0.0, -1.0])
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        total = tf.reduce_sum(focal_factor(predicted, tf.constant([1.0, 0.0, -1.0]), Focal(1.0, 0.0, 0.0, 0.01)))
    assert np.isfinite(tape.gradient(total, predicted)).all()
