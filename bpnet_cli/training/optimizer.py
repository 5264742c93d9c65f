"""Optimizers with a learning-rate multiplier per variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Multiplier = Callable[[str], float]


def no_multipliers(path: str) -> float:
    """Every variable learns at the optimizer's rate."""
    return 1.0


def bodyposenet_multipliers(path: str) -> float:
    """NVIDIA's layer-wise rates by variable path `layer/variable`, for kernels and biases of convolutions.

    Backbone and initial stage: kernel 1, bias 2. Refinement stages and the last stage's outputs: kernel 4, bias 8.
    Batch norm: 1.
    """
    layer, _, variable = path.rpartition("/")
    layer = layer.rpartition("/")[2]
    if variable not in ("kernel", "bias"):
        return 1.0
    refinement = layer.endswith("_out") and not layer.startswith("stage1_")
    refinement = refinement or (layer.startswith("stage") and not layer.startswith("stage1_"))
    return (4.0 if refinement else 1.0) * (2.0 if variable == "bias" else 1.0)


MULTIPLIERS: dict[str, Multiplier] = {"none": no_multipliers, "bodyposenet": bodyposenet_multipliers}


class _LayerwiseRates:
    """Mixin: scales the learning rate of each variable's update.

    For SGD with momentum this equals scaling the gradient, as the original does; for Adam, whose steps don't depend on
    the gradient's size, scaling the rate is what has an effect.
    """

    multiplier: Multiplier = staticmethod(no_multipliers)

    def build(self, variables: Any) -> None:
        super().build(variables)  # type: ignore[misc]
        self._factors = [self.multiplier(variable.path) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # Backends pass their own variable here, which doesn't know its path; Keras' index leads back to it.
        factor = self._factors[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        super().update_step(gradient, variable, learning_rate * factor)  # type: ignore[misc]


class LayerwiseSGD(_LayerwiseRates, keras.optimizers.SGD):  # type: ignore[misc]
    """SGD with momentum and a rate per layer."""


class LayerwiseAdamW(_LayerwiseRates, keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with a rate per layer."""


def make_optimizer(section: Any, schedule: Any, ema_momentum: float | None = None) -> Any:
    """The optimizer of a spec's `optimizer` section; with `ema_momentum` it keeps an average of the weights as well."""
    common: dict[str, Any] = {"global_clipnorm": section.clip_norm}
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
    return optimizer
