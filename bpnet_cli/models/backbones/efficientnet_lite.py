"""EfficientNet-Lite0 up to stride 16. Its features of stride 8 and stride 16 are fused at stride 8.

Source: Tan & Le, EfficientNet, ICML 2019, in the "Lite" form (ReLU6, no squeeze-and-excite). Layer names are the names
of the arrays in the documented `.npz` weights, with "_" instead of "/".
"""

from __future__ import annotations

from typing import Any

from keras import layers

from bpnet_cli.models.backbones.fusion import fuse

# (repeats, kernel, stride of the first block, expansion, output channels) of the stages up to stride 16.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
_STRIDE_8_STAGE = 2


def efficientnet_lite0(x: Any) -> Any:
    """(B, H, W, 3), H and W multiples of 16 -> (B, H/8, W/8, 128)."""
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _norm_relu6(x, "stem_bn")
    block, stride_8 = 0, None
    for stage, (repeats, kernel, first_stride, expansion, width) in enumerate(_STAGES):
        for repeat in range(repeats):
            x = _block(x, f"block_{block:02d}", kernel, first_stride if repeat == 0 else 1, expansion, width)
            block += 1
        if stage == _STRIDE_8_STAGE:
            stride_8 = x
    return fuse(stride_8, x)


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, width: int) -> Any:
    """MBConv without squeeze-and-excite; adds its input if the shapes are equal."""
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}_expand")(x)
        x = _norm_relu6(x, f"{name}_expand_bn")
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _norm_relu6(x, f"{name}_depthwise_bn")
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_project")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_project_bn")(x)
    if stride == 1 and channels == width:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _norm_relu6(x: Any, name: str) -> Any:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=name)(x)
    return layers.ReLU(max_value=6.0, name=name.replace("bn", "relu6"))(x)
