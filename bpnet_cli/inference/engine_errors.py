"""Errors of the engines that run networks, as errors for the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bpnet_cli.errors import BpnetError, ModelFileError

_REASON = 200


@contextmanager
def naming_the_input(shape: Sequence[int]) -> Iterator[None]:
    """Turn an error of an engine that runs a network in the block into a ModelFileError. shape: of the input."""
    try:
        yield
    except BpnetError:
        raise
    except Exception as error:  # noqa: BLE001 - the error types of the engines share no base but Exception
        reason = " ".join(str(error).split())[-_REASON:] or type(error).__name__
        raise ModelFileError(
            f"the network can't run on an input of shape {list(shape)} ({reason}); if memory is short, make"
            " inference.input_height smaller, else export or import the model again"
        ) from None
