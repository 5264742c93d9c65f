"""VGG19 up to conv4_2, in BodyPoseNet's strided form and in the original form with max pooling."""

from __future__ import annotations

from typing import Any

from keras import layers


def vgg19_strided(x: Any) -> Any:
    """BodyPoseNet's backbone: with batch norm after every convolution, and strided convolutions instead of pooling.

    (B, H, W, 3) -> (B, H/8, W/8, 256). 7,053,504 parameters.
    """
    blocks = (("1", (64, 64), 1), ("2", (128, 128), 2), ("3", (256,) * 4, 2), ("4", (512, 512), 2), ("6", (256,), 1))
    for block, widths, first_stride in blocks:
        for i, width in enumerate(widths):
            name, stride = f"block_{block}{'abcd'[i]}", first_stride if i == 0 else 1
            x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=f"{name}_conv_1")(x)
            x = layers.BatchNormalization(name=f"{name}_bn_1")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
    return x


def vgg19(x: Any) -> Any:
    """VGG19 with Keras' layer names up to block4_conv2, then OpenPose's conv4_3_CPM with 256 output channels.

    (B, H, W, 3) -> (B, H/8, W/8, 256). Source: Cao et al., Realtime multi-person 2D pose estimation, CVPR 2017.
    """
    for block, (width, convolutions) in enumerate(((64, 2), (128, 2), (256, 4), (512, 2)), start=1):
        if block > 1:
            x = layers.MaxPooling2D(2, strides=2, name=f"block{block - 1}_pool")(x)
        for i in range(1, convolutions + 1):
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"block{block}_conv{i}")(x)
    return layers.Conv2D(256, 3, padding="same", activation="relu", name="conv4_3_cpm")(x)
