"""Ids and sizes in COCO files: what other tools write where COCO has whole numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bpnet_cli.errors import DataError

Id = int | str
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
# Python refuses to read numbers of thousands of digits.
_LONGEST = 400


def whole(value: Any) -> int | None:
    """The whole number that a value is, also where it is written as 466.0 or as text; None if it is none."""
    if isinstance(value, str) and len(value) < _LONGEST and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def id_of(value: Any) -> Id | None:
    """The id that a value is: a whole number if it is written as one in any way, or else text; None if it is none.

    So an entry with the id "7" is found by 7. Text such as "007" stays text.
    """
    if isinstance(value, str):
        text = value.strip()
        is_number = len(text) < _LONGEST and text.removeprefix("-").isdecimal() and str(int(text)) == text
        return int(text) if is_number else text
    return whole(value)


def number_ids(ids: Sequence[Id]) -> dict[Id, int]:
    """A number of 64 bits for each id: itself if all ids are such numbers, or else 1, 2, ..."""
    if all(isinstance(key, int) and _SMALLEST <= key <= _LARGEST for key in ids):
        return {key: int(key) for key in ids}
    return {key: number for number, key in enumerate(ids, start=1)}


def refuse_repeated(path: Path, kind: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Raise DataError if two entries have the same id. kind: "image" or "annotation", for the message."""
    counts = Counter(repr(id_of(entry["id"])) for entry in entries if entry.get("id") is not None)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
        raise DataError(f"{path}: {kind} id {repeated[0]}{more} occurs more than once")
