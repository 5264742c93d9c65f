"""Backbones: functions from a normalised image tensor to a feature map at stride 8.

A backbone is a plain graph. Its layer names are a contract, because pretrained weights are found by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bpnet_cli.models.backbones import applications, efficientnet_lite, tiny, vgg


@dataclass(frozen=True)
class Backbone:
    """How to build a backbone, and the input that it expects.

    build: image tensor (B, H, W, 3), normalised -> features (B, H/8, W/8, C).
    scale, offset: normalised = pixel * scale + offset, pixel in 0..255 RGB; the offset is per channel.
    keras_application: name of the network in `keras.applications` whose ImageNet weights have the same layer names; or
    None.
    application_wants_bgr: whether those weights were made for BGR photos.
    """

    build: Callable[[Any], Any]
    scale: float
    offset: tuple[float, float, float]
    keras_application: str | None = None
    application_wants_bgr: bool = False


# Minus ImageNet's mean colour in RGB order, values as in keras.applications. There the order is BGR, see
# `weights.copy_application`.
_MEAN_COLOUR = (-123.68, -116.779, -103.939)

BACKBONES = {
    "vgg19_strided": Backbone(vgg.vgg19_strided, 1 / 256, (-0.5, -0.5, -0.5)),
    "vgg19": Backbone(vgg.vgg19, 1.0, _MEAN_COLOUR, keras_application="VGG19", application_wants_bgr=True),
    "efficientnet_lite0": Backbone(efficientnet_lite.efficientnet_lite0, 1 / 128, (-127 / 128, -127 / 128, -127 / 128)),
    "mobilenet_v2": Backbone(applications.mobilenet_v2, 1 / 127.5, (-1.0, -1.0, -1.0), keras_application="MobileNetV2"),
    "mobilenet_v3_large": Backbone(
        applications.mobilenet_v3_large,
        1 / 127.5,
        (-1.0, -1.0, -1.0),
        keras_application="MobileNetV3Large",
    ),
    "resnet50": Backbone(
        applications.resnet50,
        1.0,
        _MEAN_COLOUR,
        keras_application="ResNet50",
        application_wants_bgr=True,
    ),
    "tiny": Backbone(tiny.tiny, 1 / 128, (-127 / 128, -127 / 128, -127 / 128)),
}
