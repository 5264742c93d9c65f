"""Flags that several verbs share. TAO's spelling of a flag works too."""

from __future__ import annotations

import functools
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
        help="Experiment spec: a YAML file, or the name of a shipped spec (bpnet spec list).",
    )


def spec_argument(function: Function) -> Callable[..., Any]:
    """The argument SPEC, or `-e SPEC`. The function gets it as spec_path."""

    @functools.wraps(function)
    def run(argument: str | None, spec_path: str | None, **flags: Any) -> Any:
        given = [word for word in (argument, spec_path) if word is not None]
        if len(given) != 1:
            raise click.UsageError("give one SPEC: a YAML file, or the name of a shipped spec (bpnet spec list)")
        return function(spec_path=given[0], **flags)

    return click.argument("argument", metavar="SPEC", required=False)(spec_option(required=False)(run))


set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a key of the spec, as in --set model.stages=2. May be given several times.",
)


def model_option(required: bool = True, box: bool = False, keras: bool = False) -> Callable[[Function], Function]:
    """`-m MODEL`. box: `-m` is optional, the default is the model in the box. keras: .onnx files are not allowed."""

    def resolve(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        from bpnet_cli.box import box_or_path

        return value if value is None else box_or_path(value, keras=keras)

    return click.option(
        "-m",
        "--model",
        "--model_filename",
        "model_path",
        metavar="MODEL",
        required=required and not box,
        callback=resolve,
        help=f"A {'.keras' if keras else '.keras or .onnx'} file, or box or box-fast: the models in the box."
        + ("  [box]" if box else ""),
    )


def model_or_box(path: str | None, *, keras: bool = False) -> str:
    """The model of `-m`. Without `-m`, the model in the box, and a line that says so. Raises ModelFileError."""
    if path:
        return path
    from bpnet_cli.box import box_keras, box_onnx

    found = box_keras() if keras else box_onnx()
    click.echo("no -m: using the model in the box (`bpnet docs model_card` says what it can't do)", err=True)
    return found


def engine_option(several: bool = False) -> Callable[[Function], Function]:
    """`--engine ENGINE`. several: the option may be given several times, and the function gets a tuple."""
    engines = click.Choice(["onnxruntime", "openvino"])
    if several:
        text = "Runtime for .onnx models. May be given several times; each model runs in each.  [onnxruntime]"
        return click.option("--engine", "engines", type=engines, multiple=True, default=("onnxruntime",), help=text)
    text = "Runtime for an .onnx model."
    return click.option("--engine", type=engines, default="onnxruntime", show_default=True, help=text)


def results_option(default: str | None = None) -> Callable[[Function], Function]:
    """`-r DIR`, required if there is no default."""
    # With default=None, click would no longer require the option.
    given: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(
        "-r", "--results-dir", "--results_dir", "results_dir", metavar="DIR", help="Folder for the results.", **given
    )
