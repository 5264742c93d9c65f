"""A lock on a results folder: two runs in one folder would write over each other's files."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import one_line, say

NAME = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder during the block. A process that ends in any way, also by SIGKILL, holds it no longer.

    The folder is created where it is missing, and removed again if nothing is in it at the end. Where the file system
    has no locks, a line says so. Raises BpnetError where another process holds the lock; the message names it.
    """
    path = folder / NAME
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _taken(path)
    except OSError as error:
        raise BpnetError(f"{path}: can't be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may be gone or read-only; a file that nobody locks does no harm
            path.unlink()
        os.close(handle)
        for parent in missing:
            with suppress(OSError):  # it has files now
                parent.rmdir()


def _taken(path: Path) -> int:
    """The open lock file, locked, with the name of this process in it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle, path)
            # Another process may have deleted the file since it was opened: then its lock means nothing.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            say(f"{path.parent}: this disk has no locks ({error.strerror}); don't start a second run in this folder")
            return
        owner = one_line(os.read(handle, 200).decode(errors="replace").strip()) or "another process"
        raise BpnetError(
            f"{path.parent}: another run works in this folder ({owner}); wait until it ends, stop it, or give another"
            " folder with -r"
        ) from None
