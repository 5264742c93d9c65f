"""Backbones: functions from a normalised image tensor to a feature map at stride 8.

A backbone is a plain graph; its layer names are the contract by which pretrained weights are found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bpnet_cli.models.backbones import efficientnet_lite, tiny, vgg

STRIDE = 8


@dataclass(frozen=True)
class Backbone:
    """How to build a backbone and what it expects.

    build: image tensor (B, H, W, 3), normalised -> features (B, H/8, W/8, C).
    scale, offset: normalised = pixel * scale + offset, pixel in 0..255 RGB; the offset is per channel.
    input_multiple: height and width of the input must be multiples of this.
    keras_application: name under `keras.applications` whose ImageNet weights have the same layer names, or None.
    """

    build: Callable[[Any], Any]
    scale: float
    offset: tuple[float, float, float]
    input_multiple: int = STRIDE
    keras_application: str | None = None


BACKBONES = {
    "vgg19_strided": Backbone(vgg.vgg19_strided, 1 / 256, (-0.5, -0.5, -0.5)),
    # ImageNet's mean colour, as in keras.applications (which wants BGR: see `weights.load_imagenet`).
    "vgg19": Backbone(vgg.vgg19, 1.0, (-123.68, -116.779, -103.939), keras_application="VGG19"),
    "efficientnet_lite0": Backbone(
        efficientnet_lite.efficientnet_lite0, 1 / 128, (-127 / 128, -127 / 128, -127 / 128), input_multiple=16
    ),
    "tiny": Backbone(tiny.tiny, 1 / 128, (-127 / 128, -127 / 128, -127 / 128)),
}
