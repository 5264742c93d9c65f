"""Reading parts of files that a stranger may have made: with limits, and with no error but ValueError."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import MISSING, fields
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
# Most bytes of all arrays of a file, as a multiple of the file: weights hardly shrink in a zip.
_MOST_GROWTH, _SMALL = 20, 64 << 20
_MOST_HEADER = 10_000
# Lists and objects in a JSON text. All people of COCO's training photos have a million. Each takes about 60 bytes in
# memory, and two in the text.
_MOST_LISTS = 20_000_000
# What numpy and Python's parser raise for the header of an array that is no header.
_NO_HEADER = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)


def json_of(text: str | bytes) -> Any:
    """JSON as plain data. Raises ValueError for all that can't be read, also for too deep nesting."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    lists = data.count(b"[") + data.count(b"{")
    if lists > _MOST_LISTS:
        raise ValueError(f"it has {lists:,} lists and objects, more than {_MOST_LISTS:,}")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # of int(): a number with thousands of digits
        raise ValueError(str(error).split(";")[0]) from None


def member_of(path: str | Path, name: str, most_bytes: int) -> bytes:
    """A member of a zip archive, unpacked.

    Raises KeyError where there is none, zipfile.BadZipFile where the file is no archive, and ValueError where the
    member is larger than `most_bytes` when unpacked, is encrypted, or is packed in a way that can't be read.
    """
    with zipfile.ZipFile(path) as archive:
        return _unpacked(archive, name, most_bytes)


def _unpacked(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    size = archive.getinfo(name).file_size
    if size > most_bytes:
        raise ValueError(f"{name} has {size:,} bytes when unpacked, more than {most_bytes:,}")
    try:
        with archive.open(name) as file:
            data = file.read(most_bytes + 1)
    except (RuntimeError, NotImplementedError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} can't be unpacked: {error}") from None
    if len(data) > most_bytes:
        raise ValueError(f"{name} has more than {most_bytes:,} bytes when unpacked")
    return data


def arrays_of(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of a `.npz` file, by name: numbers and texts, as numpy's `savez` and `savez_compressed` write them.

    The sizes in the headers are compared with the bytes that are there before memory is taken. Raises OSError where the
    file can't be opened, and ValueError where it is no whole archive of such arrays, or is far larger when unpacked.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ValueError(str(error)) from None
    with archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        unpacked = sum(sizes.values())
        if unpacked > max(_MOST_GROWTH * Path(path).stat().st_size, _SMALL):
            raise ValueError(f"it has {unpacked:,} bytes when unpacked, far more than an archive of weights")
        return {name.removesuffix(".npy"): _array(name, _unpacked(archive, name, size)) for name, size in sizes.items()}


def _array(name: str, data: bytes) -> NDArray[Any]:
    """An array of a `.npy` file. Raises ValueError."""
    file = BytesIO(data)
    try:
        read: dict[tuple[int, int], Callable[..., Any]] = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, columns_first, dtype = read[np.lib.format.read_magic(file)](file, max_header_size=_MOST_HEADER)
    except _NO_HEADER:
        raise ValueError(f"{name} is not an array") from None
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        raise ValueError(f"{name} is an array of {dtype}, not of numbers")
    numbers = 1
    for length in shape:
        numbers *= max(length, 0)
    if numbers * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{name} has {len(data) - file.tell():,} bytes, its shape {shape} needs another number")
    array = np.frombuffer(data, dtype, numbers, file.tell()).copy() if numbers else np.zeros(0, dtype)
    if dtype.kind == "U" and numbers and array.view(np.uint32).max(initial=0) > 0x10FFFF:
        raise ValueError(f"{name} is not text")
    return array.reshape(shape, order="F" if columns_first else "C")


def typed(kind: type[T], text: str | bytes) -> T:
    """JSON as an object of a dataclass whose fields have plain types; other keys are left out.

    pydantic is not used, because it refuses names of files that are not UTF-8. Raises ValueError for the first key that
    is missing or has a value of another type.
    """
    values, hints = json_of(text), get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError("it is not a mapping")
    made = {}
    for field in fields(kind):  # type: ignore[arg-type] # a dataclass
        if field.name in values:
            made[field.name] = _made(values[field.name], hints[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{field.name} is missing")
    return kind(**made)


def _made(value: Any, hint: Any, name: str) -> Any:
    """A value of JSON as one of a type: int, float, str, list, dict, NamedTuple, a union with None, or Any."""
    inside = get_args(hint)
    if hint is Any or (value is None and type(None) in inside):
        return value
    if type(None) in inside:
        return _made(value, inside[0], name)
    kind = get_origin(hint) or hint
    if kind is list and isinstance(value, list):
        return [_made(each, inside[0], name) for each in value]
    if kind is dict and isinstance(value, dict):
        return {key: _made(each, inside[1], name) for key, each in value.items()}
    if issubclass(kind, tuple) and isinstance(value, list) and len(value) == len(get_type_hints(kind)):
        return kind(*map(_made, value, get_type_hints(kind).values(), repeat(name)))
    if isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be {kind.__name__} (got {type(value).__name__})")


def first_fault(error: Any) -> str:
    """The first fault that a ValidationError of pydantic names, in a line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
