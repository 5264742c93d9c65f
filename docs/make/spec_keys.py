"""The page of every spec key, from the JSON schema that `bpnet spec schema` prints."""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]

_HEAD = """# Every spec key

<!-- Made by docs/make/reference.py from the schema. Change the descriptions in bpnet_cli/spec/. -->

A spec is a YAML file ([how specs work](spec.md)). It has the sections of this page. Every key has a default, so a spec
states only what differs. `bpnet spec show NAME` prints all keys of a spec with their values. `--set model.stages=2`
changes a key on the command line.
"""
_LIMITS = (("minimum", ">= "), ("exclusiveMinimum", "> "), ("maximum", "<= "), ("exclusiveMaximum", "< "))
_PLURALS = {"text": "texts", "number": "numbers", "integer": "integers", "true or false": "truth values"}


def spec_keys_page(schema: Schema) -> str:
    """The page as Markdown. schema: the JSON schema of an experiment spec."""
    definitions = schema["$defs"]
    plain: list[tuple[str, Schema]] = []
    sections: list[tuple[str, Schema]] = []
    for key, about in schema["properties"].items():
        kinds = _objects(about)
        (sections if kinds else plain).append((key, about))
    parts = [_HEAD, *(f"## {key}\n\n{_table([(key, about)], definitions)}" for key, about in plain)]
    done: set[str] = set()
    for key, about in sections:
        parts += [f"## {key}", _sentence(about["description"]), *_tables(key, about, definitions, done)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _tables(path: str, about: Schema, definitions: Schema, done: set[str]) -> list[str]:
    """The tables of an object's keys, then those of the objects inside of it. done: tables that are on the page."""
    parts: list[str] = []
    kinds = _objects(about)
    for kind in kinds:
        properties = definitions[kind]["properties"]
        name = properties.get("name", {}).get("const")
        if name or len(kinds) > 1 or kind in done:
            title = f"`{path}`: `name: {name}`" if name else f"`{path}`: {definitions[kind]['description'].rstrip('.')}"
            parts.append(f"### {title}")
        if kind in done:
            parts.append("The keys are those above.")
            continue
        done.add(kind)
        items = list(properties.items())
        parts.append(_table(items, definitions))
        for key, value in items:
            inner = [kind for kind in _objects(value) if kind not in done]
            if inner:
                head = [] if len(inner) > 1 else [f"### `{path}.{key}`"]
                parts += [*head, *_tables(f"{path}.{key}", value, definitions, done)]
    return parts


def _objects(about: Schema) -> list[str]:
    """The names of the definitions that a value may have, in order."""
    if "$ref" in about:
        return [about["$ref"].rsplit("/", 1)[1]]
    choices = [*about.get("oneOf", []), *about.get("anyOf", [])]
    if "items" in about:
        choices.append(about["items"])
    return list(dict.fromkeys(kind for choice in choices for kind in _objects(choice)))


def _table(items: list[tuple[str, Schema]], definitions: Schema) -> str:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, about in items:
        default = "" if _objects(about) and about.get("default") is not None else _default(about)
        meaning = about.get("description", "")
        cells = (f"`{key}`", _kind(about, definitions), default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _default(about: Schema) -> str:
    if "default" not in about:
        return "needed" if "const" not in about else ""
    return f"`{json.dumps(about['default'])}`"


def _kind(about: Schema, definitions: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in about:
        return "keys, below"
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        return " or ".join(f"`{value}`" for value in about["enum"])
    choices = about.get("oneOf") or about.get("anyOf")
    if choices:
        return " or ".join(dict.fromkeys(_kind(choice, definitions) for choice in choices))
    if about["type"] == "array":
        if "prefixItems" in about:
            return f"two {_PLURALS.get(_kind(about['prefixItems'][0], definitions).split()[0], 'values')}"
        inner = _kind(about["items"], definitions)
        word, _, rest = inner.partition(" ")
        return f"a list of {_PLURALS[word]} {rest}".strip() if word in _PLURALS else f"a list of these: {inner}"
    if about["type"] == "object":
        return f"`{{name: {_kind(about['additionalProperties'], definitions)}}}`"
    words = {"string": "text", "boolean": "true or false", "null": "`null`"}
    limits = [f"{sign}{about[key]}" for key, sign in _LIMITS if key in about]
    if "multipleOf" in about:
        limits.append(f"a multiple of {about['multipleOf']}")
    word = words.get(about["type"], str(about["type"]))
    return f"{word} {', '.join(limits)}".strip()


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
