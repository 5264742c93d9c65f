"""Layers that don't learn."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from bpnet_cli.errors import SpecError


def freeze(network: Any, patterns: Sequence[str]) -> int:
    """Freeze the layers whose names match one of the patterns; return the number of frozen layers.

    A frozen batch normalisation uses its stored statistics and doesn't change them. Raises SpecError if a pattern
    matches no layer with weights.
    """
    layers = [layer for layer in network.layers if layer.weights]
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            names = ", ".join(layer.name for layer in layers[:5])
            raise SpecError(f"training.frozen_layers: no layer's name matches {pattern!r}; they are {names}, ...")
    frozen = [layer for layer in layers if any(fnmatchcase(layer.name, pattern) for pattern in patterns)]
    for layer in frozen:
        layer.trainable = False
    return len(frozen)
