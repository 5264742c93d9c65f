"""Reading one of NVIDIA TAO's files by a table of rules, with a record of what became of each of its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bpnet_cli.errors import did_you_mean
from bpnet_cli.spec.yaml_text import Document, KeyPath, Place, Problem, dotted, shown

# What TAO's files are called in messages.
TRAIN, DATASET, INFERENCE, POSE = "train spec", "dataset spec", "inference spec", "pose config"


class TaoValueError(Exception):
    """A value of TAO's that can't be translated. Its text follows the key in the message."""


@dataclass
class Translation:
    """TAO's files as the data of our spec, and what became of each key.

    document: our data. The places are those of TAO's keys, so that a refused value is found in TAO's file.
    mapped, dropped, changed: a line for each key of TAO's: with the same meaning here; without effect in TAO either;
    with another meaning or none here, and the reason. missing: files that were not found, and what was assumed.
    """

    document: Document
    mapped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    train_images: str = ""

    def put(self, key: str, value: Any, place: Place) -> None:
        """Set a key of our spec, such as `model.stages`."""
        holder, path = self.document.data, tuple(key.split("."))
        for depth, part in enumerate(path[:-1], start=1):
            self.document.places.setdefault(path[:depth], place)
            holder = holder.setdefault(part, {})
        holder[path[-1]] = value
        self.document.places[path] = place

    def has(self, key: str) -> bool:
        """Whether a key of our spec is set."""
        return _value_at(self.document.data, key, self) is not self


@dataclass
class TaoFile:
    """One of TAO's files while it is translated. kind: `TRAIN`, `DATASET`, `INFERENCE` or `POSE`."""

    source: Document
    result: Translation
    kind: str

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key of TAO's, such as `model.stages`."""
        return _value_at(self.source.data, key, default)

    def place(self, key: str) -> Place:
        """The place of a key of TAO's; of its nearest parent if the file doesn't have it."""
        return self.source.place_of(tuple(key.split(".")))

    def maps(self, key: str, ours: Mapping[str, Any], note: str = "") -> None:
        """A key has the same meaning here. ours: the keys of our spec that it sets. note: what it is where none."""
        self.result.mapped.append(self._line(key, ours, note))

    def changes(self, key: str, ours: Mapping[str, Any], reason: str) -> None:
        """A key has another meaning here, or none. ours: the keys of our spec that it sets."""
        self.result.changed.append(self._line(key, ours, reason))

    def drops(self, key: str, reason: str) -> None:
        """TAO itself ignores a key."""
        self.result.dropped.append(self._line(key, {}, reason))

    def _line(self, key: str, ours: Mapping[str, Any], note: str) -> str:
        for name, value in ours.items():
            self.result.put(name, value, self.place(key))
        pairs = ", ".join(f"{name}: {shown(value)}" for name, value in ours.items())
        value = self.get(key, self)
        written = key if value is self else f"{key}: {shown(value)}"
        prefix = "" if self.kind == TRAIN else f"{self.kind}: "
        return f"{prefix}{written}{f' -> {pairs}' if pairs else ''}{f' ({note})' if note else ''}"


def _value_at(data: Any, key: str, default: Any) -> Any:
    """The value of a key such as `model.stages` in nested mappings."""
    for part in key.split("."):
        if not isinstance(data, dict) or part not in data:
            return default
        data = data[part]
    return data


Rule = Callable[[TaoFile, str, Any], None]
Rules = Mapping[str, Rule]


def same(ours: str) -> Rule:
    """A rule: the value of our key `ours` is that of TAO's."""
    return lambda file, key, value: file.maps(key, {ours: value})


def fixed(*values: Any, note: str, otherwise: str) -> Rule:
    """A rule: what these values mean is always so here. otherwise: the reason why other values have no effect."""

    def rule(file: TaoFile, key: str, value: Any) -> None:
        file.maps(key, {}, note) if value in values else file.changes(key, {}, otherwise)

    return rule


def changed(reason: str) -> Rule:
    """A rule: the key has no counterpart here, for this reason."""
    return lambda file, key, value: file.changes(key, {}, reason)


def dropped(reason: str) -> Rule:
    """A rule: TAO ignores the key."""
    return lambda file, key, value: file.drops(key, reason)


def only(*values: Any, then: Rule | None = None) -> Rule:
    """A rule: other values are refused. then: the rule for the right ones."""

    def rule(file: TaoFile, key: str, value: Any) -> None:
        if value not in values:
            near = did_you_mean(value, map(str, values)) if isinstance(value, str) else ""
            raise TaoValueError(f"must be {' or '.join(map(repr, values))}{near}")
        then(file, key, value) if then else file.maps(key, {}, "the same here")

    return rule


def translate_keys(file: TaoFile, rules: Rules) -> None:
    """Apply the rule of each key of a file. Unknown keys and refused values become problems of the result."""
    file.result.document.problems += file.source.problems
    file.source.data = _as_yaml_1_1(file.source.data)
    _walk(file, rules, file.source.data, ())


def truth(value: Any) -> bool:
    """The value, if it is True, False or null. Raises TaoValueError."""
    if value not in (True, False, None):
        raise TaoValueError("must be True or False")
    return bool(value)


def number(value: Any) -> float:
    """The value as it is, if it is a number. Raises TaoValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TaoValueError("must be a number")
    return value


def numbers(value: Any, count: int) -> list[float]:
    """The value as it is, if it is a list of `count` numbers. Raises TaoValueError."""
    if not isinstance(value, list) or len(value) != count:
        raise TaoValueError(f"must be a list of {count} numbers")
    return [number(item) for item in value]


def plain(value: float) -> float:
    """The number without digits that only rounding makes."""
    return float(f"{value:.6g}")


# Words that TAO's reader takes for True or False, unlike ours.
_TRUTHS = {"yes": True, "on": True, "no": False, "off": False}


def _as_yaml_1_1(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _as_yaml_1_1(value) for key, value in data.items()}
    return _TRUTHS.get(data.lower(), data) if isinstance(data, str) else data


def _walk(file: TaoFile, rules: Rules, data: Any, path: KeyPath) -> None:
    for key, value in data.items():
        here = (*path, key)
        name = dotted(here)
        is_section = any(known.startswith(f"{name}.") for known in rules)
        try:
            if name in rules:
                rules[name](file, name, value)
            elif is_section and isinstance(value, dict):
                _walk(file, rules, value, here)
            elif is_section:
                raise TaoValueError("must be a section of keys")
            else:
                problem = f"{name}: {_unknown(file.kind, rules, path, key)}"
                file.result.document.problems.append(Problem(file.source.place_of(here), problem))
        except TaoValueError as error:
            text = f"{name}: {error} (got {shown(value)})"
            file.result.document.problems.append(Problem(file.source.place_of(here), text))


def _unknown(kind: str, rules: Rules, path: KeyPath, key: str) -> str:
    prefix = f"{dotted(path)}." if path else ""
    siblings = list(dict.fromkeys(rule.removeprefix(prefix).split(".")[0] for rule in rules if rule.startswith(prefix)))
    elsewhere = [rule for rule in rules if rule.split(".")[-1] == key]
    near = did_you_mean(key, siblings)
    if not near and len(elsewhere) == 1:
        near = f", did you mean '{elsewhere[0]}'?"
    return f"unknown key in TAO's {kind}{near or '; the keys here are ' + ', '.join(siblings)}"
