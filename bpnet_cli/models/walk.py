"""What the layers of a network compute on photos: one after the other, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.models.bodyposenet import layers_read

Values = list[NDArray[Any]]


class Walk:
    """A functional network run layer by layer on photos, so that a layer can still be changed before it runs.

    photos: (1, H, W, 3) uint8 network inputs, which may differ in size. Tensors are kept as long as layers read them.
    """

    def __init__(self, network: Any, photos: Sequence[NDArray[np.uint8]]) -> None:
        self.network = network
        self._readers = Counter(source.name for layer in network.layers for source in layers_read(layer))
        self._values: dict[str, list[Any]] = {}
        self._photos = photos

    def inputs(self, name: str) -> list[list[NDArray[np.float32]]]:
        """What a layer reads, for each photo: its tensors (1, h, w, C). All layers before it must have run."""
        read = [self._values[source.name] for source in layers_read(self.network.get_layer(name))]
        return [[np.asarray(tensor) for tensor in tensors] for tensors in zip(*read, strict=True)]

    def run(self, name: str) -> Values:
        """Run a layer on all photos; returns what it computed."""
        layer = self.network.get_layer(name)
        if isinstance(layer, layers.InputLayer):
            outputs = list(self._photos)
        else:
            outputs = []
            for tensors in self.inputs(name):
                computed = layer(tensors if len(tensors) > 1 else tensors[0])
                outputs.append(keras.ops.convert_to_numpy(computed))
            for source in layers_read(layer):
                self._readers[source.name] -= 1
                if not self._readers[source.name]:
                    del self._values[source.name]
        if self._readers[name]:
            self._values[name] = outputs
        return outputs


def patches(
    layer: Any, photos: Values, chosen: Sequence[NDArray[np.intp]], grids: Sequence[tuple[int, int]]
) -> Iterator[NDArray[np.float32]]:
    """Per photo (P, kernel height * kernel width * C): what a convolution reads for some cells of its output.

    photos: (1, h, w, C), what goes in. chosen: (P,) numbers of the cells, row by row. grids: (rows, columns) given.
    """
    height, width = layer.kernel_size
    for values, cells, grid in zip(photos, chosen, grids, strict=True):
        starts = [_padding(layer, axis, values.shape[1 + axis], grid[axis]) for axis in (0, 1)]
        ends = [
            max(
                0,
                (grid[a] - 1) * layer.strides[a]
                + (k - 1) * layer.dilation_rate[a]
                + 1
                - starts[a]
                - values.shape[1 + a],
            )
            for a, k in ((0, height), (1, width))
        ]
        padded = np.pad(values[0], ((starts[0], ends[0]), (starts[1], ends[1]), (0, 0)))
        rows, columns = np.divmod(cells, grid[1])
        rows, columns = rows * layer.strides[0], columns * layer.strides[1]
        parts = [
            padded[rows + y * layer.dilation_rate[0], columns + x * layer.dilation_rate[1]]
            for y in range(height)
            for x in range(width)
        ]
        yield np.concatenate(parts, axis=1)


def _padding(layer: Any, axis: int, size: int, cells: int) -> int:
    """Rows or columns of zeros before the first, as TensorFlow pads: an odd one goes to the end."""
    if layer.padding != "same":
        return 0
    reach = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
    return int(max((cells - 1) * layer.strides[axis] + reach - size, 0) // 2)
