"""The moving average of a network's weights, which a run measures and saves."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

# All devices compute the same average, each for itself.
_ALIKE: dict[str, Any] = {"trainable": False, "aggregation": "only_first_replica"}


class WeightAverage:
    """An average of all that training changes in a network: what learns, and batch norm's means and variances.

    Each of the optimizer's updates counts once, however many batches it takes. The momentum rises to its final value,
    n / (n + 10) after n updates at most: a constant one remembers the first, random weights for thousands of steps, and
    a short run would be saved untrained. Make it where the network was made, in the scope of the run's devices.
    """

    def __init__(self, network: Any, momentum: float) -> None:
        self.momentum = momentum
        self.sources = [*network.trainable_variables, *_statistics(network)]
        self.values = [_copy_of(variable) for variable in self.sources]
        self.updates = keras.Variable(0, dtype="int", name="average_updates", **_ALIKE)

    @property
    def variables(self) -> list[Any]:
        """All that goes into a checkpoint."""
        return [self.updates, *self.values]

    def named(self) -> dict[str, Any]:
        """These variables by the names that they have in checkpoints."""
        names = ["updates", *(variable.path for variable in self.sources)]
        return {f"average/{name}": variable for name, variable in zip(names, self.variables, strict=True)}

    def update(self, iterations: Any) -> None:
        """Take in the weights where the optimizer, which has made `iterations` updates, made one since the last call.

        Runs as part of the training step, after the optimizer. Between two updates it changes nothing, bit for bit.
        """
        before = ops.cast(self.updates, "float32")
        rising = ops.minimum(self.momentum, before / (before + 10.0))
        # A condition would not do: TensorFlow can't write to the copies of several devices inside of one.
        kept = ops.where(ops.cast(iterations, self.updates.dtype) > self.updates, rising, 1.0)
        for source, value in zip(self.sources, self.values, strict=True):
            value.assign(kept * value + (1.0 - kept) * ops.stop_gradient(source))
        self.updates.assign(iterations)

    def weights_of(self, network: Any) -> list[NDArray[Any]]:
        """The weights of the network it was made for, in the order of `get_weights`, averages in their places."""
        averages = {id(source): value for source, value in zip(self.sources, self.values, strict=True)}
        return [np.asarray(averages.get(id(variable), variable)) for variable in network.weights]


def _statistics(network: Any) -> list[Any]:
    """Means and variances of the batch normalisations that go on measuring them."""
    layers = (layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return [variable for layer in layers if layer.trainable for variable in layer.non_trainable_variables]


def _copy_of(variable: Any) -> Any:
    name = f"average_{variable.path.replace('/', '_')}"
    return keras.Variable(np.asarray(variable), dtype=variable.dtype, name=name, **_ALIKE)
