"""A small plain network: for the quickstart, for tests, and to read first."""

from __future__ import annotations

from typing import Any

from keras import layers

# (channels, stride). The early strides make it fast on a CPU. The dilated last layers see an area larger than a limb.
_CONVOLUTIONS = ((16, 2), (32, 2), (64, 2), (64, 1), (96, 1), (96, 1))
_DILATIONS = (1, 1, 1, 1, 2, 4)


def tiny(x: Any) -> Any:
    """(B, H, W, 3) -> (B, H/8, W/8, 96); six 3x3 convolutions with batch norm."""
    for i, ((width, stride), dilation) in enumerate(zip(_CONVOLUTIONS, _DILATIONS, strict=True), start=1):
        x = layers.Conv2D(
            width, 3, strides=stride, dilation_rate=dilation, padding="same", use_bias=False, name=f"conv{i}"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"conv{i}_bn")(x)
        x = layers.ReLU(name=f"conv{i}_relu")(x)
    return x
