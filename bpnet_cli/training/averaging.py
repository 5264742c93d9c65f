"""The moving average of a network's weights. A run validates and saves this average."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

# Every device computes the same average by itself, so one copy is enough when variables are read.
_ALIKE: dict[str, Any] = {"trainable": False, "aggregation": "only_first_replica"}


class WeightAverage:
    """The moving average of trainable weights and of batch norm's means and variances.

    Each update of the optimizer counts once, even if it takes several batches. After n updates, the momentum is at most
    n / (n + 10); it rises to `momentum`. A constant momentum would remember the first, random weights for thousands of
    steps, so a short run would save untrained weights. Create it in the scope of the run's devices, as the network.
    """

    def __init__(self, network: Any, momentum: float) -> None:
        self.momentum = momentum
        self.sources = [*network.trainable_variables, *_statistics(network)]
        self.values = [_copy_of(variable) for variable in self.sources]
        self.updates = keras.Variable(0, dtype="int", name="average_updates", **_ALIKE)

    @property
    def variables(self) -> list[Any]:
        """The variables that a checkpoint stores."""
        return [self.updates, *self.values]

    def named(self) -> dict[str, Any]:
        """The variables by their names in checkpoints."""
        names = ["updates", *(variable.path for variable in self.sources)]
        return {f"average/{name}": variable for name, variable in zip(names, self.variables, strict=True)}

    def update(self, iterations: Any) -> None:
        """Add the current weights to the average if the optimizer has made an update since the last call.

        iterations: number of the optimizer's updates. Call it in the training step, after the optimizer. Between two
        updates it changes nothing, bit for bit.
        """
        before = ops.cast(self.updates, "float32")
        rising = ops.minimum(self.momentum, before / (before + 10.0))
        # `where` instead of a condition: in a condition, TensorFlow can't assign variables of several devices.
        kept = ops.where(ops.cast(iterations, self.updates.dtype) > self.updates, rising, 1.0)
        for source, value in zip(self.sources, self.values, strict=True):
            value.assign(kept * value + (1.0 - kept) * ops.stop_gradient(source))
        self.updates.assign(iterations)

    def weights_of(self, network: Any) -> list[NDArray[Any]]:
        """The weights in the order of `get_weights`, with averages where there are some.

        network: the network that this average was made for.
        """
        averages = {id(source): value for source, value in zip(self.sources, self.values, strict=True)}
        return [np.asarray(averages.get(id(variable), variable)) for variable in network.weights]


def _statistics(network: Any) -> list[Any]:
    """Means and variances of the batch normalisations that aren't frozen."""
    layers = (layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return [variable for layer in layers if layer.trainable for variable in layer.non_trainable_variables]


def _copy_of(variable: Any) -> Any:
    name = f"average_{variable.path.replace('/', '_')}"
    return keras.Variable(np.asarray(variable), dtype=variable.dtype, name=name, **_ALIKE)
