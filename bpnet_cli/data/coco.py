"""COCO keypoint files: read, checked, and turned into photos with people in a skeleton's keypoint order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.checks import Problem, check_images, clean_annotations, summarise
from bpnet_cli.data.entries import checked_annotation, checked_image, keypoint_category, limbs_of, refuse_repeated
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.masks import encode_ignore_region
from bpnet_cli.errors import DataError
from bpnet_cli.pose.skeleton import Skeleton

# The median ratio of a person's area to its box in COCO.
AREA_OF_BOX = 0.53


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and its labels, in pixels of the photo.

    keypoints: (P, K, 3) float32 x, y, visibility (0 unlabelled, 1 occluded, 2 visible) of people with keypoints.
    label_counts: (P,) int, keypoints that the data set itself labels (a derived neck does not count).
    boxes: (P, 4) float32 x, y, width, height. areas: (P,) float32 segment areas in square pixels.
    labelled: (K,) bool, False where the data set as a whole does not label a keypoint of the skeleton.
    ignore: run-length encoded region that must not count in the loss (crowds, people without keypoints, surroundings
        of unknown keypoints), or None.
    """

    image: EncodedImage
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
    id. annotations: of that category, by image id. limbs: pairs of the category's keypoints, counted from 0.
    """

    path: Path | str
    keypoint_names: tuple[str, ...]
    category_id: int
    images: Mapping[int, dict[str, Any]]
    annotations: Mapping[int, list[dict[str, Any]]]
    limbs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class LabelSource:
    """Labels and photos of one data source that can be used together.

    coco: its usable photos and people. files: the photos, by image id. ignore: the ignore region of an image id.
    problems: what was left out or changed. people: those with keypoints, of a file also those left out.
    """

    coco: CocoFile
    files: Mapping[int, EncodedImage]
    ignore: Callable[[int], Mapping[str, Any] | None]
    problems: Sequence[Problem]
    people: int


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
    category = keypoint_category(path, raw["categories"])
    images = {checked_image(path, entry)["id"]: entry for entry in raw["images"]}
    refuse_repeated(path, "image", raw["images"])
    refuse_repeated(path, "annotation", raw["annotations"])
    annotations: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in images}
    categories = [entry.get("id") for entry in raw["categories"]]
    for entry in raw["annotations"]:
        if entry.get("category_id") not in categories:
            where = f"{path}: annotation {entry.get('id', '?')}"
            raise DataError(f"{where}: category_id {entry.get('category_id')!r} is not among the categories")
        if entry["category_id"] == category["id"]:
            checked = checked_annotation(path, entry, len(category["keypoints"]), images)
            annotations[checked["image_id"]].append(checked)
    if not any(annotations.values()):
        raise DataError(f"{path}: no annotation of category {category.get('name', category['id'])!r}; nothing to use")
    names = tuple(category["keypoints"])
    return CocoFile(path, names, category["id"], images, annotations, limbs_of(category.get("skeleton"), len(names)))


def open_source(images: str | Path, annotations: str | Path) -> LabelSource:
    """Read a data source; photos and people that can't be used are left out and listed.

    images: folder that `file_name` is relative to.
    Raises DataError for a missing folder, absent photos, sizes that differ from the file's, damaged annotations.
    """
    coco = read_coco_file(annotations)
    people = sum(is_labelled(entry) for group in coco.annotations.values() for entry in group)
    files, image_problems = check_images(Path(images), coco.images, coco.path)
    entries, label_problems = clean_annotations({i: coco.annotations[i] for i in files}, coco.images)
    problems = [*image_problems, *label_problems]
    if people and not any(is_labelled(entry) for group in entries.values() for entry in group):
        raise DataError(f"{coco.path}: no person with keypoints is left: {'; '.join(summarise(problems))}")
    coco = replace(coco, images={i: coco.images[i] for i in files}, annotations=entries)
    return LabelSource(coco, files, partial(_ignore_region, coco), problems, people)


def load_photos(images: str | Path, annotations: str | Path, skeleton: Skeleton) -> list[Photo]:
    """`photos_of_source` of `open_source`."""
    return photos_of_source(open_source(images, annotations), skeleton)


def photos_of_source(source: LabelSource, skeleton: Skeleton) -> list[Photo]:
    """Photos of one data source in the order of their ids, people in `skeleton`'s keypoint order.

    Keypoints are matched by name; one that the data set lacks is taken from the skeleton's midpoint rule where both
    ends are labelled, else it is not labelled at all. Raises DataError for no keypoint in common.
    """
    names = source.coco.keypoint_names
    if not set(names) & set(skeleton.keypoints):
        raise DataError(
            f"{source.coco.path}: no keypoint in common with skeleton {skeleton.name}: the file has"
            f" {', '.join(names)}; the skeleton {', '.join(skeleton.keypoints)}"
        )
    return [_make_photo(source, image_id, skeleton) for image_id in sorted(source.coco.images)]


def is_labelled(annotation: Mapping[str, Any]) -> bool:
    """Whether a COCO entry is a person with keypoints."""
    return not annotation.get("iscrowd") and any(v > 0 for v in annotation["keypoints"][2::3])


def people_of(coco: CocoFile, image_id: int, skeleton: Skeleton) -> NDArray[np.float32]:
    """(P, K, 3) keypoints x, y, visibility of the people of an image, crowd regions left out; see `to_skeleton`."""
    people = [entry for entry in coco.annotations[image_id] if not entry.get("iscrowd")]
    return to_skeleton(keypoints_of(people, coco.keypoint_names), coco.keypoint_names, skeleton)[0]


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


def _make_photo(source: LabelSource, image_id: int, skeleton: Skeleton) -> Photo:
    entry, names = source.coco.images[image_id], source.coco.keypoint_names
    people = [a for a in source.coco.annotations[image_id] if is_labelled(a)]
    raw = keypoints_of(people, names)
    keypoints, labelled = to_skeleton(raw, names, skeleton)
    return Photo(
        image=source.files[image_id],
        image_id=image_id,
        height=entry["height"],
        width=entry["width"],
        keypoints=keypoints,
        label_counts=(raw[:, :, 2] > 0).sum(axis=1),
        boxes=np.array([a["bbox"] for a in people], np.float32).reshape(-1, 4),
        areas=np.array([area_of(a) for a in people], np.float32),
        labelled=labelled,
        ignore=source.ignore(image_id),
    )


def area_of(annotation: Mapping[str, Any]) -> float:
    """A person's area in square pixels; where the file gives none, or 0, `AREA_OF_BOX` of the box."""
    return float(annotation.get("area") or AREA_OF_BOX * annotation["bbox"][2] * annotation["bbox"][3])


def _ignore_region(coco: CocoFile, image_id: int) -> Mapping[str, Any] | None:
    entry = coco.images[image_id]
    try:
        return encode_ignore_region(coco.annotations[image_id], entry["height"], entry["width"], coco.limbs)
    except DataError as error:
        raise DataError(f"{coco.path}: {error}") from None
