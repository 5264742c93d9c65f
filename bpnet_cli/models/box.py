"""The model in the box: a network that this project trained and that is part of the package (docs/model_card.md)."""

from __future__ import annotations

from pathlib import Path

from bpnet_cli.errors import ModelFileError

_ASSETS = Path(__file__).parents[1] / "assets"


NAME = "box"


def box_or_path(path: str, *, keras: bool) -> str:
    """Path of the model in the box if `path` is its name ("box"), otherwise `path` itself.

    keras: whether to take the `.keras` file (True) or the `.onnx` file (False). Raises ModelFileError if it is missing.
    """
    if path != NAME:
        return path
    return box_keras() if keras else box_onnx()


def box_onnx() -> str:
    """Path of the box model's `.onnx` file, for inference. Raises ModelFileError if it is missing."""
    return _existing("box.onnx")


def box_keras() -> str:
    """Path of the box model's `.keras` file, for export and further training. Raises ModelFileError if missing."""
    return _existing("box.keras")


def _existing(name: str) -> str:
    path = _ASSETS / name
    if not path.is_file():
        raise ModelFileError(f"{path}: the model in the box is missing; install the package again or give a model (-m)")
    return str(path)
