"""The names of keypoints: those of the tool, COCO's where it has none, or the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bpnet_cli.errors import DataError, did_you_mean
from bpnet_cli.labelling.files import read_text
from bpnet_cli.labelling.source import PERSON, Source
from bpnet_cli.log import counted
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS


def parse_names(given: str) -> list[str]:
    """Names from a file, or from `a,b,c`; in a file also one in a line. Raises DataError."""
    text = read_text(Path(given)) if Path(given).is_file() else given
    names = [name.strip() for line in text.splitlines() for name in line.split(",") if name.strip()]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise DataError(f"--names: {twice[0]!r} is there twice")
    if not names:
        raise DataError(f"--names: {given!r} has no name; give names as in nose,left_eye,right_eye, or a file")
    return names


def complete(source: Source) -> Source:
    """The source with a label for everybody, and the keypoints of each label that has any.

    People without a label get the only one that there is, or else `PERSON`.
    """
    seen = list(dict.fromkeys(person.label for photo in source.photos for person in photo.people if person.points))
    own = [label for label in seen if label]
    default = own[0] if len(own) == 1 else PERSON
    photos = [
        photo._replace(people=[person._replace(label=person.label or default) for person in photo.people])
        for photo in source.photos
    ]
    keypoints: dict[str, list[str]] = {}
    for label in seen:
        names = keypoints.setdefault(label or default, [])
        names += [name for name in source.keypoints.get(label, ()) if name not in names]
    for person in (person for photo in photos for person in photo.people if person.points):
        names = keypoints[person.label]
        names += [name for name in person.points if name not in names]
    limbs = {label or default: pairs for label, pairs in source.limbs.items()}
    return replace(source, photos=photos, keypoints=keypoints, limbs=limbs)


def with_names(source: Source, names: Sequence[str] | None) -> Source:
    """The source with the user's names: in this order, without the others; new ones where the tool gives only numbers.

    Raises DataError for a name that no label has, and where there are no names at all.
    """
    if source.unnamed:
        return _named(source, names)
    if names is None:
        return source
    known = list(dict.fromkeys(name for own in source.keypoints.values() for name in own))
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise DataError(
                f"--names: no label has the keypoint {name!r}{near or ' (they have ' + ', '.join(known) + ')'}"
            )
    chosen = {label: [name for name in names if name in own] for label, own in source.keypoints.items()}
    return replace(source, keypoints={label: own for label, own in chosen.items() if own})


def _named(source: Source, names: Sequence[str] | None) -> Source:
    renamed: dict[str, dict[str, str]] = {}
    for label, own in source.keypoints.items():
        wanted = names or (COCO_KEYPOINTS if len(own) == len(COCO_KEYPOINTS) else ())
        if not wanted:
            raise DataError(
                f"the labels don't name the {counted(len(own), 'keypoint')} of {label!r}; give their names in"
                " this order: --names nose,left_eye,..."
            )
        if len(wanted) != len(own):
            raise DataError(
                f"--names: {counted(len(wanted), 'name')} for the {counted(len(own), 'keypoint')} of {label!r}"
            )
        renamed[label] = dict(zip(own, wanted, strict=True))
    photos = [
        photo._replace(
            people=[
                person._replace(points={renamed[person.label][name]: point for name, point in person.points.items()})
                for person in photo.people
            ]
        )
        for photo in source.photos
    ]
    keypoints = {label: list(new.values()) for label, new in renamed.items()}
    limbs = {label: [(new[a], new[b]) for a, b in source.limbs.get(label, ())] for label, new in renamed.items()}
    return replace(source, photos=photos, keypoints=keypoints, limbs=limbs, unnamed=False)
