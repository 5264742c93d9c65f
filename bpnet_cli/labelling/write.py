"""Writing people as COCO keypoint annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bpnet_cli.data.labels import AREA_OF_BOX
from bpnet_cli.data.plausible import box_around
from bpnet_cli.files import write_text
from bpnet_cli.labelling.source import Person

# Decimals of lengths, in pixels.
_DECIMALS = 3


class Placed(NamedTuple):
    """A photo that was found. name: below the folder of photos, with "/". size: (height, width). people: in pixels."""

    name: str
    size: tuple[int, int]
    people: Sequence[Person]


def write_coco(
    path: Path,
    photos: Sequence[Placed],
    keypoints: Mapping[str, Sequence[str]],
    limbs: Mapping[str, Sequence[tuple[str, str]]],
) -> None:
    """Write a COCO file with one category for each label.

    keypoints: names by label, for the labels of all people. limbs: pairs of names by label. Areas are `AREA_OF_BOX`
    times the box. Raises BpnetError where the file can't be written.
    """
    ids = {label: number for number, label in enumerate(keypoints, start=1)}
    annotations = [
        {
            "image_id": image_id,
            "category_id": ids[person.label],
            **_described(person, keypoints[person.label], photo.size),
        }
        for image_id, photo in enumerate(photos, start=1)
        for person in photo.people
    ]
    coco = {
        "info": {"description": "written by bpnet dataset import"},
        "images": [
            {"id": image_id, "file_name": photo.name, "width": photo.size[1], "height": photo.size[0]}
            for image_id, photo in enumerate(photos, start=1)
        ],
        "categories": [_category(label, ids[label], names, limbs.get(label, ())) for label, names in keypoints.items()],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }
    write_text(path, json.dumps(coco, ensure_ascii=False))


def _category(label: str, number: int, names: Sequence[str], limbs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    pairs = [[names.index(a) + 1, names.index(b) + 1] for a, b in limbs if a in names and b in names]
    return {"id": number, "name": label, "keypoints": list(names), "skeleton": pairs}


def _described(person: Person, names: Sequence[str], size: tuple[int, int]) -> dict[str, Any]:
    """The COCO keys of a person. A box that the labels don't have is made from the keypoints."""
    triples = [person.points.get(name, (0, 0, 0)) for name in names]
    points = [triple[:2] for triple in triples if triple[2]]
    box = person.box or box_around(np.array(points, float), *size)
    return {
        "keypoints": [number for x, y, v in triples for number in (round(x, _DECIMALS), round(y, _DECIMALS), v)],
        "num_keypoints": len(points),
        "bbox": [round(number, _DECIMALS) for number in box],
        "area": round(AREA_OF_BOX * box[2] * box[3], _DECIMALS),
        "iscrowd": 0,
    }
