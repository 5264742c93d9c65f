"""Reading parts of files that a stranger may have made: with limits, and with no error but ValueError."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any


def json_of(text: str | bytes) -> Any:
    """JSON as plain data. Raises ValueError for all that can't be read, also for too deep nesting."""
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
        size = archive.getinfo(name).file_size
        if size > most_bytes:
            raise ValueError(f"{name} has {size:,} bytes when unpacked, more than {most_bytes:,}")
        try:
            with archive.open(name) as file:
                data = file.read(most_bytes + 1)
        except (RuntimeError, NotImplementedError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{name} can't be unpacked: {error}") from None
    if len(data) > most_bytes:
        raise ValueError(f"{name} has more than {most_bytes:,} bytes when unpacked")
    return data
