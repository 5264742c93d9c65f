"""The loss: masked sum of squares over the maps of all stages, on targets rendered from keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from bpnet_cli.models.bodyposenet import split_outputs
from bpnet_cli.plan import Focal, LossWeights, TargetShape
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.pose.targets import render_target_batch
from bpnet_cli.training.averaging import WeightAverage
from bpnet_cli.training.distribution import share_of_loss
from bpnet_cli.training.focal import focal_factor


def masked_sum_of_squares(predicted: Any, target: Any, mask: Any, focal: Focal | None = None) -> Any:
    """0.5 * sum((mask * (predicted - target))^2) / B; the loss of NVIDIA's BodyPoseNet.

    predicted, target: (B, h, w, C). mask: broadcastable to (B, h, w, C); 1 counts, 0 is ignored. A fraction enters
    squared, because the original multiplies the error and not its square. focal: multiplies each square by its focal
    factor; None: no factor.
    """
    squares = ops.square((predicted - target) * mask)
    if focal is not None:
        squares = squares * focal_factor(predicted, target, focal)
    return 0.5 * ops.sum(squares) / ops.cast(ops.shape(predicted)[0], "float32")


def channel_masks(mask: Any, labelled: Any, skeleton: Skeleton) -> tuple[Any, Any]:
    """Masks of heatmaps (B, h, w, K + 1) and pafs (B, h, w, 2L).

    mask: (B, h, w), 1: counts. labelled: (B, K), 0 if the data set doesn't label this keypoint. A heatmap counts only
    if its keypoint is labelled. A PAF counts only if both ends of its limb are labelled. The background counts only if
    all keypoints are labelled.
    """
    background = ops.min(labelled, axis=1, keepdims=True)
    heat = ops.concatenate([labelled, background], axis=1)
    ends = skeleton.limb_indices
    limbs = ops.take(labelled, ends[:, 0], axis=1) * ops.take(labelled, ends[:, 1], axis=1)
    paf = ops.repeat(limbs, 2, axis=1)
    spatial = mask[..., None]
    return spatial * heat[:, None, None, :], spatial * paf[:, None, None, :]


class TrainingModel(keras.Model):  # type: ignore[misc]
    """Wraps a network for `fit`: renders targets on the device and sums the loss over stages.

    Labels are the mapping from the pipeline: keypoints, mask, labelled and, with a teacher, teacher. The network stays
    a separate plain graph, and only this graph is saved.
    """

    def __init__(
        self,
        network: Any,
        skeleton: Skeleton,
        targets: TargetShape,
        weights: LossWeights,
        learns_from_teacher: bool = False,
        average: WeightAverage | None = None,
    ) -> None:
        super().__init__(name="training")
        self.network = network
        self.skeleton = skeleton
        self.targets = targets
        self.weights_of_loss = weights
        stages = len(network.outputs) // 2
        self.heatmap_losses = [keras.metrics.Mean(name=f"heatmap_loss_stage{i + 1}") for i in range(stages)]
        self.paf_losses = [keras.metrics.Mean(name=f"paf_loss_stage{i + 1}") for i in range(stages)]
        self.teacher_loss: Any = keras.metrics.Mean(name="teacher_loss") if learns_from_teacher else None
        self.average = average
        # As an attribute, Keras tracks them. So they are part of the state of JAX's training step.
        self.average_variables = average.variables if average else []

    def train_step(self, *args: Any) -> Any:
        """Keras' training step, then the update of the average. Arguments and results depend on the backend."""
        result = super().train_step(*args)
        if self.average is None:
            return result
        if keras.backend.backend() == "jax":
            logs, state = result
            return logs, self._averaged(self.average, state)
        self.average.update(self.optimizer.iterations)
        return result

    def _averaged(self, average: WeightAverage, state: Any) -> Any:
        """JAX's state after a step, with a new average: values of trainable, other, optimizer, metric variables."""
        trainable, other, of_optimizer, of_metrics = state
        variables = [*self.trainable_variables, *self.non_trainable_variables, *self.optimizer.variables]
        values = [*trainable, *other, *of_optimizer]
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
            average.update(self.optimizer.iterations)
        other = [scope.get_current_value(variable) for variable in self.non_trainable_variables]
        return trainable, other, of_optimizer, of_metrics

    def call(self, images: Any, training: bool | None = None) -> Any:
        """The network's outputs."""
        return self.network(images, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Mapping[str, Any] | None = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Loss of a batch; see `masked_sum_of_squares`. With several TensorFlow replicas: this replica's share."""
        if y is None:
            raise TypeError("compute_loss needs the pipeline's labels")
        heatmaps, pafs = split_outputs(y_pred)
        target_heatmaps, target_pafs = render_target_batch(
            y["keypoints"],
            heatmaps[-1].shape[1],
            heatmaps[-1].shape[2],
            self.skeleton.limb_indices,
            stride=self.targets.stride,
            heatmap_sigma_px=self.targets.heatmap_sigma_px,
            paf_half_width_px=self.targets.paf_half_width_px,
            xp=ops,
        )
        heatmap_mask, paf_mask = channel_masks(y["mask"], y["labelled"], self.skeleton)
        total = self.regularization()
        labels_count = 1.0
        if self.teacher_loss is not None:
            labels_count -= self.weights_of_loss.teacher
            total = total + self.weights_of_loss.teacher * self._distillation(heatmaps, pafs, y["teacher"])
        for maps, target, mask, weight, meters in (
            (heatmaps, target_heatmaps, heatmap_mask, self.weights_of_loss.heatmap, self.heatmap_losses),
            (pafs, target_pafs, paf_mask, self.weights_of_loss.paf, self.paf_losses),
        ):
            for predicted, meter in zip(maps, meters, strict=True):
                loss = masked_sum_of_squares(predicted, target, mask, self.weights_of_loss.focal)
                meter.update_state(loss)
                total = total + labels_count * weight * loss
        return share_of_loss(total)

    def _distillation(self, heatmaps: list[Any], pafs: list[Any], teacher: Any) -> Any:
        """The loss against a teacher's maps (B, h, w, K + 1 + 2L). All cells count: a teacher sees everybody."""
        split = self.skeleton.heatmap_channels
        total = ops.zeros((), "float32")
        for maps, target, weight in (
            (heatmaps, teacher[..., :split], self.weights_of_loss.heatmap),
            (pafs, teacher[..., split:], self.weights_of_loss.paf),
        ):
            for predicted in maps:
                total = total + weight * masked_sum_of_squares(predicted, target, 1.0)
        self.teacher_loss.update_state(total)
        return total

    def regularization(self) -> Any:
        """l1 * sum |kernel| + l2 * sum kernel^2 over the network's kernels.

        It is computed here and not by the layers. So loading, fine-tuning or pruning a network can't lose it.
        """
        total = ops.zeros((), "float32")
        if self.weights_of_loss.l1 or self.weights_of_loss.l2:
            for variable in self.network.trainable_variables:
                if variable.path.endswith("kernel"):
                    total = total + self.weights_of_loss.l1 * ops.sum(ops.abs(variable))
                    total = total + self.weights_of_loss.l2 * ops.sum(ops.square(variable))
        return total
