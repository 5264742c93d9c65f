"""Finding the paths in a spec that don't exist."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator

from bpnet_cli.spec.base import Model, OnDisk
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.problems import find_written
from bpnet_cli.spec.yaml_text import Document, KeyPath, Problem, dotted

_IS_THERE: dict[str, Callable[[str], object]] = {"folder": os.path.isdir, "file": os.path.exists, "glob": glob.glob}


def absent_paths(spec: ExperimentSpec, document: Document) -> list[str]:
    """A line for each path in a spec that doesn't exist, in the order of the file: place, key, path.

    document: the document that the spec was read from. Addresses with a scheme (gs://...) are not checked. The path of
    the skeleton is not checked either, because without the skeleton a spec can't be used at all.
    """
    problems = []
    for loc, path, kind in _paths(spec):
        if "://" not in path and not _IS_THERE[kind](path):
            written, _ = find_written(document.data, loc)
            what = f"no such {'file' if kind == 'glob' else kind} (paths are relative to the working directory)"
            problems.append(Problem(document.place_of(written), f"{dotted(written)}: {path}: {what}"))
    return [str(problem) for problem in sorted(problems)]


def _paths(model: Model, at: KeyPath = ()) -> Iterator[tuple[KeyPath, str, str]]:
    """Location, text and kind of each path in a section and its subsections."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*at, name)
        for mark in field.metadata:
            if isinstance(mark, OnDisk) and value is not None and value not in mark.names:
                yield here, value, mark.kind
        items = enumerate(value) if isinstance(value, tuple) else ()
        for loc, inner in ((here, value), *(((*here, index), item) for index, item in items)):
            if isinstance(inner, Model):
                yield from _paths(inner, loc)
