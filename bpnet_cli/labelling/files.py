"""Opening the files of other tools, with one message for each way in which that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bpnet_cli.errors import DataError
from bpnet_cli.untrusted import json_of


def read_text(path: Path) -> str:
    """A UTF-8 text, also with a byte order mark. Raises DataError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def read_json(path: Path) -> Any:
    """Raises DataError where the file is not JSON, for example because it is cut off."""
    try:
        return json_of(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON, or cut off: {error}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises DataError."""
    try:
        data = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: must be a mapping of keys to values")
    return data


def head_of(path: Path, count: int = 4096) -> bytes:
    """The first bytes of a file, or nothing for a folder. Raises DataError."""
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
