"""Errors that a user can fix. Every other exception is a bug and keeps its traceback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class BpnetError(Exception):
    """An error for the user. Its text is the whole message: what, where, what was got, what to do. Exit code 1.

    page: the page of the documentation that explains errors of this kind; `bpnet docs PAGE` prints it.
    """

    page: str | None = None


class StoppedByUser(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after a message to the user: what is done and how to continue. Exit code 1."""


class SpecError(BpnetError):
    """An experiment spec, a `--set` override or a skeleton file that doesn't fit the schema."""

    page = "spec"


class DataError(BpnetError):
    """Photos or annotations that can't be used as they are."""

    page = "label_rules"


class ModelFileError(BpnetError):
    """A model file that is missing, damaged or not from bpnet."""

    page = "model_file"


@contextmanager
def explained_on(page: str, kind: type[BpnetError] = BpnetError) -> Iterator[None]:
    """Errors of exactly this kind in the block are explained on this page, not on the usual one of their kind."""
    try:
        yield
    except BpnetError as error:
        if type(error) is kind:
            error.page = page
        raise


@contextmanager
def hinting(hint: str, first: str = "") -> Iterator[None]:
    """Add a hint to each DataError and ModelFileError of the block, for example where the file's path comes from.

    hint: follows the error in brackets. first: what to do; stands before the error.
    """
    try:
        yield
    except (DataError, ModelFileError) as error:
        raise type(error)(f"{first}{error} ({hint})") from None


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Put a place, such as a file or a key of the spec, in front of each SpecError of the block."""
    try:
        yield
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """ ", did you mean 'X'?" for the choice X that is nearest to a word; "" if none is near."""
    import difflib  # not needed where nothing is wrong

    near = difflib.get_close_matches(word, list(choices), n=1)
    return f", did you mean '{near[0]}'?" if near else ""
