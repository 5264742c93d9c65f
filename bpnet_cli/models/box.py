"""The model in the box: a network that this project trained and ships (docs/model_card.md)."""

from __future__ import annotations

from pathlib import Path

from bpnet_cli.errors import ModelFileError

_ASSETS = Path(__file__).parents[1] / "assets"


NAME = "box"


def box_or_path(path: str, *, keras: bool) -> str:
    """The file of the model in the box where its name is given, else the path itself."""
    if path != NAME:
        return path
    return box_keras() if keras else box_onnx()


def box_onnx() -> str:
    """Path of the `.onnx` file in the box, for inference."""
    return _existing("box.onnx")


def box_keras() -> str:
    """Path of the `.keras` file in the box, for export and for training on."""
    return _existing("box.keras")


def _existing(name: str) -> str:
    path = _ASSETS / name
    if not path.is_file():
        raise ModelFileError(f"{path}: the model in the box is missing; install the package again or name a model (-m)")
    return str(path)
