"""Rules for TAO's dataset spec (`coco_spec.json`)."""

from __future__ import annotations

import os
from typing import Any

from bpnet_cli.spec.tao_file import (
    Rule,
    Rules,
    TaoFile,
    TaoValueError,
    changed,
    fixed,
    number,
    only,
    plain,
    same,
    truth,
)

_FLAGS = {"visible": 2, "occluded": 1, "not_labeled": 0}
_MAPPING = {"visible": "visible", "occluded": "occluded", "not_labeled": "not_labeled"}
_KEYPOINTS = "photos and labels are read with COCO's flags here: 2 visible, 1 occluded, 0 not labelled"


def joined(root: str, path: str) -> str:
    """The path that TAO makes of a root and a path below it: both texts in a row, without double slashes.

    Where that doesn't exist but the path with a slash between does, it is that one.
    """
    as_tao = os.path.normpath(root + path) if root else path
    with_slash = os.path.join(root, path)
    return with_slash if not os.path.exists(as_tao) and os.path.exists(with_slash) else as_tao


def _source(data: str, ours: str) -> Rule:
    def rule(file: TaoFile, key: str, value: Any) -> None:
        root = file.get("root_directory_path", "")
        if not isinstance(value, str) or not isinstance(root, str):
            raise TaoValueError("must be a path, and so must root_directory_path")
        if (data, ours) == ("train", "images"):
            file.result.train_images = value
        file.maps(key, {f"dataset.{data}.{ours}": joined(root, value)})

    return rule


def _area(file: TaoFile, key: str, value: Any) -> None:
    sides = [number(file.get(f"data_filtering_params.min_acceptable_{side}", 0)) for side in ("height", "width")]
    file.maps(key, {"dataset.min_area_px": plain(sides[0] * sides[1])}, "height x width, as in TAO")


def _centres(file: TaoFile, key: str, value: Any) -> None:
    if truth(value):
        return file.maps(key, {}, "a crop for each person, with augmentation.crop: person")
    return file.changes(key, {}, "a crop for each person here, one for each photo there")


_MASKS = "masks are made from the labels here, without files"

DATASET_RULES: Rules = {
    "dataset": only("coco"),
    "root_directory_path": lambda file, key, value: file.maps(key, {}, "the beginning of the paths in section dataset"),
    **{
        f"{tao}_data.{key}": rule
        for tao, ours in (("train", "train"), ("test", "validation"))
        for key, rule in (
            ("images_root_dir_path", _source(ours, "images")),
            ("mask_root_dir_path", changed(_MASKS)),
            ("annotation_root_dir_path", _source(ours, "annotations")),
        )
    },
    "duplicate_data_with_each_person_as_center": _centres,
    "categories": changed("names and limbs are read from the annotation file and the skeleton"),
    "visibility_flags.value": fixed(_FLAGS, note="COCO's", otherwise=_KEYPOINTS),
    "visibility_flags.mapping": fixed(_MAPPING, note="COCO's", otherwise=_KEYPOINTS),
    "data_filtering_params.min_acceptable_height": _area,
    "data_filtering_params.min_acceptable_width": _area,
    "data_filtering_params.min_acceptable_kpts": same("dataset.min_keypoints"),
    "data_filtering_params.min_acceptable_interperson_dist_ratio": same("dataset.min_distance_ratio"),
}
