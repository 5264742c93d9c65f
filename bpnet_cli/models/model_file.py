"""Saves and loads networks as `.keras` archives that contain their own metadata."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from bpnet_cli.errors import ModelFileError
from bpnet_cli.files import atomic_path
from bpnet_cli.models.metadata import KERAS_MEMBER, ModelMetadata, read_keras_metadata
from bpnet_cli.untrusted import json_of, member_of

_REASON = 200
# Most bytes of the graph, and of the file when unpacked, as a multiple of the file: weights hardly shrink in a zip.
_MOST_GRAPH, _MOST_GROWTH = 16 << 20, 20
# Entries of the graph that are sizes of arrays. Networks here have some hundred.
_SIZES, _MOST_CHANNELS = ("filters", "units", "kernel_size", "depth_multiplier"), 65_536


def save_network(network: Any, metadata: ModelMetadata, path: str | Path) -> None:
    """Write a network and its metadata atomically. Keras alone can load the file too, with `safe_mode=True`."""
    with atomic_path(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(KERAS_MEMBER, metadata.to_json())


def load_network(path: str | Path) -> tuple[Any, ModelMetadata]:
    """Load a network and its metadata. Raises ModelFileError if the file is missing or damaged, or not from bpnet."""
    metadata = read_keras_metadata(path)
    _check_sizes(path)
    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - on damaged and hostile files, Keras raises any exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{path}: Keras can't load it ({reason[:_REASON]})") from None
    if not isinstance(network, keras.Model):
        raise ModelFileError(f"{path}: holds a {type(network).__name__}, and no network")
    return network, metadata


def _check_sizes(path: str | Path) -> None:
    """Raise ModelFileError where loading would take far more memory than the file has bytes."""
    try:
        graph = json_of(member_of(path, "config.json", _MOST_GRAPH))
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{path}: not a whole .keras file ({str(error)[:_REASON]})") from None
    if unpacked > _MOST_GROWTH * max(Path(path).stat().st_size, _MOST_GRAPH):
        raise ModelFileError(f"{path}: has {unpacked:,} bytes when unpacked, far more than a network of its size")
    for name, value in _numbers(graph):
        if value > _MOST_CHANNELS:
            raise ModelFileError(f"{path}: a layer has {name} {value}, more than {_MOST_CHANNELS}")


def _numbers(graph: Any) -> Iterator[tuple[str, int]]:
    """The sizes of arrays in the graph of a `.keras` file."""
    left = [("", graph)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(str(key), each) for key, each in value.items()]
        elif isinstance(value, list):
            left += [(name, each) for each in value]
        elif name in _SIZES and isinstance(value, int):
            yield name, value
