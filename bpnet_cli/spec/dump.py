"""A spec as YAML, with the description of each key as a comment."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from bpnet_cli.spec.base import Model
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.yaml_text import resolve_as_yaml_1_2

_WIDTH = 100


class Dumper(yaml.SafeDumper):
    """Quotes texts that YAML 1.1 or bpnet's loader would read as another type."""


resolve_as_yaml_1_2(Dumper)


def dump_spec(spec: ExperimentSpec) -> str:
    """The complete spec as YAML, a `#` comment above each key. `load_spec_text` of the result gives an equal spec."""
    return "\n".join(_section(spec, blank_lines=True)) + "\n"


def _section(model: Model, blank_lines: bool = False) -> list[str]:
    lines: list[str] = []
    for name, field in type(model).model_fields.items():
        if blank_lines and lines:
            lines.append("")
        lines += textwrap.wrap(field.description or "", _WIDTH, initial_indent="# ", subsequent_indent="# ")
        lines += _entry(name, getattr(model, name))
    return lines


def _entry(name: str, value: Any) -> list[str]:
    if isinstance(value, Model) and not type(value).model_fields:
        return [f"{name}: {{}}"]
    if isinstance(value, Model):
        return [f"{name}:", *_indented(_section(value))]
    if isinstance(value, tuple) and value and isinstance(value[0], Model):
        items = [_indented(_section(item)) for item in value]
        return [f"{name}:", *_indented([line for first, *rest in items for line in ("- " + first[2:], *rest)])]
    style = None if isinstance(value, tuple) else False
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.dump({name: value}, Dumper=Dumper, default_flow_style=style, allow_unicode=True, width=10**6)
    return text.rstrip("\n").split("\n")


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
