"""Loading Keras and its backend without their messages, and with a clear error where they are not installed."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bpnet_cli.errors import BpnetError

# Of the drivers of NVIDIA, of NVIDIA on Windows' Linux and on Tegra boards, and of AMD.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/kfd")


def load_keras() -> None:
    """Import Keras and its backend, before any other module does. Raises BpnetError where a package is missing.

    Where KERAS_BACKEND is not set and TensorFlow isn't installed, the backend is JAX or else PyTorch, if installed.
    """
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:
        found = next((name for name in ("jax", "torch") if find_spec(name)), None)
        if found:
            os.environ["KERAS_BACKEND"] = found
    _load("keras")


def load_tensorflow(purpose: str) -> None:
    """Import TensorFlow, for work that needs it with any backend. Raises BpnetError where it is missing.

    purpose: what needs TensorFlow; the error begins with it.
    """
    if find_spec("tensorflow") is None:
        raise BpnetError(
            f"{purpose} needs TensorFlow, which is not installed: pip install 'bpnet-cli[train]', or [train-cpu]"
        )
    _load("tensorflow")


def _load(package: str) -> None:
    """Import a package without its messages."""
    if sys.modules.get(package) is not None:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with quiet_libraries():
            importlib.import_module(package)
            _look_for_gpus()
    except ModuleNotFoundError as error:
        raise BpnetError(_missing(error.name or package)) from None


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide what libraries write to the standard error of the process inside the block; after an error it is shown.

    TensorFlow and LiteRT write there while they load, and no setting can stop that. The output of other threads is
    hidden too.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _look_for_gpus() -> None:
    """Let TensorFlow look for GPUs now, where the machine has none: its CUDA build calls that an error, once.

    Where there may be one, it looks later and for everybody to see.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or sys.platform != "linux":
        return
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not any(Path(path).exists() for path in _GPU_FILES):
        tensorflow.config.list_physical_devices("GPU")


def _missing(package: str) -> str:
    return (
        f"this needs {package}, which is not installed: pip install 'bpnet-cli[train]', [jax] or [torch]"
        " (ONNX models run without any of them)"
    )
