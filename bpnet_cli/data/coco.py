"""Reading and checking COCO keypoint files, and converting labels to the form that pycocotools takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpnet_cli.data.categories import Categories, choose_categories, is_labelled
from bpnet_cli.data.choice import ANYTHING, Choice
from bpnet_cli.data.entries import checked_annotation, checked_image, loose_region
from bpnet_cli.data.identity import Id, id_of, number_ids, refuse_repeated
from bpnet_cli.data.labels import CategoryCount, Entry, Image, Labels, Problem, gather, summarise
from bpnet_cli.errors import DataError
from bpnet_cli.storage import place
from bpnet_cli.untrusted import json_of


def read_coco_file(path: str | Path, choice: Choice = ANYTHING) -> Labels:
    """Read and check an annotation file. Raises DataError that names the file and the first wrong entry.

    Boxes and areas are those of the file; `data.plausible` checks whether they can be true.
    """
    path = place(path)
    raw = read_json(path)
    if not raw["images"]:
        raise DataError(f"{path}: lists no images")
    categories = choose_categories(path, raw, choice)
    listed = [checked_image(path, entry) for entry in raw["images"]]
    refuse_repeated(path, "image", raw["images"])
    refuse_repeated(path, "annotation", raw["annotations"])
    numbers = number_ids([key for key, _ in listed])
    images = {numbers[key]: image for key, image in listed}
    notes: list[Problem] = []
    entries, others = _entries(path, raw, categories, numbers, images, notes)
    if not entries:
        used = ", ".join(repr(category.name) for category in categories.used)
        raise DataError(f"{path}: no annotation of category {used}; nothing to use")
    stated = {numbers[key]: entry["id"] for (key, _), entry in zip(listed, raw["images"], strict=True)}
    return gather(
        path,
        categories.keypoint_names,
        images,
        entries,
        categories.limbs,
        categories.category_id,
        others=gather(path, (), images, others) if others else None,
        stated_ids={number: given for number, given in stated.items() if given != number},
        notes=(*categories.lines, *summarise(notes)),
        categories=tuple(
            CategoryCount(category.name, category in categories.used, category.annotations, category.people)
            for category in (*categories.used, *categories.unused)
        ),
    )


def to_coco(labels: Labels) -> dict[str, Any]:
    """Labels as a mapping for pycocotools' `COCO.dataset`, without segmentations and file names.

    Annotations get new ids from 1, because COCOeval reads id 0 as "none". Areas are `People.known_areas`, in square
    pixels.
    """
    people = labels.people
    image_ids = [image_id for image_id, rows in labels.rows.items() for _ in range(rows.start, rows.stop)]
    counts = (people.keypoints[..., 2] > 0).sum(axis=1).tolist()
    annotations = [
        {
            "id": row + 1,
            "image_id": image_id,
            "category_id": labels.category_id,
            "iscrowd": int(people.crowds[row]),
            "num_keypoints": counts[row],
            "area": area,
            "bbox": box,
            "keypoints": keypoints,
        }
        for row, (image_id, area, box, keypoints) in enumerate(
            zip(
                image_ids,
                people.known_areas.tolist(),
                people.boxes.tolist(),
                people.keypoints.reshape(len(people), -1).tolist(),
                strict=True,
            )
        )
    ]
    images = [{"id": i, "height": image.height, "width": image.width} for i, image in labels.images.items()]
    return {"images": images, "categories": [{"id": labels.category_id}], "annotations": annotations}


def read_json(path: Path) -> dict[str, Any]:
    """The content of an annotation file with its lists of images, annotations and categories. Raises DataError."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the JSON file with the annotations")
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file")
    try:
        raw = json_of(path.read_bytes())
    except ValueError as error:
        hint = "the file is empty" if path.stat().st_size == 0 else str(error)
        raise DataError(f"{path}: not JSON: {hint}") from None
    if not isinstance(raw, dict):
        raise DataError(f"{path}: not a COCO file: the top level is a {type(raw).__name__}, not a mapping")
    for key in ("images", "annotations", "categories"):
        if not isinstance(raw.get(key), list):
            raise DataError(f"{path}: not a COCO file: needs a list {key!r} at the top level")
        if not all(isinstance(entry, dict) for entry in raw[key]):
            raise DataError(f"{path}: {key} must hold mappings")
    return raw


def _entries(
    path: Path,
    raw: Mapping[str, Any],
    categories: Categories,
    numbers: Mapping[Id, int],
    images: Mapping[int, Image],
    notes: list[Problem],
) -> tuple[list[Entry], list[Entry]]:
    """The people and crowds of the used categories, and the places of other ones that have keypoints of their own.

    notes: takes what was unusual. Raises DataError for a wrong annotation.
    """
    used = {category.id: category for category in categories.used}
    known = used.keys() | {category.id for category in categories.unused}
    count = len(categories.keypoint_names)
    columns = {key: _as_range(own, count) for key, own in categories.columns.items()}
    entries, others = [], []
    for entry in raw["annotations"]:
        key = id_of(entry.get("category_id"))
        if key not in known:
            where = f"{path}: annotation {entry.get('id', '?')}"
            raise DataError(f"{where}: category_id {entry.get('category_id')!r} is not among the categories")
        if key in used:
            entries.append(checked_annotation(path, entry, used[key], numbers, columns[key], count, notes))
        elif is_labelled(entry) and (other := loose_region(entry, numbers, images)):
            others.append(other)
    if not any("keypoints" in entry for entry in raw["annotations"]):
        _refuse_other_key(path, raw["annotations"])
    return entries, others


def _as_range(columns: tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """None for all columns in their order, which need not be moved."""
    return None if columns == tuple(range(count)) else columns


def _refuse_other_key(path: Path, annotations: list[dict[str, Any]]) -> None:
    """Raise DataError if annotations seem to have their keypoints under another key."""
    lists = dict.fromkeys(key for entry in annotations for key, value in entry.items() if isinstance(value, list))
    if near := difflib.get_close_matches("keypoints", lists, n=1):
        raise DataError(f"{path}: no annotation has the key 'keypoints', but there is {near[0]!r}; rename it")
