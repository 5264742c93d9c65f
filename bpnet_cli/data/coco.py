"""COCO keypoint files: read, checked, and turned into photos with people in a skeleton's keypoint order."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagesize
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.masks import encode_ignore_region
from bpnet_cli.errors import DataError
from bpnet_cli.pose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and its labels, in pixels of the photo.

    keypoints: (P, K, 3) float32 x, y, visibility (0 unlabelled, 1 occluded, 2 visible) of people with keypoints.
    label_counts: (P,) int, keypoints that the data set itself labels (a derived neck does not count).
    boxes: (P, 4) float32 x, y, width, height. areas: (P,) float32 segment areas in square pixels.
    labelled: (K,) bool, False where the data set as a whole does not label a keypoint of the skeleton.
    ignore: run-length encoded region that must not count in the loss (crowds and people without keypoints), or None.
    """

    path: Path
    image_id: int
    height: int
    width: int
    keypoints: NDArray[np.float32]
    label_counts: NDArray[np.intp]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    ignore: Mapping[str, Any] | None


@dataclass(frozen=True)
class CocoFile:
    """A COCO annotation file after structural checks.

    keypoint_names: the data set's own keypoints, in its order. category_id: of the category that has them. images: by
    id. annotations: of that category, by image id.
    """

    path: Path
    keypoint_names: tuple[str, ...]
    category_id: int
    images: Mapping[int, dict[str, Any]]
    annotations: Mapping[int, list[dict[str, Any]]]


def read_coco_file(path: str | Path) -> CocoFile:
    """Read and check an annotation file. Raises DataError naming the file and the first entry that is wrong."""
    path = Path(path)
    raw = _read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(raw.get(key), list):
            raise DataError(f"{path}: not a COCO file: needs a list {key!r} at the top level")
        if not all(isinstance(entry, dict) for entry in raw[key]):
            raise DataError(f"{path}: {key} must hold mappings")
    if not raw["images"]:
        raise DataError(f"{path}: lists no images")
    category = _keypoint_category(path, raw["categories"])
    images = {_checked_image(path, entry)["id"]: entry for entry in raw["images"]}
    _refuse_repeated(path, "image", raw["images"])
    _refuse_repeated(path, "annotation", raw["annotations"])
    annotations: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in images}
    categories = {entry.get("id") for entry in raw["categories"]}
    for entry in raw["annotations"]:
        if entry.get("category_id") not in categories:
            where = f"{path}: annotation {entry.get('id', '?')}"
            raise DataError(f"{where}: category_id {entry.get('category_id')!r} is not among the categories")
        if entry["category_id"] == category["id"]:
            checked = _checked_annotation(path, entry, len(category["keypoints"]), images)
            annotations[checked["image_id"]].append(checked)
    if not any(annotations.values()):
        raise DataError(f"{path}: no annotation of category {category.get('name', category['id'])!r}; nothing to use")
    return CocoFile(path, tuple(category["keypoints"]), category["id"], images, annotations)


def load_photos(images: str | Path, annotations: str | Path, skeleton: Skeleton) -> list[Photo]:
    """Photos of one data source in the order of their ids, people in `skeleton`'s keypoint order.

    images: folder that `file_name` is relative to. Keypoints are matched by name; one that the data set lacks is taken
    from the skeleton's midpoint rule where both ends are labelled, else it is not labelled at all.
    Raises DataError for a missing folder, absent photos, sizes that differ from the file's, or no keypoint in common.
    """
    folder = Path(images)
    coco = read_coco_file(annotations)
    if not set(coco.keypoint_names) & set(skeleton.keypoints):
        raise DataError(
            f"{coco.path}: no keypoint in common with skeleton {skeleton.name}: the file has"
            f" {', '.join(coco.keypoint_names)}; the skeleton {', '.join(skeleton.keypoints)}"
        )
    check_photos(folder, coco)
    return [_make_photo(folder, coco, image_id, skeleton) for image_id in sorted(coco.images)]


def keypoints_of(annotations: Sequence[Mapping[str, Any]], names: Sequence[str]) -> NDArray[np.float32]:
    """(P, N, 3) keypoints of COCO entries, in the data set's order `names`."""
    return np.array([a["keypoints"] for a in annotations], np.float32).reshape(len(annotations), len(names), 3)


def to_skeleton(
    keypoints: NDArray[np.float32], names: Sequence[str], skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Reorder (P, N, 3) keypoints of a data set into (P, K, 3) of the skeleton.

    names: the N keypoints of the data set. Also returns (K,) bool, which keypoints of the skeleton the data set labels.
    A midpoint exists only where both its ends are labelled, with the lower of their visibilities.
    """
    known = list(names)
    result = np.zeros((len(keypoints), len(skeleton.keypoints), 3), np.float32)
    labelled = np.array([name in known for name in skeleton.keypoints])
    result[:, labelled] = keypoints[:, [known.index(name) for name in skeleton.keypoints if name in known]]
    for name, first, second in skeleton.midpoints:
        k, a, b = (skeleton.keypoints.index(n) for n in (name, first, second))
        if labelled[k] or not (labelled[a] and labelled[b]):
            continue
        both = (result[:, a, 2] > 0) & (result[:, b, 2] > 0)
        result[both, k, :2] = (result[both, a, :2] + result[both, b, :2]) / 2
        result[both, k, 2] = np.minimum(result[both, a, 2], result[both, b, 2])
        labelled[k] = True
    result[result[..., 2] <= 0] = 0
    return result, labelled


def _read_json(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; the annotations are a JSON file")
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


def _keypoint_category(path: Path, categories: list[dict[str, Any]]) -> dict[str, Any]:
    for category in categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names and "id" in category and all(isinstance(name, str) for name in names):
            return category
    raise DataError(f"{path}: no category with an id and a list of keypoint names; is it a keypoint annotation file?")


def _refuse_repeated(path: Path, kind: str, entries: list[dict[str, Any]]) -> None:
    counts = Counter(entry["id"] for entry in entries if "id" in entry)
    repeated = [str(key) for key, count in counts.items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
        raise DataError(f"{path}: {kind} id {repeated[0]}{more} occurs more than once")


def _checked_image(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    for key, kind in (("id", int), ("file_name", str), ("width", int), ("height", int)):
        if not isinstance(entry.get(key), kind):
            label = entry.get("file_name", entry.get("id", "?"))
            raise DataError(f"{path}: image {label}: {key} must be {kind.__name__} (got {entry.get(key)!r})")
    return entry


def _checked_annotation(path: Path, entry: dict[str, Any], count: int, images: Mapping[int, Any]) -> dict[str, Any]:
    where = f"{path}: annotation {entry.get('id', '?')}"
    if entry.get("image_id") not in images:
        raise DataError(f"{where}: image_id {entry.get('image_id')!r} is not among the images")
    box = entry.get("bbox", ())
    if not _are_numbers(box) or len(box) != 4:
        raise DataError(f"{where}: bbox must be 4 finite numbers x, y, width, height (got {box!r})")
    if min(box[2:]) < 0 or not _are_numbers([entry.get("area", 0)]) or entry.get("area", 0) < 0:
        raise DataError(f"{where}: bbox sizes and area must not be negative (got {box}, area {entry.get('area')!r})")
    keypoints = entry.get("keypoints")
    if not keypoints and not entry.get("num_keypoints"):
        keypoints = [0] * (3 * count)
    if not isinstance(keypoints, list) or len(keypoints) != 3 * count:
        got = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        raise DataError(f"{where}: keypoints must hold 3 x {count} = {3 * count} numbers (got {got})")
    if not _are_numbers(keypoints):
        raise DataError(f"{where}: keypoints must be finite numbers")
    if not set(keypoints[2::3]) <= {0, 1, 2}:
        raise DataError(f"{where}: visibilities must be 0, 1 or 2 (got {sorted(set(keypoints[2::3]))})")
    return {**entry, "keypoints": keypoints}


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )


def check_photos(images: str | Path, coco: CocoFile) -> None:
    """Refuse photos that are absent or not of the size their labels were made for; reads only headers."""
    folder = Path(images)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos")
    with ThreadPoolExecutor(16) as pool:
        problems = [p for p in pool.map(lambda entry: _photo_problem(folder, entry), coco.images.values()) if p]
    if problems:
        more = f" (and {len(problems) - 1} more photos like it)" if len(problems) > 1 else ""
        raise DataError(f"{coco.path}: {problems[0]}{more}")


def _photo_problem(folder: Path, entry: dict[str, Any]) -> str | None:
    path = folder / entry["file_name"]
    if not path.is_file():
        return f"image {entry['id']}: {path} does not exist"
    width, height = imagesize.get(path)
    if (width, height) == (-1, -1):
        return f"image {entry['id']}: {path} is not an image that can be read"
    if {width, height} != {entry["width"], entry["height"]}:
        return (
            f"image {entry['id']}: {path} is {width} x {height}, but the labels are for"
            f" {entry['width']} x {entry['height']}; point to the photos the labels were made on"
        )
    return None


def _make_photo(folder: Path, coco: CocoFile, image_id: int, skeleton: Skeleton) -> Photo:
    entry, annotations = coco.images[image_id], coco.annotations[image_id]
    people = [a for a in annotations if not a.get("iscrowd") and any(v > 0 for v in a["keypoints"][2::3])]
    raw = keypoints_of(people, coco.keypoint_names)
    keypoints, labelled = to_skeleton(raw, coco.keypoint_names, skeleton)
    boxes = np.array([a["bbox"] for a in people], np.float32).reshape(-1, 4)
    return Photo(
        path=folder / entry["file_name"],
        image_id=image_id,
        height=entry["height"],
        width=entry["width"],
        keypoints=keypoints,
        label_counts=(raw[:, :, 2] > 0).sum(axis=1),
        boxes=boxes,
        areas=np.array([a.get("area", a["bbox"][2] * a["bbox"][3]) for a in people], np.float32),
        labelled=labelled,
        ignore=_ignore_region(coco, image_id),
    )


def _ignore_region(coco: CocoFile, image_id: int) -> Mapping[str, Any] | None:
    entry = coco.images[image_id]
    try:
        return encode_ignore_region(coco.annotations[image_id], entry["height"], entry["width"])
    except DataError as error:
        raise DataError(f"{coco.path}: {error}") from None
