"""`--set a.b=value`: changes to a spec or skeleton file before it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bpnet_cli.spec.yaml_text import Document, KeyPath, Place, Problem, dotted, parse_yaml, shown

_AFTER_THE_FILE = 10**9


class FlagAssignment(str):
    """An assignment that comes from another flag than `--set`. typed: that flag as the user wrote it, for messages."""

    typed: str

    def __new__(cls, assignment: str, typed: str) -> FlagAssignment:
        """assignment: in the format of `--set`."""
        made = super().__new__(cls, assignment)
        made.typed = typed
        return made


class _RefusedError(Exception):
    """An override that doesn't fit the document; its text is the message."""


def override(document: Document, assignments: Sequence[str]) -> None:
    """Set keys of a document, in order. An assignment that doesn't fit is added to the document's problems.

    assignments: texts such as `model.stages=2`; the value is YAML. Missing sections are created. An item of a list is
        named by its index from 0; the index after the last one adds an item.
    """
    for number, assignment in enumerate(assignments):
        typed = assignment.typed if isinstance(assignment, FlagAssignment) else f"--set {assignment}"
        place = Place(_AFTER_THE_FILE + number, typed)
        key, equals, text = assignment.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys):
            document.problems.append(Problem(place, "needs KEY=VALUE, such as model.stages=2"))
            continue
        value = parse_yaml(text, lambda line, place=place: place, tuple(keys))  # type: ignore[misc]
        document.problems += value.problems
        if value.data is None and value.problems:
            continue
        try:
            _assign(document, keys, value.data, place)
        except _RefusedError as error:
            document.problems.append(Problem(place, str(error)))


def _assign(document: Document, keys: list[str], value: Any, place: Place) -> None:
    holder: Any = document.data
    path: KeyPath = ()
    for depth in range(1, len(keys)):
        step = _step(holder, path, keys[depth - 1 :])
        path = (*path, step)
        if _get(holder, step) is None:
            _put(holder, step, [] if keys[depth] == "0" else {})
            document.places[path] = place
        holder = _get(holder, step)
    step = _step(holder, path, keys[-1:])
    path = (*path, step)
    _put(holder, step, value)
    for stale in [old for old in document.places if old[: len(path)] == path]:
        del document.places[stale]
    document.places[path] = place


def _step(holder: Any, path: KeyPath, rest: list[str]) -> str | int:
    """The key or list index in `holder` that the first word of `rest` means. Raises _RefusedError where none fits.

    path: of `holder`, for messages.
    """
    if isinstance(holder, dict):
        return rest[0]
    if not isinstance(holder, list):
        raise _RefusedError(f"{dotted(path)}: is not a section (got {shown(holder)})")
    if not rest[0].isdecimal():
        raise _RefusedError(f"{dotted(path)}: is a list; name an item by its index, as in {dotted((*path, 0, *rest))}")
    if int(rest[0]) > len(holder):
        raise _RefusedError(f"{dotted(path)}: has no item {rest[0]}; its length is {len(holder)}, indices begin at 0")
    return int(rest[0])


def _get(holder: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return holder[step] if step < len(holder) else None
    return holder.get(step)


def _put(holder: Any, step: str | int, value: Any) -> None:
    if isinstance(holder, list) and step == len(holder):
        holder.append(value)
    else:
        holder[step] = value
