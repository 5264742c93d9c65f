"""The specs and skeletons that come with the package: names, summaries, and a copy to start from."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from pathlib import Path

from bpnet_cli.errors import SpecError, did_you_mean

_PACKAGE = Path(__file__).parents[1]
_SCHEMA_LINE = re.compile(r"(?<=\$schema=)\S+")


def folder_beside(name: str) -> Path:
    """A folder that `setup.py` copies into the package: inside an installed package, and beside it in a clone."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def shipped_folder() -> Path:
    """The folder of the shipped specs and of `schema/experiment.schema.json`."""
    return folder_beside("specs")


def shipped_specs() -> dict[str, Path]:
    """The files of the shipped specs by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"), key=lambda path: path.stem)}


def shipped_skeletons() -> dict[str, Path]:
    """The skeleton files that come with the package, by name. `body_18` is not a file but a part of the code."""
    return {path.stem: path for path in sorted((shipped_folder() / "skeletons").glob("*.yaml"))}


def skeleton_names() -> tuple[str, ...]:
    """The names that `skeleton` in a spec may have, the default first."""
    return ("body_18", *shipped_skeletons())


def summary_of(path: Path) -> str:
    """One line about a shipped spec or skeleton: the first sentence of its header."""
    lines = path.read_text(encoding="utf-8").split("\n")
    header = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line.removeprefix("#").strip() for line in header if not _SCHEMA_LINE.search(line)).strip()
    return re.split(r"(?<=\.) ", text)[0]


def find_spec(given: str | Path) -> Path:
    """The file with this path, or else the shipped spec with this name.

    Raises SpecError for a plain name that is neither, and for a missing path whose file name is that of a shipped spec.
    Any other missing path is returned unchanged.
    """
    word, specs = str(given), shipped_specs()
    if os.path.exists(word) and not (os.path.isdir(word) and word in specs):
        return Path(given)
    if word in specs:
        return specs[word]
    stem = Path(word).stem
    if stem in specs:
        raise SpecError(f"{word}: there is no such file; for the shipped spec, give only its name: {stem}")
    if stem == word:  # no folder and no ending: a name
        raise SpecError(f"{word}: there is no such file, and {_unknown(word, specs)}")
    return Path(given)


def shipped_spec(name: str) -> Path:
    """The file of a shipped spec. Raises SpecError for an unknown name."""
    specs = shipped_specs()
    if name not in specs:
        raise SpecError(f"{name}: {_unknown(name, specs)}")
    return specs[name]


def schema_uri() -> str:
    """The address of the JSON schema of specs, for editors."""
    return (shipped_folder() / "schema" / "experiment.schema.json").resolve().as_uri()


def text_for(name: str, target: str | Path) -> str:
    """The text of a shipped spec or skeleton for a copy. The commands in its comments name the copy.

    The path of a spec's schema is that of the installed one, for editors. target: the path of the copy.
    Raises SpecError for an unknown name.
    """
    skeletons = shipped_skeletons()
    if name in skeletons:
        return skeletons[name].read_text(encoding="utf-8")
    text = shipped_spec(name).read_text(encoding="utf-8")
    text = _SCHEMA_LINE.sub(lambda _: schema_uri(), text, count=1)
    return re.sub(rf"(?<=-e ){re.escape(name)}\b", lambda _: shlex.quote(str(target)), text)


def _unknown(word: str, specs: dict[str, Path]) -> str:
    return f"no shipped spec has this name{did_you_mean(word, specs)} (shipped: {', '.join(specs)})"
