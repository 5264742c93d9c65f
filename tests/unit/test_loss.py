import numpy as np
import pytest

from bpnet_cli import BODY_18, render_targets

pytestmark = pytest.mark.usefixtures("keras_loaded")


def make_model(learns_from_teacher: bool = False, **weights: object):
    import keras

    from bpnet_cli.plan import LossWeights, TargetShape
    from bpnet_cli.training.loss import TrainingModel

    image = keras.Input((32, 48, 3), dtype="uint8", name="image")
    x = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image))
    maps = [
        keras.layers.Conv2D(channels, 1, name=f"{name}{stage}")(x)
        for name, channels in (("heat", 19), ("paf", 38))
        for stage in (1, 2)
    ]
    return TrainingModel(keras.Model(image, maps), BODY_18, TargetShape(), LossWeights(**weights), learns_from_teacher)


def batch(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 48, (2, 3, 18, 3)).astype(np.float32)
    keypoints[..., 2] = rng.integers(0, 3, (2, 3, 18))
    labels = {
        "keypoints": keypoints,
        "mask": rng.integers(0, 2, (2, 4, 6)).astype(np.float32),
        "labelled": np.ones((2, 18), np.float32),
    }
    return rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8), labels


def by_hand(outputs: list, labels: dict, heatmap: float, paf: float) -> float:
    total = 0.0
    for i in range(2):
        targets = render_targets(labels["keypoints"][i], 32, 48)
        for stage in range(2):
            for kind, weight in ((0, heatmap), (1, paf)):
                error = (np.asarray(outputs[2 * kind + stage])[i] - targets[kind]) * labels["mask"][i][..., None]
                total += weight * 0.5 * np.sum(error**2) / 2
    return total


def test_is_the_masked_sum_of_squares_over_stages() -> None:
    model = make_model(heatmap=1.0, paf=0.5)
    images, labels = batch()
    outputs = model(images)
    assert float(model.compute_loss(y=labels, y_pred=outputs)) == pytest.approx(
        by_hand(outputs, labels, 1, 0.5), rel=1e-5
    )


def test_what_is_masked_does_not_count() -> None:
    model = make_model()
    images, labels = batch()
    before = float(model.compute_loss(y=labels, y_pred=model(images)))
    outputs = [np.array(o) for o in model(images)]
    for output in outputs:
        output[labels["mask"] == 0] += 100
    assert float(model.compute_loss(y=labels, y_pred=outputs)) == pytest.approx(before, rel=1e-6)


def test_keypoints_a_data_set_does_not_label_teach_nothing() -> None:
    model = make_model()
    images, labels = batch()
    labels["labelled"][:, 4] = 0
    labels["mask"][:] = 1
    outputs = [np.array(o) for o in model(images)]
    before = float(model.compute_loss(y=labels, y_pred=outputs))
    limbs = [limb for limb, ends in enumerate(BODY_18.limb_indices) if 4 in ends]
    for heat, paf in zip(outputs[:2], outputs[2:], strict=True):
        heat[..., [4, 18]] += 7
        for limb in limbs:
            paf[..., 2 * limb : 2 * limb + 2] += 7
    assert float(model.compute_loss(y=labels, y_pred=outputs)) == pytest.approx(before, rel=1e-6)
    outputs[0][..., 5] += 7
    assert float(model.compute_loss(y=labels, y_pred=outputs)) > before + 1


def test_regularisation_counts_kernels_only() -> None:
    images, labels = batch()
    plain = make_model()
    outputs = plain(images)
    base = float(plain.compute_loss(y=labels, y_pred=outputs))
    for name, norm in (("l1", np.abs), ("l2", np.square)):
        model = make_model(**{name: 0.1})
        model.network.set_weights(plain.network.get_weights())
        kernels = [w for w in model.network.get_weights() if w.ndim == 4]
        expected = base + 0.1 * sum(norm(k).sum() for k in kernels)
        assert float(model.compute_loss(y=labels, y_pred=outputs)) == pytest.approx(expected, rel=1e-5)


def test_losses_per_stage_are_reported() -> None:
    model = make_model()
    model.compile(optimizer="sgd")
    images, labels = batch()
    logs = model.train_on_batch(images, labels, return_dict=True)
    names = {"heatmap_loss_stage1", "heatmap_loss_stage2", "paf_loss_stage1", "paf_loss_stage2", "loss"}
    assert set(logs) == names
    assert sum(v for name, v in logs.items() if name != "loss") == pytest.approx(float(logs["loss"]), rel=1e-4)


def test_a_teacher_counts_on_every_cell_and_shares_with_the_labels() -> None:
    images, labels = batch()
    outputs = [np.array(o) for o in make_model()(images)]
    labels["teacher"] = np.random.default_rng(2).normal(size=(2, 4, 6, 57)).astype(np.float32)
    expected = 0.7 * by_hand(outputs, labels, 1, 0.5)
    for output, target, weight in zip(
        outputs, [labels["teacher"][..., :19]] * 2 + [labels["teacher"][..., 19:]] * 2, (1, 1, 0.5, 0.5), strict=True
    ):
        expected += 0.3 * weight * 0.5 * np.sum((output - target) ** 2) / 2
    model = make_model(learns_from_teacher=True, heatmap=1.0, paf=0.5, teacher=0.3)
    assert float(model.compute_loss(y=labels, y_pred=outputs)) == pytest.approx(expected, rel=1e-5)


def test_a_spec_section_makes_the_loss_focal() -> None:
    from bpnet_cli.plan import Focal
    from bpnet_cli.spec.loader import load_spec_text

    section = load_spec_text("loss: {focal: {gamma: 1.0}}", "test").loss.focal
    assert section is not None
    images, labels = batch()
    plain = make_model()
    focal = make_model(focal=Focal(**section.model_dump()))
    zeros = [np.zeros_like(output) for output in plain(images)]
    factor = [1 + section.alpha, section.beta]
    expected = 0.0
    for i in range(2):
        mask = labels["mask"][i][..., None]
        for target in render_targets(labels["keypoints"][i], 32, 48):
            weight = np.where(np.abs(target) > section.threshold, *factor)
            expected += 2 * 0.5 * np.sum(weight * (mask * target) ** 2) / 2
    assert float(focal.compute_loss(y=labels, y_pred=zeros)) == pytest.approx(expected, rel=1e-5)
