"""Flags of NVIDIA TAO's tasks on our verbs. They don't show in `--help`; docs/tao.md lists them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import click

from bpnet_cli.cli.options import Function
from bpnet_cli.cli.tao_table import FLAGS, Call


def tao_flags(verb: str) -> Callable[[Function], Callable[..., Any]]:
    """Add TAO's flags to a verb. The verb's function gets its own parameters, changed by them."""

    def decorate(function: Function) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(**parameters: Any) -> Any:
            values = {flag.names[-1]: parameters.pop(flag.parameter) for flag in FLAGS[verb]}
            given = {name: value for name, value in values.items() if _is_given(value)}
            call = Call(parameters, given)
            for flag in FLAGS[verb]:
                if flag.names[-1] in given:
                    flag.apply(call, given[flag.names[-1]])
            for reason, names in call.ignored.items():
                click.echo(f"{', '.join(names)}: ignored: {reason}", err=True)
            if call.assignments:  # what the user sets comes last, and so counts
                parameters["overrides"] = (*call.assignments, *parameters["overrides"])
            if verb == "infer" and not (parameters["inputs"] or parameters["merge"]):
                raise click.UsageError("Missing argument 'INPUT...'.")
            return function(**parameters)

        decorated: Callable[..., Any] = run
        for flag in FLAGS[verb]:
            decorated = click.option(*flag.names, flag.parameter, hidden=True, **flag.settings)(decorated)
        return decorated

    return decorate


def _is_given(value: Any) -> bool:
    return value is not None and value is not False and value != ()  # 0 is a value


class ListFlags(click.Command):
    """A command whose flags for several values take them in a row, as TAO's do: `-el conv1 conv2`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments, with the flag repeated before each of its values."""
        several = {name for one in self.params if getattr(one, "multiple", False) for name in one.opts}
        return super().parse_args(ctx, list(_repeated(args, several - {"--set"})))


def _repeated(args: Iterable[str], flags: set[str]) -> Iterable[str]:
    flag, values = "", 0
    for word in args:
        if word in flags or word.startswith("-"):
            flag, values = (word if word in flags else ""), 0
        elif flag:
            values += 1
            if values > 1:
                yield flag
        yield word
