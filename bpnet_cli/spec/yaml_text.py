"""Parsing YAML text to plain data, with the place (file and line) of every key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bpnet_cli.errors import SpecError

KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Where a key was written. order: messages are sorted by it. label: `spec.yaml:3` or `--set a.b=1`."""

    order: int
    label: str


class Problem(NamedTuple):
    """One problem, which becomes a line of a SpecError."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place.label}: {self.text}"


@dataclass
class Document:
    """A parsed YAML text: the plain data, the place of each key and item, and the problems found in the text."""

    data: Any
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place_of(self, path: KeyPath) -> Place:
        """The place of a key. For a key that is not in the text: the place of its nearest parent that is."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places[path]


# Most values in a text, far more than in any spec or skeleton file; reading this many takes half a second. A value
# counts again for each alias of it: ten lines of nested aliases can stand for billions of values.
MOST_VALUES = 20_000


class _TooMuchError(Exception):
    """There are more than `MOST_VALUES` values. line: where the limit is exceeded, counted from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Loader(yaml.SafeLoader):
    """A loader that reads plain scalars as YAML 1.2 does: `yes` and `2024-01-01` are text, `1e-4` is a number."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML fills its own class attribute)
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node. Raises _TooMuchError after `MOST_VALUES` values, so that a wrong file is refused early."""
        self.values += 1
        if self.values > MOST_VALUES:
            raise _TooMuchError(self.line + 1)
        return super().compose_node(parent, index)


_SCALARS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": (r"~|null|Null|NULL|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: {"true": True, "false": False}[text.lower()]),
    "int": (r"[-+]?[0-9]+", int),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        lambda text: float(re.sub(r"\.(?=[a-zA-Z])", "", text)),
    ),
    # JSON writes an emoji as a pair of surrogates; this joins them. A single surrogate raises ValueError.
    "str": ("", lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16")),
}
_TAG = "tag:yaml.org,2002:"


def resolve_as_yaml_1_2(target: type[_Loader | yaml.SafeDumper]) -> None:
    """Make a loader read plain scalars by the rules of `_SCALARS`, or a dumper quote texts by them."""
    for name, (pattern, _) in _SCALARS.items():
        if pattern:
            target.add_implicit_resolver(_TAG + name, re.compile(rf"^(?:{pattern})$"), None)


resolve_as_yaml_1_2(_Loader)


def load_yaml(path: str | Path) -> Document:
    """Read a YAML or JSON file. Raises SpecError where it is missing, unreadable, not UTF-8 text, or not a mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise SpecError(f"{path}: is a folder, not a YAML file") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror}") from None
    if str(path).endswith(".json"):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, which YAML refuses; no text in it has any
    return parse_section(text, str(path))


def parse_section(text: str, origin: str) -> Document:
    """Parse a text whose top level must be a mapping. Raises SpecError where it isn't. origin: its name in messages."""
    document = parse_yaml(text, lambda line: Place(line, f"{origin}:{line}"))
    if document.data is None and document.problems:
        raise SpecError(str(document.problems[0]))
    if document.data is None:
        raise SpecError(f"{origin}: is empty; it needs at least one key, such as `name: experiment`")
    if not isinstance(document.data, dict):
        raise SpecError(f"{origin}: must be a mapping of keys to values (got {shown(document.data)})")
    return document


def parse_yaml(text: str, place_at: Callable[[int], Place], root: KeyPath = ()) -> Document:
    """Parse any YAML text. Never raises: after a syntax error, `data` is None and `problems` has one entry.

    place_at: returns the place of a line, counted from 1.
    root: path of the text's top level.
    """
    document = Document(None, {root: place_at(1)})
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Walk(document, place_at).read(node, root)
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        line, text = mark.line + 1 if mark else 1, f"is not valid YAML: {words}"
        if "'\\t'" in words:
            text = "has a tab; YAML needs spaces here"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        text = f"is not valid YAML: the character {error.character!a} is not allowed in YAML"
    except _TooMuchError as error:
        line, text = error.line, f"more than {MOST_VALUES:,} values, counting those of aliases; is it the right file?"
    except RecursionError:
        line, text = 1, "lists or mappings are nested too deeply; is it the right file?"
    return Document(None, problems=[Problem(place_at(line), text)])


@dataclass
class _Walk:
    """Turns YAML nodes into plain data, and adds places and problems to a document."""

    document: Document
    place_at: Callable[[int], Place]
    open_nodes: list[int] = field(default_factory=list)
    values: int = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise _TooMuchError(_line(node))
        self.document.places.setdefault(path, self.place_at(_line(node)))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open_nodes:
            return self._refuse(node, path, "holds an alias of itself")
        self.open_nodes.append(id(node))
        data = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self.open_nodes.pop()
        return data

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        _, convert = _SCALARS.get(node.tag.removeprefix(_TAG), ("", None))
        if convert is None:
            return self._refuse(node, path, f"has the tag {node.tag.replace(_TAG, '!!')}, which is not supported")
        try:
            return convert(node.value)
        except (ValueError, KeyError):
            return self._refuse(node, path, f"is not a valid {node.tag.removeprefix(_TAG)} (got {shown(node.value)})")

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, path, "has a key that is not a plain word")
                continue
            here = (*path, key_node.value)
            if key_node.value in data:
                first = self.document.places[here].label
                self._refuse(key_node, here, f"is given twice, first at {first}")
                continue
            self.document.places[here] = self.place_at(_line(key_node))
            data[key_node.value] = self.read(value_node, here)
        return data

    def _refuse(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        text = f"{dotted(path)}: {text}" if path else text
        self.document.problems.append(Problem(self.place_at(_line(node)), text))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def dotted(path: KeyPath) -> str:
    """A path as text, such as `dataset.train.0.images`."""
    return ".".join(str(part) for part in path)


def shown(value: Any) -> str:
    """A value as text for messages, shortened to 60 characters."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
