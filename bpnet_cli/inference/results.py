"""Contents of the result files: `detections.json`, `coco_results.json`, and one JSON line per video frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import COCO_KEYPOINTS, Skeleton


def person_entry(person: Person) -> dict[str, Any]:
    """A person in `detections.json`: score, box [x, y, width, height], keypoints [x, y, score] or null where absent.

    Coordinates are in photo pixels. A tracked person also has its id.
    """
    return {
        **({} if person.id is None else {"id": person.id}),
        "score": round(float(person.score), 6),
        "box": [round(value, 2) for value in person.box],
        "keypoints": [
            None if np.isnan(score) else [round(float(x), 2), round(float(y), 2), round(float(score), 4)]
            for x, y, score in person.keypoints
        ],
    }


def image_entry(name: str, width: int, height: int, persons: Sequence[Person]) -> dict[str, Any]:
    """A photo in `detections.json`; width and height in pixels."""
    return {"file": name, "width": width, "height": height, "persons": [person_entry(p) for p in persons]}


def skeleton_entry(skeleton: Skeleton) -> dict[str, Any]:
    """The skeleton in `detections.json`; limbs are pairs of keypoint names."""
    return {"name": skeleton.name, "keypoints": list(skeleton.keypoints), "limbs": [list(a) for a in skeleton.limbs]}


def model_entry(metadata: ModelMetadata, path: str) -> dict[str, Any]:
    """The model in `detections.json`: its file, its name and the version of bpnet that made it."""
    return {"file": path, "name": metadata.spec.get("name"), "bpnet_version": metadata.version}


def coco_order(skeleton: Skeleton) -> list[str]:
    """Keypoint names in the order of a COCO results file.

    Where the skeleton has all of COCO's keypoints, these are COCO's 17 in COCO's order. Otherwise they are the
    skeleton's, without keypoints that are derived from others (`midpoints`, the neck for example).
    """
    if set(COCO_KEYPOINTS) <= set(skeleton.keypoints):
        return list(COCO_KEYPOINTS)
    derived = {name for name, _, _ in skeleton.midpoints}
    return [name for name in skeleton.keypoints if name not in derived]


def image_ids(names: Sequence[str]) -> tuple[list[int], str]:
    """COCO image ids for photos by name, and why they are not the numbers in the names.

    Where all names are numbers (000000001234.jpg) and no number comes twice, the ids are these numbers. Otherwise they
    are 1, 2, ... in order. The second value is the reason for that; it is empty where the numbers are used, and where
    no name is a number.
    """
    stems = [PurePath(name).stem for name in names]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    places = list(range(1, len(names) + 1))
    if not numbers:
        return places, ""
    if len(numbers) < len(names):
        return places, f"{len(names) - len(numbers)} of {len(names)} names are not numbers"
    twice = next((number for number, count in Counter(numbers).items() if count > 1), None)
    return (numbers, "") if twice is None else (places, f"several photos have the number {twice}")


def coco_entries(
    image_id: int, persons: Iterable[Person], skeleton: Skeleton, keypoint_names: Sequence[str], category_id: int = 1
) -> list[dict[str, Any]]:
    """People of one image in COCO's results format; keypoints in the order of `keypoint_names`, photo pixels.

    COCO needs coordinates for every keypoint. A keypoint that was not found, or is not in the skeleton, gets 0, 0, 0.
    """
    columns = [skeleton.keypoints.index(name) if name in skeleton.keypoints else None for name in keypoint_names]
    entries = []
    for person in persons:
        rows = [[0.0, 0.0, 0.0] if c is None else np.nan_to_num(person.keypoints[c]).tolist() for c in columns]
        entries.append(
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(value, 3) for row in rows for value in row],
                "score": float(person.score),
            }
        )
    return entries
