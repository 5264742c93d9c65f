"""Stages: each stage predicts heatmaps and PAFs. A refinement stage reads the features and the previous stage's maps.

Sources: Cao et al., CVPR 2017 (separate branches); NVIDIA's BodyPoseNet (trunk shared by both branches, layer names).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import initializers, layers

from bpnet_cli.models import names


@dataclass(frozen=True)
class StageShape:
    """The convolutions of a stage, in order.

    kernel_sizes: one hidden convolution with `channels` output channels for each kernel size. They are followed by a
    1x1 convolution with `head_channels` output channels, then by a 1x1 convolution that makes the maps.
    """

    kernel_sizes: Sequence[int]
    channels: int
    head_channels: int


@dataclass(frozen=True)
class Convolutions:
    """How to build hidden convolutions.

    separable: a depthwise k x k convolution and a 1x1 convolution, instead of one full k x k convolution.
    batch_norm: batch norm after each convolution.
    initializer: Keras name of the kernels' initializer; "random_normal" has sigma 0.01, as in BodyPoseNet's stages.
    """

    separable: bool = False
    batch_norm: bool = False
    initializer: str = "he_normal"

    def hidden(self, x: Any, channels: int, kernel: int, name: str) -> Any:
        """Convolution, optional batch norm, ReLU."""
        if self.separable and kernel > 1:
            x = layers.DepthwiseConv2D(kernel, padding="same", use_bias=False, name=name + names.DEPTHWISE)(x)
            if self.batch_norm:
                x = layers.BatchNormalization(momentum=0.9, name=name + names.DEPTHWISE + names.NORM)(x)
            kernel = 1
        x = layers.Conv2D(
            channels,
            kernel,
            padding="same",
            use_bias=not self.batch_norm,
            kernel_initializer=self._kernel_initializer(),
            name=name,
        )(x)
        if self.batch_norm:
            x = layers.BatchNormalization(momentum=0.9, name=name + names.NORM)(x)
        return layers.ReLU(name=name + names.ACTIVATION)(x)

    def _kernel_initializer(self) -> Any:
        if self.initializer == "random_normal":
            return initializers.RandomNormal(stddev=0.01)
        return initializers.get(self.initializer)


def build_stage(
    x: Any,
    index: int,
    shape: StageShape,
    convolutions: Convolutions,
    *,
    shared: bool,
    last: bool,
    channels: tuple[int, int],
) -> tuple[Any, Any]:
    """Build stage number `index` (1: the initial stage); returns (heatmaps, pafs), float32 without activation.

    x: input of the stage, (B, H/8, W/8, C). shared: whether both branches share one trunk; otherwise each branch has
    its own. last: whether this is the last stage. channels: numbers of channels of (heatmaps, pafs).
    """
    trunk_end = len(shape.kernel_sizes) + 1
    shared_trunk = _trunk(x, index, None, shape, convolutions) if shared else None
    maps: list[Any] = []
    for branch, width in zip((names.HEATMAPS, names.PAFS), channels, strict=True):
        if not width:  # a skeleton of one keypoint has no limbs, and no layer can make maps of no channels
            maps.append(maps[0][..., :0])
            continue
        trunk = shared_trunk if shared else _trunk(x, index, branch, shape, convolutions)
        hidden = convolutions.hidden(trunk, shape.head_channels, 1, names.convolution(index, branch, trunk_end))
        maps.append(
            layers.Conv2D(
                width,
                1,
                kernel_initializer=initializers.RandomNormal(stddev=0.01),
                dtype="float32",
                name=names.output(index, branch, last=last),
            )(hidden)
        )
    return maps[0], maps[1]


def _trunk(x: Any, index: int, branch: str | None, shape: StageShape, convolutions: Convolutions) -> Any:
    for i, kernel in enumerate(shape.kernel_sizes, start=1):
        x = convolutions.hidden(x, shape.channels, kernel, names.convolution(index, branch, i))
    return x
