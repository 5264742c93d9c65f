"""Atomic writing: a half-written file never has its final name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.storage import Stored, is_remote, local_path, place

# A temporary name begins with this many characters of the final name: enough to recognise it, and never too long for
# the file system.
_STEM = 20


@contextmanager
def atomic_path(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix. Without an error in the block, it is moved to `path`.

    For a URL, the temporary path is on the local disk.
    After an error the temporary file is removed. The folder is created where it is missing. flush: wait until the
    content is on the disk (milliseconds), so that a power cut can't leave an empty file under the final name.
    Raises BpnetError where the file can't be written.
    """
    path = place(path)
    if is_remote(path):
        with _stored_later(path) as temporary:
            yield temporary
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:_STEM]}-", suffix=path.suffix)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp creates files that only the owner can read. Results get the usual permissions.
        temporary.chmod(0o666 & ~_umask())
        if flush:
            _flush(temporary)
        os.replace(temporary, path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # the disk may be read-only by now; the error that matters is on its way
            temporary.unlink(missing_ok=True)


@contextmanager
def _stored_later(path: Stored) -> Iterator[Path]:
    """A temporary local file, which is sent to `path` if there is no error in the block."""
    try:
        with tempfile.TemporaryDirectory(prefix="bpnet-") as folder:
            temporary = Path(folder, f"file{path.suffix}")
            temporary.touch()
            yield temporary
            path.put(temporary)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path`. Without an error in the block, it takes the place of `path`.

    After an error the temporary folder is removed, and `path` is as it was. Raises BpnetError where the folder can't be
    written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:_STEM]}-"))
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            old = temporary.with_name(f"{temporary.name}-old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def files_for(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder`. Without an error in the block, its files are moved to `folder`.

    Other files in the folder stay. After an error nothing is moved, and the temporary folder is removed.
    Raises BpnetError where the files can't be written.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:_STEM]}-") as name:
            temporary = Path(name)
            yield temporary
            folder.mkdir(exist_ok=True)
            for file in sorted(temporary.iterdir()):
                os.replace(file, folder / file.name)
    except OSError as error:
        raise BpnetError(f"{folder}: can't be written: {error.strerror or error}") from None


def check_folder(path: str | Path) -> None:
    """Raise BpnetError if results can't be written to this folder. The folder is not left behind if it is new."""
    path = place(path)
    if path.exists() and not path.is_dir():
        raise BpnetError(f"{path}: is a file, not a folder for results")
    try:
        if is_remote(path):
            path.try_writing()
            return
        missing = [parent for parent in (path, *path.parents) if not parent.exists()]
        path.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path, prefix=".")
        os.close(handle)
        os.unlink(name)
        for parent in missing:
            parent.rmdir()
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None


def check_output(path: str | Path, suffix: str, overwrite: bool) -> Path:
    """The path of a file to write later.

    Raises BpnetError for a URL, and where the name doesn't end in `suffix`, the path is a folder, or the file exists
    and `overwrite` is False.
    """
    target = local_path(path)
    if target.suffix != suffix:
        raise BpnetError(f"{path}: the output file must end in {suffix}")
    if target.is_dir():
        raise BpnetError(f"{path}: is a folder; give the path of a file")
    if target.exists() and not overwrite:
        raise BpnetError(f"{path}: exists already; give --overwrite to replace it")
    return target


def write_text(path: str | Path, text: str, *, flush: bool = True) -> None:
    """Write UTF-8 text atomically. flush: see `atomic_path`. Raises BpnetError where the file can't be written."""
    with atomic_path(path, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn an OSError in the block into a BpnetError that says why `path` can't be written."""
    try:
        yield
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None


def flush_all(paths: Iterable[Path]) -> None:
    """Wait until files that were written without flushing are on the disk. To be called before the file that says so.

    The disk has written most of them meanwhile, and then this takes microseconds for each. Files that don't exist, and
    those at URLs, are left out. Raises BpnetError where one can't be written.
    """
    local = [path for path in paths if not is_remote(path) and os.path.isfile(path)]  # False for a name too long
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_flush, [*local, *{path.parent for path in local}]))
    except OSError as error:
        raise BpnetError(f"{error.filename or local[0].parent}: can't be written: {error.strerror or error}") from None


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
