"""What is wanted of the labels in a file: which keypoints and categories, and under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bpnet_cli.errors import DataError, did_you_mean
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS, Skeleton
from bpnet_cli.sides import match_names


class Choice(NamedTuple):
    """What is wanted of the labels in a file.

    keypoints: names of the skeleton's keypoints; empty: any. computed: those of them that files need not have.
    categories: names of the categories to use; empty: all that fit the keypoints. rename: by a keypoint's name in the
    file, its name in the skeleton.
    """

    keypoints: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    rename: Mapping[str, str] = MappingProxyType({})


ANYTHING = Choice()


def choice_for(skeleton: Skeleton, categories: Sequence[str] = (), rename: Mapping[str, str] | None = None) -> Choice:
    """The choice of everything that a skeleton can use; see `Choice` for the rest."""
    computed = tuple(name for name, _, _ in skeleton.midpoints)
    return Choice(skeleton.keypoints, computed, tuple(categories), rename or {})


def names_for(count: int, choice: Choice) -> tuple[str, ...]:
    """The names of `count` keypoints that a file doesn't name: COCO's or the skeleton's; () if neither has so many."""
    given = tuple(name for name in choice.keypoints if name not in choice.computed)
    orders = [choice.keypoints, given]
    if not choice.keypoints or set(COCO_KEYPOINTS) <= set(choice.keypoints):
        orders.insert(0, COCO_KEYPOINTS)
    return next((names for names in orders if len(names) == count), ())


def chosen_names(names: Sequence[str], choice: Choice) -> tuple[tuple[str, ...], list[str]]:
    """The names by which the skeleton knows a file's keypoints, and lines on what was changed.

    Spaces at the ends of names are dropped. `choice.rename` is applied. Then a name in another spelling than the
    skeleton's (L_Eye for left_eye) becomes the skeleton's. Raises DataError where two names become the same.
    """
    stripped = [name.strip() for name in names]
    renamed = [
        choice.rename.get(name, choice.rename.get(given, name)) for name, given in zip(stripped, names, strict=True)
    ]
    spelled = match_names(renamed, choice.keypoints)
    result = tuple(spelled.get(name, name) for name in renamed)
    if twice := [name for i, name in enumerate(result) if name in result[:i]]:
        raise DataError(f"the keypoint {twice[0]!r} is there twice")
    spaced = [repr(given) for name, given in zip(stripped, names, strict=True) if name != given]
    other = [f"{a} is {b}" for a, b in zip(renamed, result, strict=True) if a != b]
    lines = [("keypoint names with spaces at their ends, which are left out", spaced)]
    lines += [("keypoint names in another spelling than the skeleton's", other)]
    return result, [f"{text}: {len(found)} (first: {found[0]})" for text, found in lines if found]


def refuse_unknown_names(names: Sequence[str], choice: Choice) -> None:
    """Raise DataError if `choice.rename` names a keypoint that is not in the file, or gives a name that is not wanted.

    names: those in the file.
    """
    stripped = [name.strip() for name in names]
    for name, new in choice.rename.items():
        for owner, word, known in (("file", name, [*stripped, *names]), ("skeleton", new, choice.keypoints or (new,))):
            if word not in known:
                hint = did_you_mean(word, known) or f"; it has {', '.join(dict.fromkeys(known))}"
                raise DataError(f"rename: the {owner} has no keypoint {word!r}{hint}")
