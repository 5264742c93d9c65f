"""Left and right in names of keypoints, in the spellings of any tool."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

_LEFT = "left l lt links linke linker gauche izquierda izquierdo izq sinistra sinistro esquerda esquerdo"
_RIGHT = "right r rt rechts rechte rechter droite droit derecha derecho der destra destro direita direito"
_WORDS = {word: side for side, words in (("left", _LEFT), ("right", _RIGHT)) for word in words.split()}
# Front, hind, back and rear, as in FL (front left) and LF (left front).
_ENDS = "fhbr"
_BETWEEN = re.compile(r"[\W_]+")
# Parts of bodies, whole and as data sets shorten them. A letter right in front of one of them is a side: Lshoulder,
# lank. Names like Lip and Rip show that a letter alone is not enough.
_PARTS = frozenset(
    re.findall(
        r"\w+",
        "ank ankle antenna arm armpit big brow buttock calf cheek clavicle collar ear elb elbow eye eyebrow feet fin"
        " finger foot forearm hand heel hip hock hoof horn index kne knee leg little mouth nostril palm paw pinkie"
        " pinky ring scapula shin shldr sho shou shoulder stifle thigh thumb toe wing wri wris wrist",
    )
)
# So many pairs with a letter in front of the same rests show the habit of a file, whatever the rests are.
_HABIT = 3


class _Spelling(NamedTuple):
    """The words of a name. side: "left", "right" or "" for none. rest: the words, "*" in place of the side.

    glued: whether the side is a part of a longer word, as in Lshoulder.
    """

    side: str
    rest: tuple[str, ...]
    glued: bool = False


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: "L_Eye", "leftEye", "eye.l" and "L1" have two words each."""
    words = []
    for part in filter(None, _BETWEEN.split(name)):
        ends = [i for i in range(1, len(part)) if _is_end(part[i - 1], part[i], part[i + 1 : i + 2])]
        words += [part[i:j].lower() for i, j in pairwise([0, *ends, len(part)])]
    return words


def _is_end(a: str, b: str, after: str) -> bool:
    """Whether a word ends between two characters with nothing between them: leftEye, RHip, L1, 1L."""
    return (b.isupper() and (a.islower() or (a.isupper() and after.islower()))) or a.isalpha() != b.isalpha()


def _may_be_a_side(word: str) -> bool:
    return word.isalpha() and word not in _PARTS and not word.endswith("finger")


def may_have_sides(names: Sequence[str]) -> bool:
    """Whether two words stand for each other in three pairs of names or more, and for no third word.

    So left and right look in a language that is not known here. (front and hind, too: a person must say.)
    """
    split = [words_of(name) for name in names]
    swaps: Counter[tuple[str, str]] = Counter()
    for first, second in combinations(split, 2):
        differing = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
        if len(first) == len(second) and len(differing) == 1 and all(map(_may_be_a_side, differing[0])):
            swaps[min(differing[0]), max(differing[0])] += 1
    partners = Counter(word for pair in swaps for word in pair)
    return any(times >= _HABIT and partners[a] == partners[b] == 1 for (a, b), times in swaps.items())


def pairs_by_name(names: Sequence[str]) -> list[tuple[str, str]]:
    """(left, right) pairs of names that differ in their side only, in the order of the left names."""
    habits = _habits(names)
    spelled: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in names:
        for side, rest, _ in _spellings(name, habits):
            spelled.setdefault((side, rest), []).append(name)
    found = [
        (left[0], right[0])
        for (side, rest), left in spelled.items()
        if side == "left" and len(left) == len(right := spelled.get(("right", rest), [])) == 1
    ]
    times = Counter(name for pair in found for name in pair)
    return sorted((pair for pair in found if times[pair[0]] == times[pair[1]] == 1), key=lambda p: names.index(p[0]))


def without_partner(names: Sequence[str], pairs: Iterable[Sequence[str]]) -> list[str]:
    """The names with a side that are in none of the pairs. A side within a longer word does not count here."""
    paired = {name for pair in pairs for name in pair}
    return [
        name
        for name in names
        if name not in paired and any(not spelling.glued for spelling in _spellings(name, frozenset()))
    ]


def lacks_pairs(names: Sequence[str]) -> bool:
    """Whether the names look as if they had sides, but no pairs are found by name."""
    return not pairs_by_name(names) and (bool(without_partner(names, ())) or may_have_sides(names))


def likely_partner(name: str, names: Iterable[str]) -> str | None:
    """Of names without a partner, the one on the other side whose spelling is nearest; None if none is near."""
    (side, *rest), others = canonical(name), {}
    for other in names:
        other_side, *other_rest = canonical(other)
        if {side, other_side} == {"left", "right"}:
            others[" ".join(other_rest)] = other
    near = difflib.get_close_matches(" ".join(rest), others, n=1)
    return others[near[0]] if near else None


def canonical(name: str, habits: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words of a name with its side in front, the same for all spellings: ("left", "eye").

    habits: words that have a letter for the side in front elsewhere in the file.
    """
    spellings = _spellings(name, habits)
    if len(spellings) != 1:
        return tuple(words_of(name))
    side, rest, _ = spellings[0]
    return (side, *(word for word in rest if word != "*"))


def match_names(names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """For each name that is among the wanted names in the same or in another spelling: the wanted name.

    A wanted name is given once; spellings that fit several names fit none.
    """
    matched = {name: name for name in names if name in wanted}
    theirs = _by_spelling([name for name in names if name not in matched], _habits(names))
    ours = _by_spelling([name for name in wanted if name not in matched], _habits(wanted))
    for spelling, found in theirs.items():
        if len(found) == len(ours.get(spelling, ())) == 1:
            matched[found[0]] = ours[spelling][0]
    return matched


def _by_spelling(names: Sequence[str], habits: frozenset[str]) -> dict[tuple[str, ...], list[str]]:
    grouped: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        grouped.setdefault(canonical(name, habits), []).append(name)
    return grouped


def _habits(names: Iterable[str]) -> frozenset[str]:
    """The words that have both sides in front in these names: lefthorn and righthorn, or l and r in several pairs."""
    words = {word for name in names for word in words_of(name)}
    whole = {word[4:] for word in words if len(word) > 6 and word[:4] == "left" and f"right{word[4:]}" in words}
    letters = {word[1:] for word in words if len(word) > 2 and word[0] == "l" and f"r{word[1:]}" in words}
    return frozenset(whole | letters if len(letters) >= _HABIT else whole)


def _spellings(name: str, habits: frozenset[str]) -> list[_Spelling]:
    """The ways to read a side in a name, one for each word that may be one; whole words count before parts of words."""
    words = words_of(name)
    whole = [
        _Spelling(_WORDS[word], (*words[:i], "*", *words[i + 1 :])) for i, word in enumerate(words) if word in _WORDS
    ]
    return whole or [
        _Spelling(side, (*words[:i], "*", rest, *words[i + 1 :]), True)
        for i, word in enumerate(words)
        for side, rest in _glued(word, habits)
    ]


def _glued(word: str, habits: frozenset[str]) -> list[tuple[str, str]]:
    """The side in front of a word or, if it is spelled out, behind it, and the rest: lefteye, eyeleft, lshoulder."""
    if len(word) == 2:
        ways = [(_WORDS[way[0]], way[1]) for way in (word, word[::-1]) if way[0] in "lr" and way[1] in _ENDS]
        return ways[-1:]
    known = _PARTS | habits
    found = [(_WORDS[side], word.removeprefix(side)) for side in _WORDS if word.startswith(side)]
    found += [(side, word.removesuffix(side)) for side in ("left", "right") if word.endswith(side)]
    return [(side, rest) for side, rest in found if rest in known][:1]
