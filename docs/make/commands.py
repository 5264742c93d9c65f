"""The page of every command, from click: what `--help` prints."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

_HEAD = """# Every command

<!-- Made by docs/make/reference.py from the commands themselves. Change the texts in bpnet_cli/cli/. -->

This is what `bpnet COMMAND --help` prints. [Exit codes](errors.md#exit-codes) are the same for all commands. Where an
option has several spellings, those with `_` are NVIDIA TAO's; [the other flags of TAO](tao.md#your-commands) work too.
"""


def commands_page(main: click.Group) -> str:
    """The page as Markdown."""
    sections = ["\n\n".join(_section(words, command)) for words, command in _commands(main, ("bpnet",))]
    return "\n\n".join([_HEAD.strip(), *sections]) + "\n"


def _commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        here = (*words, name)
        yield here, command
        if isinstance(command, click.Group):
            yield from _commands(command, here)


def _section(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    """Heading, usage, text, options."""
    name = " ".join(words)
    context = click.Context(command, info_name=name)
    yield f"{'##' if len(words) == 2 else '###'} {name}"
    yield from _text(command.help or "")
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{name} {pieces}\n```"
    if isinstance(command, click.Group):
        return
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    rows = [
        f"| `{_escaped(words)}` | {_escaped(text).replace('[', chr(92) + '[')} |"
        for words, text in records
        if not words.endswith("--help")
    ]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])


def _text(text: str) -> Iterator[str]:
    """The paragraphs of a command's help. Those whose lines click keeps, after "\\b", are examples or tables."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            body = paragraph.removeprefix("\b\n")
            head, colon, rest = body.partition(":")
            if colon and rest.startswith(("\n", " ")) and "\n" not in head:
                yield f"{head}:"
                body = rest.removeprefix("\n")
            yield f"```text\n{inspect.cleandoc(body)}\n```"
        elif paragraph.strip():
            yield re.sub(r"\s+", " ", paragraph).strip()


def _escaped(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
