"""What input sizes each backbone takes: for the networks and, without loading Keras, for the checks of specs."""

from __future__ import annotations

# Input pixels per cell of the maps.
STRIDE = 8

# Height and width of the input must be multiples of this, by the backbone's name in specs.
INPUT_MULTIPLES = {
    "vgg19_strided": 8,
    "vgg19": 8,
    "efficientnet_lite0": 16,
    "mobilenet_v2": 16,
    "mobilenet_v3_large": 16,
    "resnet50": 16,
    "tiny": 8,
}
