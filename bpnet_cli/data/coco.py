"""Reading and checking COCO keypoint files, and converting labels to the form that pycocotools takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bpnet_cli.data.entries import checked_annotation, checked_image, keypoint_category, limbs_of, refuse_repeated
from bpnet_cli.data.labels import Entry, Image, Labels, gather
from bpnet_cli.errors import DataError


def read_coco_file(path: str | Path) -> Labels:
    """Read and check an annotation file. Raises DataError that names the file and the first wrong entry."""
    path = Path(path)
    raw = _read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(raw.get(key), list):
            raise DataError(f"{path}: not a COCO file: needs a list {key!r} at the top level")
        if not all(isinstance(entry, dict) for entry in raw[key]):
            raise DataError(f"{path}: {key} must hold mappings")
    if not raw["images"]:
        raise DataError(f"{path}: lists no images")
    category = keypoint_category(path, raw["categories"])
    images = {checked_image(path, entry)["id"]: entry for entry in raw["images"]}
    refuse_repeated(path, "image", raw["images"])
    refuse_repeated(path, "annotation", raw["annotations"])
    named = {i: Image(entry["file_name"], entry["height"], entry["width"]) for i, entry in images.items()}
    names, limbs = category["keypoints"], limbs_of(category.get("skeleton"), len(category["keypoints"]))
    labels = gather(path, names, named, _entries(path, raw, category, named), limbs, category["id"])
    if not len(labels.people):
        raise DataError(f"{path}: no annotation of category {category.get('name', category['id'])!r}; nothing to use")
    return labels


def to_coco(labels: Labels) -> dict[str, Any]:
    """Labels as a mapping for pycocotools' `COCO.dataset`, without segmentations and file names.

    Annotations get new ids from 1, because COCOeval reads id 0 as "none". Areas are `People.known_areas`, in square
    pixels.
    """
    people = labels.people
    image_ids = [image_id for image_id, rows in labels.rows.items() for _ in range(rows.start, rows.stop)]
    annotations = [
        {
            "id": row + 1,
            "image_id": image_id,
            "category_id": labels.category_id,
            "iscrowd": int(people.crowds[row]),
            "num_keypoints": int(people.counts[row]),
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


def _read_json(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the JSON file with the annotations")
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file")
    try:
        raw = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        hint = "the file is empty" if path.stat().st_size == 0 else str(error)
        raise DataError(f"{path}: not JSON: {hint}") from None
    if not isinstance(raw, dict):
        raise DataError(f"{path}: not a COCO file: the top level is a {type(raw).__name__}, not a mapping")
    return raw


def _entries(
    path: Path, raw: Mapping[str, Any], category: Mapping[str, Any], images: Mapping[int, Image]
) -> Iterator[Entry]:
    """The people and crowds of a category. Raises DataError for a wrong annotation."""
    categories = [entry.get("id") for entry in raw["categories"]]
    for entry in raw["annotations"]:
        if entry.get("category_id") not in categories:
            where = f"{path}: annotation {entry.get('id', '?')}"
            raise DataError(f"{where}: category_id {entry.get('category_id')!r} is not among the categories")
        if entry["category_id"] == category["id"]:
            yield checked_annotation(path, entry, len(category["keypoints"]), images)
