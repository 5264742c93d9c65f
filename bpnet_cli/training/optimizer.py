"""Optimizers with a learning-rate multiplier per variable, and layers that are frozen at first."""

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
# Variables without weight decay: to shrink batch norm and biases only works against the data.
_NOT_SHRUNK = ("gamma", "beta", "bias")


def no_multipliers(path: str) -> float:
    """A multiplier of 1 for every variable."""
    return 1.0


def bodyposenet_multipliers(path: str) -> float:
    """NVIDIA's multipliers of the learning rate, by variable path `layer/variable`.

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
    """Layers that are frozen at first. layers: their names. batches: for how many batches from the run's beginning."""

    layers: frozenset[str] = frozenset()
    batches: int = 0


class _LayerwiseRates:
    """Mixin: scales the learning rate, and so the weight decay, of each variable's update; rate 0 freezes a variable.

    For SGD with momentum, scaling the rate equals scaling the gradient, as the original does. The steps of Adam don't
    depend on the gradient's size, so there only scaling the rate has an effect. Frozen variables stay in the optimizer,
    so checkpoints have the same arrays before and after layers are unfrozen.

    The class uses two names that Keras doesn't promise to keep. Without `_get_variable_index` nothing would train.
    Without `_clip_gradients`, `clip_norm` would include frozen layers and would work on each device alone.
    """

    multiplier: Multiplier = staticmethod(no_multipliers)
    freeze = Freeze()
    # Keras' own `weight_decay` isn't used, because it shrinks every variable at the same rate.
    decay = 0.0

    def build(self, variables: Any) -> None:
        super().build(variables)  # type: ignore[misc]
        paths = [variable.path for variable in variables]
        self._factors = [self.multiplier(path) for path in paths]
        self._frozen = [bool(self.freeze.batches) and _layer_of(path) in self.freeze.layers for path in paths]
        self._decays = [0.0 if path.rpartition("/")[2] in _NOT_SHRUNK else self.decay for path in paths]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # Backends pass their own variable here, which has no path. Keras' index finds the multiplier of its path.
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rate = learning_rate * self._factors[index]
        if self._frozen[index]:
            rate = rate * ops.cast(self._thawed(), "float32")
        if self._decays[index]:
            self.assign_sub(variable, variable * self._decays[index] * rate)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _thawed(self) -> Any:
        """Whether the layers that are frozen at first learn now."""
        # `iterations` counts updates, not batches, where gradients are accumulated.
        batches = self.iterations * (self.gradient_accumulation_steps or 1)  # type: ignore[attr-defined]
        return batches >= self.freeze.batches

    def _clip_gradients(self, grads: Any) -> Any:
        """Clip by the global norm of the whole batch's gradients, without layers that don't learn yet.

        Keras would compute a norm on each device, for its part of the batch and with all layers.
        """
        limit = self.global_clipnorm  # type: ignore[attr-defined]
        if not limit:
            return grads
        grads, replicas = whole_gradients(grads)
        squares = [ops.sum(ops.square(gradient)) for gradient in grads]
        learning = sum(s for s, frozen in zip(squares, self._frozen, strict=True) if not frozen)
        scales = [limit / ops.maximum(ops.sqrt(total), limit) / replicas for total in (learning, sum(squares))]
        # Adam's moments include the gradients of frozen layers. So these are clipped as if the layers learnt already.
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
    """The optimizer of a plan. rate: a learning rate or a schedule.

    accumulate: number of batches whose gradients are averaged for one update. freeze: layers that don't learn at first.
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
