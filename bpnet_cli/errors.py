"""Errors that a user can act on. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BpnetError(Exception):
    """A user-facing error: its text is the whole message (what, where, what was got, what to do). Exit code 1."""


class StoppedByUser(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, and the user has been told what was done and how to go on. Exit code 1."""


class SpecError(BpnetError):
    """An experiment spec, a `--set` override or a skeleton file that breaks the schema."""


class DataError(BpnetError):
    """Photos or annotations that can't be used as they are."""


class ModelFileError(BpnetError):
    """A model file that is missing, damaged or not one of ours."""


@contextmanager
def hinting(hint: str, first: str = "") -> Iterator[None]:
    """Add a hint to errors about files in a block: where the path came from. first: what to do, before the error."""
    try:
        yield
    except (DataError, ModelFileError) as error:
        raise type(error)(f"{first}{error} ({hint})") from None
