"""Maps that a pretrained network does not have, fitted to the labels by least squares before training.

A layer that makes maps is a linear function of what it reads. With all other layers fixed, its best weights for the
training loss follow from one system of equations. Gradient steps need thousands of steps for what this gives at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from keras import layers
from numpy.typing import NDArray

from bpnet_cli.data.pipeline import SampleLoader
from bpnet_cli.log import progress, say
from bpnet_cli.models.bodyposenet import split_outputs
from bpnet_cli.models.channels import is_convolution
from bpnet_cli.models.own_graph import NewChannels
from bpnet_cli.models.walk import Walk, patches
from bpnet_cli.plan import TargetShape
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.pose.targets import render_target_batch

# Crops that the maps are fitted on: several of each sample of a small data set, but not more than this in all.
_CROPS, _CROPS_OF_A_SAMPLE = 120, 4
# The outputs of a layer for all crops may need so many bytes. Four such sets are in memory at the same time.
_BYTES, _FEWEST_CROPS = 2**30, 16
# The ridge, as a share of the mean square of what a layer reads.
_RIDGE = 1e-3
# Cells of each crop that a layer is fitted on that reads maps.
_CELLS = 400
# Systems with more unknowns than this need too much memory; the weights stay 0 for the layers that read new maps.
_MOST_UNKNOWNS = 5000


class _Crop(NamedTuple):
    """image: (1, H, W, 3) uint8. maps: (h, w, K + 1 + 2L), heatmaps first. counts: the same shape, weights 0 to 1."""

    image: NDArray[np.uint8]
    maps: NDArray[np.float32]
    counts: NDArray[np.float32]


@dataclass
class _System:
    """The equations of a convolution's weights: for some output channels, sums of squares and products over cells."""

    gram: NDArray[np.float64] | float = 0.0
    target: NDArray[np.float64] | float = 0.0

    def add(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
        """x: (N, U) what is read, y: (N, C) what should come out."""
        values = x.astype(np.float64)
        self.gram = self.gram + values.T @ values
        self.target = self.target + values.T @ y

    def solve(self) -> NDArray[np.float64]:
        """(U, C) weights."""
        gram = np.array(self.gram)
        gram[np.diag_indices_from(gram)] += _RIDGE * max(float(np.trace(gram)) / len(gram), 1e-12)
        return np.linalg.solve(gram, np.asarray(self.target))


@dataclass
class NewMaps:
    """Fits new maps. loader: of the training samples. skeleton, targets: of the maps."""

    loader: SampleLoader
    skeleton: Skeleton
    targets: TargetShape
    fitted: list[str] = field(default_factory=list)

    def fit(self, old: Any, network: Any, new: Mapping[str, NewChannels]) -> list[str]:
        """Give weights to the new channels of `network`; returns the names of the layers that got some.

        old: the pretrained network. network: the same graph with other maps, see `with_maps_of`. new: by layer, the
        channels without weights of the old network. Layer after layer: a convolution that makes maps is fitted to the
        labels; one that reads new maps is fitted to what it gave in the old network, where it read the old maps.
        """
        crops = self._crops(old)
        places = _places(network)
        before, after = Walk(old, [c.image for c in crops]), Walk(network, [c.image for c in crops])
        for layer in progress(network.layers, len(network.layers), f"fitting new maps to {len(crops)} crops, layers"):
            wanted = before.run(layer.name)
            channels = new.get(layer.name)
            if channels is None or not (channels.read.any() or channels.made.any()):
                pass
            elif not is_convolution(layer):
                self._pass_through(layer, channels.read)
            else:
                read = [tensors[0] for tensors in after.inputs(layer.name)]
                if layer.name in places and channels.made.any():
                    self._fit_maker(layer, read, crops, channels.made, places[layer.name])
                else:
                    self._fit_reader(layer, read, wanted, channels.read)
            after.run(layer.name)
        say(f"new maps: {len(self.fitted)} layers fitted to {len(crops)} crops")
        return self.fitted

    def _pass_through(self, layer: Any, new: NDArray[np.bool_]) -> None:
        """Let a depthwise convolution give new channels on as they are; the convolution behind it is fitted.

        Batch norm and other layers with weights for each channel do so with the weights that they begin with.
        """
        if isinstance(layer, layers.DepthwiseConv2D):
            kernel, *bias = layer.get_weights()
            kernel[:, :, new] = 0
            kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, new] = 1
            layer.set_weights([kernel, *bias])
        self.fitted.append(layer.name)

    def _crops(self, network: Any) -> list[_Crop]:
        """As many crops as memory allows: the network's largest layer decides."""
        walk = Walk(network, [self.loader.load(0)[0][None]])
        largest = max(output.nbytes for layer in network.layers for output in walk.run(layer.name))
        affordable = max(_BYTES // largest, _FEWEST_CROPS)
        count = min(_CROPS, affordable, _CROPS_OF_A_SAMPLE * len(self.loader.samples))
        ends = self.skeleton.limb_indices
        crops = []
        for position in range(count):
            image, keypoints, mask, labelled = self.loader.load(position)[:4]
            heatmaps, pafs = render_target_batch(
                keypoints[None],
                mask.shape[0],
                mask.shape[1],
                ends,
                stride=self.targets.stride,
                heatmap_sigma_px=self.targets.heatmap_sigma_px,
                paf_half_width_px=self.targets.paf_half_width_px,
            )
            limbs = np.repeat(labelled[ends[:, 0]] * labelled[ends[:, 1]], 2)
            channels = np.concatenate([labelled, [labelled.min()], limbs])
            maps = np.concatenate([heatmaps[0], pafs[0]], axis=-1).astype(np.float32)
            crops.append(_Crop(image[None], maps, mask[..., None] * channels))
        return crops

    def _fit_maker(
        self, layer: Any, read: Sequence[NDArray[Any]], crops: Sequence[_Crop], new: NDArray[np.bool_], first: int
    ) -> None:
        """Fit the new channels of a layer that makes maps. first: number of its first channel among all maps."""
        for columns in _alike(crops, first + np.flatnonzero(new)):
            system = _System()
            for values, crop in zip(read, crops, strict=True):
                counts = crop.counts[..., columns[0]].reshape(-1, 1)
                cells = np.flatnonzero(counts)
                grid = crop.maps.shape[:2]
                (x,) = patches(layer, [values], [cells], [grid])
                y = crop.maps.reshape(-1, crop.maps.shape[-1])[np.ix_(cells, columns)]
                system.add(_with_one(layer, x) * counts[cells], y * counts[cells])
            _set(layer, system.solve(), np.ones(read[0].shape[-1], np.bool_), columns - first)
        self.fitted.append(layer.name)

    def _fit_reader(
        self, layer: Any, read: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], new: NDArray[np.bool_]
    ) -> None:
        """Fit a layer's weights for the new channels that it reads, to what is missing without them."""
        kernel, *bias = layer.get_weights()
        kernel[:, :, new] = 0
        layer.set_weights([kernel, *bias])
        flat = np.tile(new, kernel.shape[0] * kernel.shape[1])
        if layer.activation.__name__ != "linear" or flat.sum() > _MOST_UNKNOWNS:
            return
        rng, system = np.random.default_rng(0), _System()
        for values, full in zip(read, wanted, strict=True):
            grid = full.shape[1:3]
            cells = rng.choice(grid[0] * grid[1], min(_CELLS, grid[0] * grid[1]), replace=False)
            (x,) = patches(layer, [values], [cells], [grid])
            without = x @ kernel.reshape(-1, kernel.shape[3]) + (bias[0] if bias else 0)
            system.add(_with_one(layer, x[:, flat]), full.reshape(-1, full.shape[3])[cells] - without)
        _set(layer, system.solve(), new, np.arange(kernel.shape[3]), change=True)
        self.fitted.append(layer.name)


def _places(network: Any) -> dict[str, int]:
    """By name of a layer that makes maps: the number of its first channel among heatmaps and PAFs together."""
    heatmaps, pafs = split_outputs(network.outputs)
    starts = [(tensor, 0) for tensor in heatmaps] + [(tensor, heatmaps[0].shape[-1]) for tensor in pafs]
    return {tensor._keras_history.operation.name: start for tensor, start in starts}


def _alike(crops: Sequence[_Crop], columns: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The columns in groups that count in the same crops; columns that count nowhere are left out."""
    flags = np.array([crop.counts[..., columns].any(axis=(0, 1)) for crop in crops])
    kinds, of = np.unique(flags, axis=1, return_inverse=True)
    return [columns[of == i] for i in range(kinds.shape[1]) if kinds[:, i].any()]


def _with_one(layer: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """With a column of ones, if the layer has a bias."""
    return np.column_stack([x, np.ones(len(x), np.float32)]) if layer.use_bias else x


def _set(
    layer: Any, solved: NDArray[np.float64], read: NDArray[np.bool_], made: NDArray[np.intp], change: bool = False
) -> None:
    """Write solved weights (U, C) into a kernel: for the channels `read` (bool) and `made` (numbers), and the bias.

    change: the last row is a change of the bias, not the bias itself.
    """
    kernel, *bias = layer.get_weights()
    rows = len(solved) - bool(bias)
    part = kernel[:, :, read]
    part[..., made] = solved[:rows].reshape(*part.shape[:3], len(made))
    kernel[:, :, read] = part
    if bias:
        bias[0][made] = solved[-1] + (bias[0][made] if change else 0)
    layer.set_weights([kernel, *bias])
