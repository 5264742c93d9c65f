"""Checking data against a section's model, with a message for every problem."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bpnet_cli.errors import SpecError, did_you_mean
from bpnet_cli.spec.base import Model
from bpnet_cli.spec.yaml_text import Document, KeyPath, Problem, dotted, shown

M = TypeVar("M", bound=Model)

_ABSENT = object()

_WORDS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "model_type": "must be a section of keys",
    "dict_type": "must be a section of keys",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} value(s)",
    "too_long": "must have at most {max_length} value(s)",
    "string_too_short": "must not be empty",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "bpnet": "{text}",
}


def check(model: type[M], document: Document) -> M:
    """The document as an instance of `model`. Raises SpecError with one line per problem, in the order of the file."""
    problems = list(document.problems)
    try:
        # The data goes through JSON, because in strict mode pydantic accepts a list for a tuple only from JSON.
        result = model.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        problems += [
            _problem(model, document, item, context)
            for item in error.errors(include_url=False)
            if _is_real(item)
            for context in item.get("ctx", {}).get("faults", [item.get("ctx", {})])
        ]
    if problems:
        lines = dict.fromkeys(str(problem) for problem in sorted(problems))
        raise SpecError("\n".join(lines))
    return result


def _problem(model: type[Model], document: Document, details: ErrorDetails, context: Mapping[str, Any]) -> Problem:
    kind, loc = details["type"], details["loc"]
    if kind == "union_tag_invalid":
        loc = (*loc, "name")
    path, got = find_written(document.data, (*loc, *context.get("key", ())))
    if kind == "extra_forbidden":
        text = _unknown_key(model, loc, path)
    elif kind == "missing" and got is not _ABSENT:
        text = f"has too few values (got {shown(got)})"  # a tuple of fixed length
    elif kind == "missing":
        text = _WORDS[kind]
    else:
        words = _WORDS.get(kind, details["msg"].replace("Input should be", "must be")).format(**context)
        default = got is _ABSENT
        got = context.get("got") if default else got
        text = f"{words}{_suggestion(got, context)} (got {shown(got)}{', the default' if default else ''})"
    return Problem(document.place_of(path), f"{dotted(path)}: {text}" if path else text)


def _is_real(details: ErrorDetails) -> bool:
    """False where pydantic calls a list too short only because some items are wrong: it counts only the right ones."""
    return details["type"] != "too_short" or len(details["input"]) < details["ctx"]["min_length"]


def find_written(data: Any, loc: Sequence[str | int]) -> tuple[KeyPath, Any]:
    """The path in the written data for pydantic's location, and the value there.

    A location may contain parts that are not in the data: names of union members, and the index 0 where a single item
    is written instead of a list. These parts are left out.
    """
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif isinstance(data, dict) and isinstance(part, str) and position == len(loc) - 1:
            data = _ABSENT
        else:
            continue
        path.append(part)
    return tuple(path), data


def _suggestion(got: object, context: Mapping[str, Any]) -> str:
    expected = context.get("expected") or context.get("expected_tags") or ""
    choices = context.get("choices") or re.findall(r"'([^']*)'", expected)
    return did_you_mean(got, choices) if isinstance(got, str) else ""


def _unknown_key(model: type[Model], loc: Sequence[str | int], path: KeyPath) -> str:
    key = str(path[-1])
    known = [name for section in _sections_at(model, loc[:-1]) for name in section.model_fields]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    here = ".".join(part for part in path if isinstance(part, str))
    elsewhere = [name for name in dict.fromkeys(_all_keys(model)) if name.split(".")[-1] == key]
    # A key that exists here too belongs to another model of the same union.
    elsewhere = [] if here in elsewhere else elsewhere
    if near or len(elsewhere) == 1:
        return f"unknown key, did you mean '{(near or elsewhere)[0]}'?"
    return f"unknown key; the keys here are {', '.join(known)}"


def _sections_at(model: type[Model], loc: Sequence[str | int]) -> list[type[Model]]:
    """The models that are possible at pydantic's location."""
    sections = [model]
    for part in loc:
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        if fields:
            sections = [inner for field in fields for inner in _models_in(field.annotation)]
        elif isinstance(part, str):
            sections = [section for section in sections if part in _tags(section)]
    return sections


def _tags(section: type[Model]) -> tuple[str, ...]:
    """The tags of a section in its union: the allowed values of its `name` key, or else the name of its model."""
    name = section.model_fields.get("name")
    return get_args(name.annotation) if name else (section.__name__,)


def _models_in(annotation: Any) -> list[type[Model]]:
    if arguments := get_args(annotation):
        return [inner for argument in arguments for inner in _models_in(argument)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, Model) else []


def _all_keys(model: type[Model], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models_in(field.annotation):
            yield from _all_keys(inner, f"{prefix}{name}.")
