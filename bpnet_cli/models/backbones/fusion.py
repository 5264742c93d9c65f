"""Combines features from two depths of a network at stride 8."""

from __future__ import annotations

from typing import Any

from keras import layers

_CHANNELS = 128


def fuse(stride_8: Any, stride_16: Any) -> Any:
    """(B, H/8, W/8, C), (B, H/16, W/16, D) -> (B, H/8, W/8, 128).

    Each input goes through a 1x1 convolution, the second one is upsampled by 2, then both are added.
    """
    fine = layers.Conv2D(_CHANNELS, 1, use_bias=False, name="fuse_stride8_conv")(stride_8)
    fine = layers.BatchNormalization(momentum=0.9, name="fuse_stride8_bn")(fine)
    coarse = layers.Conv2D(_CHANNELS, 1, use_bias=False, name="fuse_stride16_conv")(stride_16)
    coarse = layers.BatchNormalization(momentum=0.9, name="fuse_stride16_bn")(coarse)
    # Nearest neighbours, because TensorFlow can't trace Keras' bilinear upsampling with unknown height and width.
    coarse = layers.UpSampling2D(2, interpolation="nearest", name="fuse_stride16_up")(coarse)
    return layers.ReLU(name="fuse_relu")(layers.Add(name="fuse_add")([fine, coarse]))
