"""bpnet: train, evaluate, export and run bottom-up multi-person pose networks.

This is the public interface. Each name is imported on first use, so importing the package is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpnet_cli.errors import BpnetError
    from bpnet_cli.inference.load import load_predictor
    from bpnet_cli.inference.predictor import Predictor
    from bpnet_cli.pose.decode import DecodeOptions, decode, decode_peaks
    from bpnet_cli.pose.person import Person
    from bpnet_cli.pose.skeleton import BODY_18, Skeleton
    from bpnet_cli.pose.targets import render_targets

__version__ = "0.2.0"

_HOMES = {
    "load_predictor": "bpnet_cli.inference.load",
    "Predictor": "bpnet_cli.inference.predictor",
    "decode": "bpnet_cli.pose.decode",
    "decode_peaks": "bpnet_cli.pose.decode",
    "DecodeOptions": "bpnet_cli.pose.options",
    "Person": "bpnet_cli.pose.person",
    "render_targets": "bpnet_cli.pose.targets",
    "Skeleton": "bpnet_cli.pose.skeleton",
    "BODY_18": "bpnet_cli.pose.skeleton",
    "BpnetError": "bpnet_cli.errors",
}

__all__ = [
    "load_predictor",
    "Predictor",
    "decode",
    "decode_peaks",
    "DecodeOptions",
    "Person",
    "render_targets",
    "Skeleton",
    "BODY_18",
    "BpnetError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bpnet_cli' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
