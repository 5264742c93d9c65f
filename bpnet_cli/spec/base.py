"""What every section of a spec has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """A closed, frozen section of typed keys; `description` of each key says its meaning and unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OnDisk(NamedTuple):
    """Marks a key (in `Annotated`) whose text is a path relative to the working directory.

    kind: what must be there. names: texts that are no paths.
    """

    kind: Literal["folder", "file", "glob"]
    names: tuple[str, ...] = ()


def named_or(default: str) -> Discriminator:
    """Choose a section's model by its `name` key; `default` where the key is absent."""

    def tag(value: Any) -> str:
        return str(value.get("name", default) if isinstance(value, Mapping) else getattr(value, "name", default))

    return Discriminator(tag)


def refusal(
    text: str, key: tuple[str, ...] = (), got: object = None, choices: tuple[str, ...] = ()
) -> PydanticCustomError:
    """The error that a validator raises.

    text: what is wrong; the error line adds the place, the path and the value.
    key: path of the guilty key below the validated section; empty for what is validated itself.
    got: the guilty key's value, for the case that the file doesn't hold it.
    choices: values of which the one nearest to the written value is suggested.
    """
    return PydanticCustomError("bpnet", "{text}", {"text": text, "key": key, "got": got, "choices": choices})
