"""The base class of the spec's sections, and helpers for their fields and validators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """A frozen section of typed keys, which refuses other keys. Each key's `description` gives its meaning and unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OnDisk(NamedTuple):
    """Marks a key (in `Annotated`) whose text is a path, relative to the working directory.

    kind: what must be at the path. names: values of the key that are names, not paths.
    """

    kind: Literal["folder", "file", "glob"]
    names: tuple[str, ...] = ()


def named_or(default: str) -> Discriminator:
    """Choose a section's model by its `name` key, or by `default` if the key is absent."""

    def tag(value: Any) -> str:
        return str(value.get("name", default) if isinstance(value, Mapping) else getattr(value, "name", default))

    return Discriminator(tag)


class Fault(NamedTuple):
    """What is wrong with a key; see `refusal`."""

    text: str
    key: tuple[str | int, ...] = ()
    got: object = None
    choices: tuple[str, ...] = ()


def refusal_of(faults: Sequence[Fault]) -> PydanticCustomError:
    """The error that a validator raises for one or more faults. Each becomes a line of its own."""
    return PydanticCustomError("bpnet", "{text}", {"text": faults[0].text, "faults": [f._asdict() for f in faults]})


def refusal(
    text: str, key: tuple[str | int, ...] = (), got: object = None, choices: tuple[str, ...] = ()
) -> PydanticCustomError:
    """The error that a validator raises.

    text: what is wrong. The error line adds the place, the path and the value.
    key: path of the wrong key below the validated section; empty for the validated value itself.
    got: the value of the wrong key, for the case that the file doesn't have this key.
    choices: allowed values. The message suggests the one that is nearest to the written value.
    """
    return refusal_of([Fault(text, key, got, choices)])
