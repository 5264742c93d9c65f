"""Sections about a training run: optimizer, learning-rate schedule, epochs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from bpnet_cli.spec.base import Model, named_or, refusal


class ConstantSchedule(Model):
    """The same learning rate throughout."""

    name: Literal["constant"] = Field(default="constant", description="constant: the same learning rate throughout")


class SoftStartAnnealingSchedule(Model):
    """Rises exponentially from the minimum, stays constant, falls exponentially back to the minimum."""

    # `name` has no default, so that this schedule differs from the default one, in the JSON schema too.
    name: Literal["soft_start_annealing"] = Field(
        description="soft_start_annealing: rises exponentially from the minimum, stays constant, falls back"
    )
    soft_start: float = Field(default=0.05, ge=0, le=1, description="share of the run at which the rise ends, 0 to 1")
    annealing: float = Field(default=0.5, ge=0, le=1, description="share of the run at which the fall begins, 0 to 1")
    min_learning_rate: float = Field(
        default=8e-8, gt=0, description="learning rate at the start and at the end, per step"
    )

    @model_validator(mode="after")
    def _start_ends_before_annealing(self) -> SoftStartAnnealingSchedule:
        if self.soft_start >= self.annealing:
            text = f"must be less than annealing ({self.annealing:g})"
            raise refusal(text, ("soft_start",), self.soft_start)
        return self


class CosineSchedule(Model):
    """Rises linearly, then falls along half a cosine."""

    name: Literal["cosine"] = Field(description="cosine: rises linearly, then falls along half a cosine")
    warmup_fraction: float = Field(default=0.05, ge=0, le=1, description="share of the run spent rising, 0 to 1")
    min_learning_rate: float = Field(default=0.0, ge=0, description="learning rate at the end, per step")


class StepSchedule(Model):
    """Rises linearly, then falls in steps."""

    name: Literal["step"] = Field(description="step: rises linearly, then falls by a factor at each boundary")
    boundaries: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.7, 0.9),
        min_length=1,
        description="shares of the run at which the rate falls, in ascending order, 0 to 1",
    )
    factor: float = Field(default=0.1, gt=0, lt=1, description="the rate is multiplied by this at each boundary")
    warmup_fraction: float = Field(default=0.0, ge=0, le=1, description="share of the run spent rising, 0 to 1")

    @model_validator(mode="after")
    def _in_order(self) -> StepSchedule:
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise refusal("each must be greater than the one before", ("boundaries",), self.boundaries)
        if self.warmup_fraction > self.boundaries[0]:
            text = f"must not be more than the first boundary ({self.boundaries[0]:g})"
            raise refusal(text, ("warmup_fraction",), self.warmup_fraction)
        return self


Schedule = Annotated[
    Annotated[ConstantSchedule, Tag("constant")]
    | Annotated[SoftStartAnnealingSchedule, Tag("soft_start_annealing")]
    | Annotated[CosineSchedule, Tag("cosine")]
    | Annotated[StepSchedule, Tag("step")],
    named_or("constant"),
]


_LearningRate = Annotated[float, Field(gt=0, description="largest learning rate, per step")]


class _Optimizer(Model):
    name: str = Field(description="name of the optimizer")
    learning_rate: _LearningRate
    clip_norm: float | None = Field(
        default=None, gt=0, description="largest norm of all gradients together (gradient clipping); null: no clipping"
    )
    layer_multipliers: Literal["none", "bodyposenet"] = Field(
        default="none",
        description="learning rate factors: none, or bodyposenet (biases x2; refinement stages x4, their biases x8)",
    )
    schedule: Schedule = Field(
        default=ConstantSchedule(),
        description="how the learning rate changes over the run: constant, soft_start_annealing, cosine or step",
    )

    @model_validator(mode="after")
    def _minimum_is_below(self) -> _Optimizer:
        minimum = getattr(self.schedule, "min_learning_rate", 0.0)
        if minimum > self.learning_rate:
            text = f"must not be more than the optimizer's learning_rate ({self.learning_rate:g})"
            raise refusal(text, ("schedule", "min_learning_rate"), minimum)
        return self


class SgdSpec(_Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = Field(default="sgd", description="sgd: stochastic gradient descent with momentum")
    learning_rate: _LearningRate = 2e-5
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="share of the previous step that is added to each step, 0 to 1"
    )
    nesterov: bool = Field(
        default=False, description="Nesterov momentum: gradients are taken ahead, along the momentum"
    )


class AdamWSpec(_Optimizer):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = Field(description="adamw: Adam with decoupled weight decay")
    learning_rate: _LearningRate = 1e-3
    weight_decay: float = Field(
        default=1e-4, ge=0, description="weight decay: each step takes off weight_decay x learning rate x weight"
    )


Optimizer = Annotated[Annotated[SgdSpec, Tag("sgd")] | Annotated[AdamWSpec, Tag("adamw")], named_or("sgd")]


class TrainingSpec(Model):
    """How long to train, and what to keep."""

    epochs: int = Field(default=100, ge=1, description="passes over the training crops")
    steps_per_epoch: int | None = Field(
        default=None, ge=1, description="batches per epoch; null: one pass over the training crops"
    )
    min_steps_per_epoch: int = Field(
        default=1,
        ge=1,
        description="fewest batches per epoch where steps_per_epoch is null: few photos are passed several times then",
    )
    batch_size: int = Field(default=10, ge=1, description="crops per batch, over all devices and hosts together")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="number of batches whose gradients are averaged for one update of the weights"
    )
    freeze_backbone_epochs: int = Field(
        default=0, ge=0, description="number of first epochs in which the backbone's pretrained weights are frozen"
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="random seed of weights, shuffling and augmentation")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="float32", description="arithmetic: float32, mixed_bfloat16 or mixed_float16"
    )
    jit_compile: bool = Field(default=False, description="compile the training step with XLA, as JAX always does")
    deterministic: bool = Field(default=False, description="true: the same run always gives the same weights; slower")
    distribution: Literal["none", "devices", "hosts"] = Field(
        default="none",
        description="devices that share each batch: none (one device), devices (all devices of this host) or hosts "
        "(all devices of all hosts; JAX only, see `bpnet docs distributed`)",
    )
    frozen_layers: tuple[str, ...] = Field(
        default=(),
        description="names of layers whose weights are frozen for the whole run, with * and ?, for example [stem_*, "
        "block_00_*]; saves their part of the backward pass",
    )
    ema_momentum: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="momentum of a moving average of the weights over steps (for example 0.999), which is measured and "
        "saved; null: the weights of the last step are",
    )
    keep_checkpoints: int = Field(default=5, ge=1, description="number of checkpoints to keep; the oldest are deleted")
    checkpoint_minutes: float = Field(default=10.0, ge=0, description="minutes between two checkpoints within an epoch")
    validate_every_epochs: int = Field(default=5, ge=1, description="AP is measured each time after this many epochs")
    workers: int | None = Field(
        default=None,
        ge=1,
        description="number of batches that are loaded in parallel; null: one per CPU core, at most 16",
    )
    log_images: int = Field(default=4, ge=0, description="number of validation photos that are drawn in TensorBoard")

    @model_validator(mode="after")
    def _xla_is_not_deterministic(self) -> TrainingSpec:
        if self.jit_compile and self.deterministic:
            text = "can't be used with deterministic: true, because XLA lacks deterministic operations"
            raise refusal(text, ("jit_compile",), True)
        return self
