"""Optimizers with a learning-rate multiplier per variable, and layers that stay as they are for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from bpnet_cli.models import names
from bpnet_cli.plan import OptimizerPlan
from bpnet_cli.training.distribution import whole_gradients

Multiplier = Callable[[str], float]
# Shrinking batch norm and biases only fights the data.
_NOT_SHRUNK = ("gamma", "beta", "bias")


def no_multipliers(path: str) -> float:
    """Every variable learns at the optimizer's rate."""
    return 1.0


def bodyposenet_multipliers(path: str) -> float:
    """NVIDIA's layer-wise rates by variable path `layer/variable`, for kernels and biases of convolutions.

    Backbone and initial stage: kernel 1, bias 2. Refinement stages and the last stage's outputs: kernel 4, bias 8.
    Batch norm: 1.
    """
    layer, variable = _layer_of(path), path.rpartition("/")[2]
    if variable not in ("kernel", "bias"):
        return 1.0
    place = names.parse(layer)
    return (4.0 if place and place.refines else 1.0) * (2.0 if variable == "bias" else 1.0)


def _layer_of(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[2]


MULTIPLIERS: dict[str, Multiplier] = {"none": no_multipliers, "bodyposenet": bodyposenet_multipliers}


@dataclass(frozen=True)
class Freeze:
    """layers: names of those that don't learn. batches: for how many from the beginning of the run."""

    layers: frozenset[str] = frozenset()
    batches: int = 0


class _LayerwiseRates:
    """Mixin: scales the learning rate, and with it the decay, of each variable's update; 0 freezes it.

    For SGD with momentum this equals scaling the gradient, as the original does; for Adam, whose steps don't depend on
    the gradient's size, scaling the rate is what has an effect. Frozen variables keep their place in the optimizer, so
    checkpoints of frozen and thawed epochs are alike.

    Two names that Keras doesn't promise to keep are used: `_get_variable_index`, without which nothing would train, and
    `_clip_gradients`, without which `clip_norm` would count frozen layers and each device alone.
    """

    multiplier: Multiplier = staticmethod(no_multipliers)
    freeze = Freeze()
    # Not Keras' `weight_decay`, which shrinks every variable at the same rate.
    decay = 0.0

    def build(self, variables: Any) -> None:
        super().build(variables)  # type: ignore[misc]
        paths = [variable.path for variable in variables]
        self._factors = [self.multiplier(path) for path in paths]
        self._frozen = [bool(self.freeze.batches) and _layer_of(path) in self.freeze.layers for path in paths]
        self._decays = [0.0 if path.rpartition("/")[2] in _NOT_SHRUNK else self.decay for path in paths]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # Backends pass their own variable here, which doesn't know its path; Keras' index leads back to it.
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rate = learning_rate * self._factors[index]
        if self._frozen[index]:
            rate = rate * ops.cast(self._thawed(), "float32")
        if self._decays[index]:
            self.assign_sub(variable, variable * self._decays[index] * rate)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _thawed(self) -> Any:
        """Whether the layers that are frozen at first learn too by now."""
        # `iterations` counts updates, not batches, where gradients are accumulated.
        batches = self.iterations * (self.gradient_accumulation_steps or 1)  # type: ignore[attr-defined]
        return batches >= self.freeze.batches

    def _clip_gradients(self, grads: Any) -> Any:
        """By the norm of the whole batch, of which what doesn't learn yet is no part.

        Keras would take the norm on each of several devices, of its part of the batch and with all layers.
        """
        limit = self.global_clipnorm  # type: ignore[attr-defined]
        if not limit:
            return grads
        grads, replicas = whole_gradients(grads)
        squares = [ops.sum(ops.square(gradient)) for gradient in grads]
        learning = sum(s for s, frozen in zip(squares, self._frozen, strict=True) if not frozen)
        scales = [limit / ops.maximum(ops.sqrt(total), limit) / replicas for total in (learning, sum(squares))]
        # Adam remembers the gradients of frozen layers: at the size that they will have once they count.
        of_learning = ops.where(self._thawed(), scales[1], scales[0])
        return [g * (scales[1] if frozen else of_learning) for g, frozen in zip(grads, self._frozen, strict=True)]


class LayerwiseSGD(_LayerwiseRates, keras.optimizers.SGD):  # type: ignore[misc]
    """SGD with momentum and a rate per layer."""


class LayerwiseAdamW(_LayerwiseRates, keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with decoupled weight decay and a rate per layer."""


def make_optimizer(
    plan: OptimizerPlan,
    rate: Any,
    *,
    accumulate: int = 1,
    freeze: Freeze = Freeze(),
) -> Any:
    """The optimizer of a plan, at a rate or by a schedule.

    accumulate: batches whose gradients are averaged for one update. freeze: what does not learn at first.
    """
    common: dict[str, Any] = {
        "global_clipnorm": plan.clip_norm,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    if plan.name == "adamw":
        optimizer = LayerwiseAdamW(rate, **common)
        optimizer.decay = plan.weight_decay
    else:
        optimizer = LayerwiseSGD(rate, momentum=plan.momentum, nesterov=plan.nesterov, **common)
    optimizer.multiplier = MULTIPLIERS[plan.multipliers]
    optimizer.freeze = freeze
    return optimizer
