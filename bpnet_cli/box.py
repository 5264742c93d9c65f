"""The models in the box: networks that this project trained and that are part of the package (docs/model_card.md)."""

from __future__ import annotations

from pathlib import Path

from bpnet_cli.errors import ModelFileError, did_you_mean

_ASSETS = Path(__file__).with_name("assets")

# The first one is the default.
NAMES = ("box", "box-fast")


def box_or_path(path: str, *, keras: bool) -> str:
    """Path of a model in the box if `path` is its name, such as "box"; otherwise `path` itself.

    keras: whether to take the `.keras` file (True) or the `.onnx` file (False). Raises ModelFileError if it is missing.
    """
    if path not in NAMES:
        return path
    return box_keras(path) if keras else box_onnx(path)


def box_onnx(name: str = NAMES[0]) -> str:
    """Path of the `.onnx` file of a model in the box, for inference. Raises ModelFileError if it is missing."""
    return _existing(f"{name}.onnx")


def box_keras(name: str = NAMES[0]) -> str:
    """Path of the `.keras` file of a model in the box, for export and further training. Raises ModelFileError if
    missing."""
    return _existing(f"{name}.keras")


def no_such_model(path: str | Path) -> ModelFileError:
    """The error for a model file that isn't there. If a model in the box has a similar name, it names that."""
    return ModelFileError(f"{path}: no such model file{did_you_mean(str(path), NAMES)}")


def _existing(name: str) -> str:
    path = _ASSETS / name
    if not path.is_file():
        raise ModelFileError(f"{path}: the model in the box is missing; install the package again or give a model (-m)")
    return str(path)
