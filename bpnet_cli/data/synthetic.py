"""Synthetic data sets: drawn people, hands or animals with exact keypoints, in COCO's format, to try bpnet.

Photo i depends only on the seed and on i. So a larger set begins with the photos of a smaller one, byte for byte, as
long as the versions of numpy and OpenCV are the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.drawing import PEOPLE, Drawing, drawing_of
from bpnet_cli.data.scene import PART_IDS, Placed, paint_scene, visibilities
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.files import write_text
from bpnet_cli.log import progress
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.storage import local_path

MAX_PEOPLE = 100
MIN_SIZE = 64
JPEG_QUALITY = 95


def generate(
    directory: str | Path,
    images: int,
    *,
    people: tuple[int, int] = (1, 4),
    height: int = 256,
    width: int = 256,
    seed: int = 0,
    overwrite: bool = False,
    skeleton: Skeleton | None = None,
) -> Path:
    """Draw `images` photos into directory/images and return the path of directory/annotations/person_keypoints.json.

    people: smallest and largest number of people in a photo. height, width: size of the photos in pixels. seed: >= 0.
    skeleton: what is drawn and labelled, see `drawing_of`; None: people with COCO's keypoints.
    overwrite: replace an existing data set. Old photos with higher numbers stay in the folder, but are not listed.
    The annotations are written atomically at the end, so an interrupted run leaves no annotations.
    Raises BpnetError for impossible arguments and DataError for a directory that can't be used.
    """
    if images < 1:
        raise BpnetError(f"images: must be at least 1 (got {images})")
    check_scene(people, height, width, seed)
    drawing = PEOPLE if skeleton is None else drawing_of(skeleton)
    directory = local_path(directory)
    path = directory / "annotations" / "person_keypoints.json"
    try:
        _prepare(directory, path, overwrite)
        data: dict[str, Any] = {**_header(drawing, seed), "images": [], "annotations": []}
        for i in progress(range(1, images + 1), images, "drawing"):
            entry, annotations = _draw_photo(drawing, directory / "images", i, people, height, width, seed)
            data["images"].append(entry)
            for annotation in annotations:
                data["annotations"].append({"id": len(data["annotations"]) + 1, **annotation})
        write_text(path, json.dumps(data))
    except OSError as error:
        raise DataError(f"{directory}: can't write the data set: {error}") from error
    return path


def check_scene(people: tuple[int, int], height: int, width: int, seed: int) -> None:
    """Raise BpnetError for numbers of people, sizes in pixels or seeds that can't be drawn."""
    fewest, most = people
    if not 1 <= fewest <= most <= MAX_PEOPLE:
        raise BpnetError(f"people: must be two numbers MIN <= MAX from 1 to {MAX_PEOPLE} (got {fewest}, {most})")
    if min(height, width) < MIN_SIZE:
        raise BpnetError(f"height, width: must be at least {MIN_SIZE} pixels (got {height}, {width})")
    if seed < 0:
        raise BpnetError(f"seed: must not be negative (got {seed})")


def _prepare(directory: Path, path: Path, overwrite: bool) -> None:
    """Create the folders. Raises DataError where there are photos already and `overwrite` is False.

    Old annotations are removed first, so that they never list photos that have changed.
    """
    folder = directory / "images"
    if not overwrite and (path.exists() or (folder.is_dir() and any(folder.iterdir()))):
        raise DataError(f"{directory}: already holds a data set or part of one; choose another directory or overwrite")
    for parent in (folder, path.parent):
        parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


def _draw_photo(
    drawing: Drawing, folder: Path, number: int, people: tuple[int, int], height: int, width: int, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write photo `number`. Returns its COCO image entry and its annotations, which have no ids yet."""
    rng = np.random.default_rng([seed, number])
    figures = [drawing.sample(rng) for _ in range(rng.integers(people[0], people[1], endpoint=True))]
    image, owners, placed = paint_scene(rng, figures, height, width)
    name = f"{number:012d}.jpg"
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    (folder / name).write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
    annotations = [
        {"image_id": number, "category_id": 1, "iscrowd": 0, **_describe(drawing, i, person, owners)}
        for i, person in enumerate(placed)
    ]
    entry = {"id": number, "file_name": name, "width": width, "height": height}
    return entry, [annotation for annotation in annotations if annotation["area"]]


def _describe(drawing: Drawing, index: int, person: Placed, owners: NDArray[np.int32]) -> dict[str, Any]:
    """The COCO keys of a person: its keypoints, and box, area and mask (run lengths) of its visible pixels."""
    visible = visibilities(index, person, owners)[drawing.columns]
    points = np.where(visible[:, None] > 0, person.points[drawing.columns], 0).round(2)
    mask = owners // PART_IDS == index
    x, y, box_width, box_height = cv2.boundingRect(mask.astype(np.uint8))
    return {
        "keypoints": [
            number for (x, y), v in zip(points.tolist(), visible.tolist(), strict=True) for number in (x, y, v)
        ],
        "num_keypoints": int((visible > 0).sum()),
        "bbox": [float(number) for number in (x, y, box_width, box_height)],
        "area": float(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": _run_lengths(mask)},
    }


def _run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed run-length encoding: lengths of runs of 0, 1, 0, ... column by column, starting with 0."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff(edges, prepend=0, append=flat.size).tolist()
    return [0, *lengths] if flat[0] else lengths


def _header(drawing: Drawing, seed: int) -> dict[str, Any]:
    category = {
        "id": 1,
        "name": drawing.name,
        "supercategory": drawing.name,
        "keypoints": list(drawing.keypoints),
        "skeleton": [list(limb) for limb in drawing.limbs],
    }
    description = f"bpnet synthetic {drawing.plural}, seed {seed}"
    return {"info": {"description": description}, "licenses": [], "categories": [category]}
