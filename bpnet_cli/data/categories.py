"""The categories of a COCO file: which of them have keypoints, and which are used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bpnet_cli.data.choice import Choice, chosen_names, names_for, refuse_unknown_names
from bpnet_cli.data.identity import Id, id_of
from bpnet_cli.errors import DataError, did_you_mean

# At most this many categories that are not used are named one by one.
_NAMED = 5


class Category(NamedTuple):
    """A category of a file.

    id: see `id_of`. name: for messages and for choosing. keypoints: names as in the file, or
    () if it has none. limbs: pairs of keypoints, counted from 0. annotations, people: number of its annotations, and of
    those with labelled keypoints. size: number of keypoints that its annotations have, 0 if they have none. lines: what
    is unusual about it.
    """

    id: Id
    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    annotations: int
    people: int
    size: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Categories:
    """The categories of a file that are used, and the others.

    keypoint_names: the union of the names of all that are used, as the skeleton knows them. columns: by id of a used
    category, the place in `keypoint_names` of each of its keypoints. limbs: pairs of places in `keypoint_names`.
    category_id: of people in COCO's results format. lines: what the user should know.
    """

    used: tuple[Category, ...]
    unused: tuple[Category, ...]
    keypoint_names: tuple[str, ...]
    columns: Mapping[Id, tuple[int, ...]]
    limbs: tuple[tuple[int, int], ...]
    category_id: int
    lines: tuple[str, ...]


def read_categories(categories: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]]) -> list[Category]:
    """The categories of a file, in its order; those without an id are left out."""
    of = [id_of(entry.get("category_id")) for entry in annotations]
    sizes: dict[Id | None, int] = {}
    for key, entry in zip(of, annotations, strict=True):
        if key not in sizes and (size := _size(entry)):
            sizes[key] = size
    numbers = Counter(of)
    people = Counter(key for key, entry in zip(of, annotations, strict=True) if is_labelled(entry))
    found = []
    for entry in categories:
        if (key := id_of(entry.get("id"))) is not None:
            names, lines = _names(entry, sizes.get(key, 0))
            limbs, more = limbs_of(_numbered(entry.get("skeleton"), names), len(names) or sizes.get(key, 0))
            name = str(entry.get("name", key)).strip()
            counts = numbers[key], people[key], sizes.get(key, 0)
            found.append(
                Category(key, name, names, limbs, *counts, (*lines, *(f"category {name!r}: {line}" for line in more)))
            )
    return found


def choose_categories(path: Path, raw: Mapping[str, Any], choice: Choice) -> Categories:
    """Choose the categories to use: those that `choice` names, or all that fit its keypoints.

    Those fit that have more than half as many of the keypoints as the category that has the most. Without keypoints in
    `choice`: the categories with the same keypoints as the one with the most people. A category without names gets
    names by the number of its keypoints, if no other category fits. Raises DataError if there is nothing to use.
    """
    categories = read_categories(raw["categories"], raw["annotations"])
    try:
        used = _chosen(categories, choice) if choice.categories else _fitting(categories, choice)
        if not used:
            raise DataError(_nothing(raw["categories"], categories, choice))
        refuse_unknown_names([name for category in used for name in category.keypoints], choice)
        renamed = {category.id: chosen_names(category.keypoints, choice) for category in used}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    names = tuple(dict.fromkeys(name for own, _ in renamed.values() for name in own))
    columns = {key: tuple(map(names.index, own)) for key, (own, _) in renamed.items()}
    limbs = dict.fromkeys((columns[c.id][a], columns[c.id][b]) for c in used for a, b in c.limbs)
    unused = tuple(category for category in categories if category.id not in columns)
    lines = [line for category in used for line in (*category.lines, *renamed[category.id][1])]
    lines += _told(unused)
    number = next((c.id for c in used if isinstance(c.id, int) and abs(c.id) < 2**63), 1)
    return Categories(tuple(used), unused, names, columns, tuple(limbs), number, tuple(dict.fromkeys(lines)))


def _numbered(pairs: Any, names: Sequence[str]) -> Any:
    """The pairs of a `skeleton` with numbers, counted from 1, in place of names."""
    if not isinstance(pairs, list):
        return pairs
    numbers = {name: i for i, name in enumerate(names, 1)}
    rows = [pair if isinstance(pair, list) else [pair] for pair in pairs]
    return [[numbers.get(end, end) if isinstance(end, str) else end for end in row] for row in rows]


def limbs_of(pairs: Any, count: int) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    """Pairs of keypoints, counted from 0, from COCO's `skeleton`, which counts from 1; and lines on what is unusual.

    Pairs that make no sense are left out without an error, because most programs don't read `skeleton`. If all pairs
    make sense counted from 0, but not from 1, they count from 0.
    """
    listed = pairs if isinstance(pairs, list) else []
    from_1, from_0 = ({(a, b) for a in ends for b in ends if a != b} for ends in (range(1, count + 1), range(count)))
    found = [_pair(given) for given in listed]
    first = 0 if set(found) <= from_0 and not set(found) <= from_1 else 1
    known = from_1 if first else from_0
    lines = [] if first else ["the numbers in `skeleton` count from 0, COCO's from 1; read as counting from 0"]
    if wrong := [given for given, pair in zip(listed, found, strict=True) if pair not in known]:
        shown = json.dumps(wrong[0])
        lines.append(f"pairs in `skeleton` that are not two of its {count} keypoints: {len(wrong)} (first: {shown})")
    return tuple((a - first, b - first) for a, b in found if (a, b) in known), lines


def _pair(given: Any) -> tuple[int, int]:
    """Two whole numbers, or (-1, -1) for anything else."""
    numbers: list[Any] = given if isinstance(given, list) and len(given) == 2 else [None]
    if not all(isinstance(number, int | float) and float(number).is_integer() for number in numbers):
        return -1, -1
    return int(numbers[0]), int(numbers[1])


def is_labelled(entry: Mapping[str, Any]) -> bool:
    """Whether an annotation seems to have labelled keypoints, whatever is wrong with it."""
    values = entry.get("keypoints")
    if not isinstance(values, list):
        return False
    flat = [v for part in values for v in (part if isinstance(part, list) else [part])]
    return any(isinstance(value, int | float) and value > 0 for value in flat[2::3])


def _size(entry: Mapping[str, Any]) -> int:
    """The number of keypoints of an annotation; 0 if that can't be told."""
    values = entry.get("keypoints")
    if not isinstance(values, list) or not values:
        return 0
    return len(values) if isinstance(values[0], list) else len(values) // 3 if len(values) % 3 == 0 else 0


def _names(entry: Mapping[str, Any], size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keypoint names of a category, also from under another key if there are `size` of them; and lines on that."""
    if _are_names(entry.get("keypoints")):
        return tuple(entry["keypoints"]), ()
    others = [key for key, value in entry.items() if _are_names(value) and len(value) == size > 0]
    if len(others) != 1:
        return (), ()
    line = f"category {entry.get('name', entry['id'])!r} has no key 'keypoints'; its key {others[0]!r} is taken"
    return tuple(entry[others[0]]), (line,)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _chosen(categories: Sequence[Category], choice: Choice) -> list[Category]:
    known = [category.name for category in categories]
    for name in choice.categories:
        if name.strip() not in known:
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            raise DataError(f"categories: the file has no category {name!r}{hint}")
    wanted = {name.strip() for name in choice.categories}
    found = [_named(category, choice) for category in categories if category.name in wanted]
    for category in found:
        if not category.keypoints:
            raise DataError(f"categories: category {category.name!r} has no keypoint names")
    return found


def _fitting(categories: Sequence[Category], choice: Choice) -> list[Category]:
    named = [category for category in categories if category.keypoints]
    if not choice.keypoints and named:
        most = max(named, key=lambda category: category.people)
        return [category for category in named if set(category.keypoints) == set(most.keypoints)]
    fits = {category.id: _fit(category, choice) for category in named}
    best = max(fits.values(), default=0)
    if best:
        return [category for category in named if 2 * fits[category.id] > best]
    guessed = [_named(category, choice) for category in categories if not category.keypoints and category.size]
    # With nothing that fits, the first category is used as it is: the reader's caller names both sets of keypoints.
    return [category for category in guessed if category.keypoints] or named[:1]


def _fit(category: Category, choice: Choice) -> int:
    """How many of the wanted keypoints a category has."""
    try:
        return len(set(chosen_names(category.keypoints, choice)[0]) & set(choice.keypoints))
    except DataError:
        return 0


def _named(category: Category, choice: Choice) -> Category:
    """The category with names by the number of its keypoints, if it has none itself."""
    if category.keypoints or not category.size:
        return category
    names = names_for(category.size, choice)
    line = f"category {category.name!r} has no keypoint names; its {category.size} keypoints are taken as"
    return category._replace(keypoints=names, lines=(*category.lines, f"{line} {', '.join(names)}"))


def _nothing(raw: Sequence[Mapping[str, Any]], categories: Sequence[Category], choice: Choice) -> str:
    """The reason why no category can be used."""
    nameless = [category for category in categories if category.size]
    if nameless:
        first = nameless[0]
        keys = ", ".join(next(entry for entry in raw if id_of(entry.get("id")) == first.id))
        wanted = f"; the skeleton has {len(choice.keypoints)}" if choice.keypoints else ""
        return (
            f"category {first.name!r} has no list of names under the key 'keypoints' (its keys: {keys}), and its"
            f" annotations have {first.size} keypoints{wanted}; write their names into the category"
        )
    return "no category with an id and a list of keypoint names; is it a keypoint annotation file?"


def _told(unused: Sequence[Category]) -> list[str]:
    """One line on the annotations of categories that are not used; none if there are no such annotations."""
    found = sorted((category for category in unused if category.annotations), key=lambda c: (-c.people, -c.annotations))
    if not found:
        return []
    parts = [
        f"{c.annotations} of {c.name!r}" + (f" ({c.people} with keypoints, ignored in the loss)" if c.people else "")
        for c in found[:_NAMED]
    ]
    if rest := found[_NAMED:]:
        parts.append(f"{sum(c.annotations for c in rest)} of {len(rest)} other categories")
    return [f"annotations of categories that are not used: {', '.join(parts)}"]
