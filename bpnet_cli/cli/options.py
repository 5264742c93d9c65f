"""Flags that several verbs share; TAO's spelling is accepted as a second one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def spec_option(required: bool = True) -> Callable[[Function], Function]:
    """`-e SPEC`."""
    return click.option(
        "-e",
        "--experiment-spec",
        "--experiment_spec_file",
        "spec_path",
        metavar="SPEC",
        required=required,
        help="Experiment spec (YAML).",
    )


set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a key of the spec, as in --set model.stages=2; may be given several times.",
)


def model_option(required: bool = True) -> Callable[[Function], Function]:
    """`-m MODEL`."""
    return click.option(
        "-m",
        "--model",
        "--model_filename",
        "model_path",
        metavar="MODEL",
        required=required,
        help="A .keras or .onnx file.",
    )


def results_option(default: str | None = None) -> Callable[[Function], Function]:
    """`-r DIR`; without a default it must be given."""
    # click takes a default of None for a value, and no longer asks for one.
    given: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(
        "-r", "--results-dir", "--results_dir", "results_dir", metavar="DIR", help="Folder for the results.", **given
    )
