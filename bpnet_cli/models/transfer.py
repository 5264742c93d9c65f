"""Takes weights from a network of another skeleton. The names of keypoints and limbs match the channels of maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import SpecError, did_you_mean
from bpnet_cli.models import names
from bpnet_cli.pose.skeleton import Skeleton

# The weights of one layer, in Keras' order.
Weights = Sequence[NDArray[Any]]

_DEPTHWISE_NORM = names.DEPTHWISE + names.NORM


@dataclass(frozen=True, eq=False)
class Channels:
    """For each channel of a network, the channel of the other network that it comes from.

    index: (C,) number of the channel in the other network; -1 if the other network has no such channel.
    sign: (C,) -1 if the limb has the opposite direction in the other network, otherwise 1.
    """

    index: NDArray[np.intp]
    sign: NDArray[np.float32]

    def fill(self, fresh: NDArray[Any], source: NDArray[Any], axis: int, signed: bool) -> NDArray[Any]:
        """`fresh`, but with the values of `source` in all channels that the other network has.

        fresh: array of this network, with these C channels along `axis`. source: the same array of the other network.
        signed: whether to multiply the values by `sign`.
        """
        result, known = np.moveaxis(fresh.copy(), axis, -1), self.index >= 0
        values = np.moveaxis(source, axis, -1)[..., self.index[known]]
        result[..., known] = values * self.sign[known] if signed else values
        return np.moveaxis(result, -1, axis)

    def behind(self, features: int, others: Channels, width: int) -> Channels:
        """The channels of a concatenation: features, then these channels, then `others`.

        features: number of feature channels, the same in both networks. width: how many channels the other network has
        in the place of these channels.
        """
        shifted = np.where(others.index < 0, -1, others.index + width)
        index = np.concatenate([self.index, shifted])
        index = np.where(index < 0, -1, index + features)
        sign = np.concatenate([np.ones(features, np.float32), self.sign, others.sign])
        return Channels(np.concatenate([np.arange(features), index]), sign)


def with_names(theirs: Skeleton, renamed: Mapping[str, str], ours: Skeleton) -> Skeleton:
    """Skeleton `theirs`, with some keypoints renamed to names of `ours`.

    renamed: {keypoint of `ours`: keypoint of `theirs`}. If `theirs` has another keypoint with one of these new names,
    this keypoint gets a different name, so that it doesn't match any more.
    Raises SpecError if a skeleton doesn't have a given name, or if a keypoint of `theirs` is given twice.
    """
    for mine, other in renamed.items():
        for name, skeleton in ((mine, ours), (other, theirs)):
            if name not in skeleton.keypoints:
                hint = did_you_mean(name, skeleton.keypoints) or f"; it has {', '.join(skeleton.keypoints)}"
                raise SpecError(f"model.pretrained_keypoints: skeleton {skeleton.name} has no keypoint {name!r}{hint}")
    if len(set(renamed.values())) < len(renamed):
        raise SpecError(f"model.pretrained_keypoints: a keypoint of {theirs.name} is given twice")
    new = {name: f"{name} of {theirs.name}" if name in renamed else name for name in theirs.keypoints}
    new |= {other: mine for mine, other in renamed.items()}
    pairs = [tuple((new[a], new[b]) for a, b in pairs) for pairs in (theirs.limbs, theirs.flip_pairs)]
    return replace(
        theirs,
        keypoints=tuple(new[name] for name in theirs.keypoints),
        limbs=pairs[0],
        flip_pairs=pairs[1],
        midpoints=tuple((new[a], new[b], new[c]) for a, b, c in theirs.midpoints),
    )


def same_maps(theirs: Skeleton, ours: Skeleton) -> bool:
    """Whether two skeletons have the same heatmaps and PAFs in the same order."""
    return theirs.keypoints == ours.keypoints and theirs.limbs == ours.limbs


def heatmap_channels(theirs: Skeleton, ours: Skeleton) -> Channels:
    """Channels of the heatmaps of `ours`, (K + 1): one for each keypoint, then the background."""
    index = [theirs.keypoints.index(name) if name in theirs.keypoints else -1 for name in ours.keypoints]
    return Channels(np.array([*index, len(theirs.keypoints)]), np.ones(len(index) + 1, np.float32))


def paf_channels(theirs: Skeleton, ours: Skeleton) -> Channels:
    """Channels of the PAFs of `ours`, (2L): x and y of each limb.

    If `theirs` has the limb in the opposite direction, the sign of both channels is -1.
    """
    index, sign = [], []
    for start, end in ours.limbs:
        limb, direction = (start, end), 1
        if limb not in theirs.limbs:
            limb, direction = (end, start), -1
        place = theirs.limbs.index(limb) if limb in theirs.limbs else None
        index += [-1, -1] if place is None else [2 * place, 2 * place + 1]
        sign += [direction, direction]
    return Channels(np.array(index, np.intp), np.array(sign, np.float32))


class Transfer:
    """Takes weights from a network of skeleton `theirs` for a network of skeleton `ours`.

    source: the weights of each layer of the network of `theirs`, by layer name.
    """

    def __init__(self, source: Mapping[str, Weights], theirs: Skeleton, ours: Skeleton) -> None:
        self.source, self.theirs = source, theirs
        self.heatmaps, self.pafs = heatmap_channels(theirs, ours), paf_channels(theirs, ours)

    def weights(self, name: str, fresh: Weights) -> tuple[Weights, bool] | None:
        """A layer's new weights, and whether all of them come from the other network.

        None if the other network has no layer with this name and fitting shapes. fresh: the layer's present weights.
        They stay in the channels that the other network doesn't have.
        """
        source = self.source.get(name)
        if source is None or [w.ndim for w in source] != [w.ndim for w in fresh]:
            return None
        result, whole = [], True
        for values, kept, (channels, axis, signed) in zip(source, fresh, self._places(name, source), strict=True):
            filled = values
            if channels is not None and kept.shape[axis] == len(channels.index) and _same_but(values, kept, axis):
                filled = channels.fill(kept, values, axis, signed)
                whole = whole and bool((channels.index >= 0).all())
            elif values.shape != kept.shape:
                return None
            result.append(filled)
        return result, whole

    def _places(self, name: str, source: Weights) -> Iterator[tuple[Channels | None, int, bool]]:
        """For each array of a layer: its channels, the axis of these channels, and whether their signs count.

        The channels are None for an array that has nothing to do with maps.
        """
        place = names.parse(name)
        if place and place.makes_maps:
            channels = self.heatmaps if place.branch == names.HEATMAPS else self.pafs
            yield from ((channels, values.ndim - 1, True) for values in source)
            return
        for values in source:
            if place is None or not _reads_maps(place) or (values.ndim == 1 and place.part != _DEPTHWISE_NORM):
                yield None, 0, False
                continue
            axis = 0 if values.ndim == 1 else 2
            width = len(self.theirs.keypoints) + 1
            features = values.shape[axis] - width - 2 * len(self.theirs.limbs)
            # The depthwise convolution corrects the sign, so the 1x1 convolution after it must not change it again.
            signed = values.ndim == 4 and (place.part != "" or name + names.DEPTHWISE not in self.source)
            yield self.heatmaps.behind(features, self.pafs, width), axis, signed


def _reads_maps(place: names.Place) -> bool:
    """Whether a layer reads what a refinement stage reads: the concatenation of features, heatmaps and PAFs."""
    first = place.refines and place.convolution == 1
    return first and place.part in ("", names.DEPTHWISE, _DEPTHWISE_NORM)


def _same_but(a: NDArray[Any], b: NDArray[Any], axis: int) -> bool:
    """Whether two arrays have the same shape, apart from the length of one axis."""
    return a.shape[:axis] + a.shape[axis + 1 :] == b.shape[:axis] + b.shape[axis + 1 :]
