"""The input sizes that each backbone takes. Networks use them, and so do the checks of specs, without loading Keras."""

from __future__ import annotations

# Input pixels per map cell.
STRIDE = 8

# For each backbone, by its name in specs: height and width of the input must be multiples of this number of pixels.
INPUT_MULTIPLES = {
    "vgg19_strided": 8,
    "vgg19": 8,
    "efficientnet_lite0": 16,
    "mobilenet_v2": 16,
    "mobilenet_v3_large": 16,
    "resnet50": 16,
    "tiny": 8,
}
