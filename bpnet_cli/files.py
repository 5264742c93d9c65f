"""Writing files so that nothing half-written ever stands under its final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bpnet_cli.errors import BpnetError

# Characters of the final name that a temporary name has: enough to recognise it, and never too long for the system.
_STEM = 20


@contextmanager
def atomic_path(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix; moved to `path` when the block ends well, else removed.

    Creates the folder. flush: wait until the content is on the disk (milliseconds), so that a power cut can't leave the
    name without its content. Raises BpnetError where it can't be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:_STEM]}-", suffix=path.suffix)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; results should be as readable as any other file.
        temporary.chmod(0o666 & ~_umask())
        if flush:
            _flush(temporary)
        os.replace(temporary, path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(path: str | Path) -> None:
    """Raise BpnetError now if results could not be written to a folder later; leaves no trace."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise BpnetError(f"{path}: is a file, not a folder for results")
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path)
        os.close(handle)
        os.unlink(name)
        for parent in missing:
            parent.rmdir()
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None


def check_output(path: str | Path, suffix: str, overwrite: bool) -> Path:
    """The path of a file to write later. Raises BpnetError for another ending, a folder, or an existing file."""
    target = Path(path)
    if target.suffix != suffix:
        raise BpnetError(f"{path}: the output file must end in {suffix}")
    if target.is_dir():
        raise BpnetError(f"{path}: is a folder; name the file to write")
    if target.exists() and not overwrite:
        raise BpnetError(f"{path}: exists already; give --overwrite to replace it")
    return target


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    """Wait until a file's or folder's content is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open folders
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
