"""Optimizers with a learning-rate multiplier per variable, and layers that stay as they are for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from bpnet_cli.models import names

Multiplier = Callable[[str], float]


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
    """

    multiplier: Multiplier = staticmethod(no_multipliers)
    freeze = Freeze()

    def build(self, variables: Any) -> None:
        super().build(variables)  # type: ignore[misc]
        self._factors = [self.multiplier(variable.path) for variable in variables]
        self._frozen = [_layer_of(variable.path) in self.freeze.layers for variable in variables]

    def _apply_weight_decay(self, trainable_variables: Any) -> None:
        """Nothing: Keras would decay every variable at the same rate; `update_step` does it at the variable's own."""

    def finalize_variable_values(self, var_list: Any) -> None:
        """Nothing: Keras calls this after every `fit`, but a run goes on from the weights, not from their average."""

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Keras' average, but with a momentum that rises to its final value, n / (n + 10) after n updates at most.

        A constant one remembers the first, random weights for thousands of steps: a short run would be saved untrained.
        """
        if not self.use_ema:  # type: ignore[attr-defined]
            return
        updates = ops.cast(self.iterations, "float32")  # type: ignore[attr-defined]
        momentum = ops.minimum(self.ema_momentum, updates / (updates + 10.0))  # type: ignore[attr-defined]
        averages = self._model_variables_moving_average  # type: ignore[attr-defined]
        for variable, average in zip(trainable_variables, averages, strict=True):
            average.assign(momentum * average + (1.0 - momentum) * variable)

    def write_average(self, variables: Any) -> None:
        """Overwrite the variables with the moving average of their values."""
        super().finalize_variable_values(variables)  # type: ignore[misc]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # Backends pass their own variable here, which doesn't know its path; Keras' index leads back to it.
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rate = learning_rate * self._factors[index]
        if self._frozen[index] and self.freeze.batches:
            # `iterations` counts updates, not batches, where gradients are accumulated.
            batches = self.iterations * (self.gradient_accumulation_steps or 1)  # type: ignore[attr-defined]
            rate = rate * ops.cast(batches >= self.freeze.batches, "float32")
        if self.weight_decay and self._use_weight_decay(variable):  # type: ignore[attr-defined]
            self.assign_sub(variable, variable * self.weight_decay * rate)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class LayerwiseSGD(_LayerwiseRates, keras.optimizers.SGD):  # type: ignore[misc]
    """SGD with momentum and a rate per layer."""


class LayerwiseAdamW(_LayerwiseRates, keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with a rate per layer."""


def make_optimizer(
    section: Any,
    schedule: Any,
    *,
    accumulate: int = 1,
    freeze: Freeze = Freeze(),
    ema_momentum: float | None = None,
) -> Any:
    """The optimizer of a spec's `optimizer` section.

    accumulate: batches whose gradients are averaged for one update. freeze: what does not learn at first.
    ema_momentum: of an average of the weights that the optimizer keeps as well.
    """
    common: dict[str, Any] = {
        "global_clipnorm": section.clip_norm,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    if ema_momentum is not None:
        # No step ever overwrites the weights with their average: training goes on from its own.
        common |= {"use_ema": True, "ema_momentum": ema_momentum, "ema_overwrite_frequency": None}
    if section.name == "adamw":
        optimizer = LayerwiseAdamW(schedule, weight_decay=section.weight_decay, **common)
        # Shrinking batch norm and biases only fights the data.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    else:
        optimizer = LayerwiseSGD(schedule, momentum=section.momentum, nesterov=section.nesterov, **common)
    optimizer.multiplier = MULTIPLIERS[section.layer_multipliers]
    optimizer.freeze = freeze
    return optimizer
