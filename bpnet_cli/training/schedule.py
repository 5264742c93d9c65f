"""Learning-rate schedules. Each is a function of progress in 0..1, wrapped for Keras by `StepSchedule`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from bpnet_cli.plan import OptimizerPlan

Progress = Callable[[Any], Any]


def constant(learning_rate: float) -> Progress:
    """The same rate throughout."""
    return lambda progress: ops.zeros_like(progress) + learning_rate


def soft_start_annealing(
    learning_rate: float, min_learning_rate: float, soft_start: float, annealing: float
) -> Progress:
    """NVIDIA's schedule: log-linear up from the minimum until `soft_start`, flat, log-linear down from `annealing` on.

    rate = exp(ln min + t (ln base - ln min)), t = p / soft_start, 1, or (1 - p) / (1 - annealing).
    """
    low, high = math.log(min_learning_rate), math.log(learning_rate)

    def rate(progress: Any) -> Any:
        rising = progress / soft_start if soft_start > 0 else ops.ones_like(progress)
        falling = (1 - progress) / (1 - annealing) if annealing < 1 else ops.ones_like(progress)
        return ops.exp(low + ops.minimum(ops.minimum(rising, falling), 1.0) * (high - low))

    return rate


def cosine(learning_rate: float, min_learning_rate: float, warmup_fraction: float) -> Progress:
    """Linear warm-up from zero, then half a cosine down to the minimum (Loshchilov & Hutter, ICLR 2017)."""

    def rate(progress: Any) -> Any:
        rising = learning_rate * progress / warmup_fraction if warmup_fraction > 0 else learning_rate
        after = ops.clip((progress - warmup_fraction) / max(1 - warmup_fraction, 1e-9), 0.0, 1.0)
        falling = min_learning_rate + (learning_rate - min_learning_rate) * 0.5 * (1 + ops.cos(after * math.pi))
        return ops.where(progress < warmup_fraction, rising, falling)

    return rate


def step(learning_rate: float, boundaries: Sequence[float], factor: float, warmup_fraction: float) -> Progress:
    """Linear warm-up from zero, then the rate times `factor` for each boundary that progress has reached."""

    def rate(progress: Any) -> Any:
        rising = learning_rate * progress / warmup_fraction if warmup_fraction > 0 else learning_rate
        reached = sum(ops.cast(progress >= boundary, "float32") for boundary in boundaries)
        return ops.where(progress < warmup_fraction, rising, learning_rate * ops.power(factor, reached))

    return rate


SHAPES: dict[str, Callable[..., Progress]] = {
    "constant": constant,
    "soft_start_annealing": soft_start_annealing,
    "cosine": cosine,
    "step": step,
}


def make_schedule(plan: OptimizerPlan, total_steps: int) -> StepSchedule:
    """The schedule over `total_steps` steps.

    Steps are batches, also if gradients are accumulated: Keras asks for the rate by the number of batches seen.
    """
    return StepSchedule(SHAPES[plan.shape](plan.learning_rate, **plan.shape_values), total_steps)


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule over `total_steps` batches; after them, the rate keeps its last value."""

    def __init__(self, rate: Progress, total_steps: int) -> None:
        super().__init__()
        self.rate = rate
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Learning rate at a step, counted from 0."""
        progress = ops.cast(step, "float32") / float(self.total_steps)
        return self.rate(ops.minimum(progress, 1.0))
