"""Saves and loads networks as `.keras` archives that contain their own metadata."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from bpnet_cli.errors import ModelFileError
from bpnet_cli.files import atomic_path
from bpnet_cli.models.metadata import KERAS_MEMBER, ModelMetadata, read_keras_metadata


def save_network(network: Any, metadata: ModelMetadata, path: str | Path) -> None:
    """Write a network and its metadata atomically. Keras alone can load the file too, with `safe_mode=True`."""
    with atomic_path(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(KERAS_MEMBER, metadata.to_json())


def load_network(path: str | Path) -> tuple[Any, ModelMetadata]:
    """Load a network and its metadata. Raises ModelFileError if the file is missing or damaged, or not from bpnet."""
    metadata = read_keras_metadata(path)
    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ModelFileError(f"{path}: Keras can't load it ({str(error).splitlines()[0]})") from None
    return network, metadata
