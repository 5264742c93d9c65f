"""Networks of keras.applications up to stride 16. Their features of stride 8 and stride 16 are fused at stride 8.

Sources: Sandler et al., MobileNetV2, CVPR 2018; Howard et al., Searching for MobileNetV3, ICCV 2019; He et al., Deep
residual learning, CVPR 2016. Layers keep their names from Keras, because the ImageNet weights are found by these names.
"""

from __future__ import annotations

import re
from typing import Any

import keras

from bpnet_cli.models.backbones.fusion import fuse

_AUTOMATIC_NAME = re.compile(r"(re_lu|activation|add|multiply)(_\d+)?")


def mobilenet_v2(x: Any) -> Any:
    """(B, H, W, 3), H and W multiples of 16 -> (B, H/8, W/8, 128). 0.56 M parameters in the trunk."""
    return _fused(keras.applications.MobileNetV2, x, "block_5_add", "block_12_add")


def mobilenet_v3_large(x: Any) -> Any:
    """(B, H, W, 3), H and W multiples of 16 -> (B, H/8, W/8, 128).

    Squeeze-and-excite averages over the whole input, whatever the size of the input is.
    """
    return _fused(
        keras.applications.MobileNetV3Large,
        x,
        "expanded_conv_5_add",
        "expanded_conv_11_add",
        include_preprocessing=False,  # normalisation is this project's first layer
    )


def resnet50(x: Any) -> Any:
    """(B, H, W, 3), H and W multiples of 16 -> (B, H/8, W/8, 128)."""
    return _fused(keras.applications.ResNet50, x, "conv3_block4_out", "conv4_block6_out")


def _fused(application: Any, x: Any, stride_8: str, stride_16: str, **options: Any) -> Any:
    """Build the application's graph on x. No layer after the layer `stride_16` becomes part of the network.

    stride_8, stride_16: names of the layers whose outputs are fused.
    """
    whole = application(input_tensor=x, weights=None, include_top=False, **options)
    fine, coarse = whole.get_layer(stride_8).output, whole.get_layer(stride_16).output
    for index, operation in enumerate(whole.operations):
        automatic = _AUTOMATIC_NAME.fullmatch(operation.name)
        if automatic:
            # Keras numbers these names within a process; a name must not depend on what was built before.
            operation.name = f"{automatic[1]}_at_{index}"
        if isinstance(operation, keras.layers.BatchNormalization):
            # With Keras' 0.99 and 0.999, the statistics need thousands of steps to adapt to the user's data. Until then
            # validation would use wrong statistics.
            operation.momentum = 0.9
    return fuse(fine, coarse)
