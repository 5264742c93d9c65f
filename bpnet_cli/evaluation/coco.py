"""COCO keypoint metrics (pycocotools) of detected people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet_cli.data.coco import AREA_OF_BOX, CocoFile, area_of, is_labelled
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.resample import Matches
from bpnet_cli.log import silenced
from bpnet_cli.pose.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
MAX_DETECTIONS = 20


@dataclass(frozen=True, eq=False)
class Scores:
    """metrics: COCO's ten numbers by name, -1 where no labelled person is of that size.

    precision: (10, 101) precision by OKS threshold .50:.05:.95 and by recall 0:.01:1, NaN where undefined.
    best_oks: by image id, the OKS of each person with labelled keypoints and the detection that fits it best (0 where
        none does). areas: of the same people, square pixels.
    matches: for AP over other choices of the photos.
    """

    metrics: Mapping[str, float]
    precision: NDArray[np.float64]
    best_oks: Mapping[int, NDArray[np.float64]]
    areas: Mapping[int, NDArray[np.float64]]
    matches: Matches


def evaluate_detections(
    truth: CocoFile, detections: Sequence[Mapping[str, Any]], skeleton: Skeleton, image_ids: Sequence[int] | None = None
) -> Scores:
    """Metrics of detections in COCO's results format over `image_ids` (all by default).

    truth: labels keypoints of the skeleton only, see `restrict`. OKS constants come from the skeleton by name.
    """
    labelled = _as_coco(truth, [_complete(a) for people in truth.annotations.values() for a in people])
    found = _as_coco(truth, [_with_box(detection) for detection in detections])
    evaluation = COCOeval(labelled, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = _sigmas(truth, skeleton)
    evaluation.params.imgIds = sorted(truth.images if image_ids is None else image_ids)
    evaluation.params.catIds = [truth.category_id]
    with silenced():
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0].astype(float)
    precision[precision < 0] = np.nan
    best, areas = {}, {}
    for image_id in evaluation.params.imgIds:
        matrix = np.asarray(evaluation.ious[image_id, truth.category_id])
        people = evaluation._gts[image_id, truth.category_id]
        oks = matrix.max(axis=0) if matrix.size else np.zeros(len(people))
        counted = [not person["ignore"] for person in people]
        best[image_id], areas[image_id] = oks[counted], np.array([person["area"] for person in people])[counted]
    matches = Matches(evaluation, {image_id: len(oks) for image_id, oks in best.items()})
    return Scores(dict(zip(METRICS, map(float, evaluation.stats), strict=True)), precision, best, areas, matches)


def merge(files: Sequence[CocoFile]) -> tuple[CocoFile, list[dict[int, int]]]:
    """Several annotation files as one, and each file's old image ids -> new ones; one file keeps its ids.

    Raises DataError when their keypoints differ.
    """
    if len(files) == 1:
        return files[0], [{image_id: image_id for image_id in files[0].images}]
    names, category_id = files[0].keypoint_names, files[0].category_id
    images: dict[int, dict[str, Any]] = {}
    annotations: dict[int, list[dict[str, Any]]] = {}
    renumbered = []
    for file in files:
        if file.keypoint_names != names:
            raise DataError(
                f"{file.path}: its keypoints differ from {files[0].path}'s, so their people can't be pooled"
            )
        ids = {image_id: len(images) + i for i, image_id in enumerate(file.images, start=1)}
        for old, new in ids.items():
            images[new] = {**file.images[old], "id": new}
            annotations[new] = [
                {**entry, "image_id": new, "category_id": category_id} for entry in file.annotations[old]
            ]
        renumbered.append(ids)
    return CocoFile(files[0].path, names, category_id, images, annotations), renumbered


def restrict(truth: CocoFile, skeleton: Skeleton) -> CocoFile:
    """The file with only the keypoints that the skeleton has; the file itself where it has them all.

    Raises DataError when it has none.
    """
    kept = [i for i, name in enumerate(truth.keypoint_names) if name in skeleton.keypoints]
    if len(kept) == len(truth.keypoint_names):
        return truth
    if not kept:
        raise DataError(f"{truth.path}: labels none of the keypoints of skeleton {skeleton.name}")
    names = tuple(truth.keypoint_names[i] for i in kept)
    annotations = {image_id: [_restricted(a, kept) for a in people] for image_id, people in truth.annotations.items()}
    return replace(truth, keypoint_names=names, annotations=annotations)


def without_area(truth: CocoFile) -> str:
    """A line that says how many people have no area, on which OKS depends; empty where all have one."""
    people = [entry for group in truth.annotations.values() for entry in group if is_labelled(entry)]
    absent = sum(not entry.get("area") for entry in people)
    if not absent:
        return ""
    return (
        f"{absent} of {len(people)} annotations have no area: {AREA_OF_BOX} x their box, the median ratio in COCO, is"
        " used; AP is not comparable with COCO's"
    )


def _restricted(annotation: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    keypoints = [value for i in kept for value in annotation["keypoints"][3 * i : 3 * i + 3]]
    return {**annotation, "keypoints": keypoints, "num_keypoints": sum(v > 0 for v in keypoints[2::3])}


def _as_coco(truth: CocoFile, annotations: Sequence[dict[str, Any]]) -> COCO:
    """A COCO index of annotations on the images of `truth`, numbered anew: COCOeval takes an id of 0 for "none"."""
    coco = COCO()
    coco.dataset = {
        "images": list(truth.images.values()),
        "categories": [{"id": truth.category_id}],
        "annotations": [{**annotation, "id": i} for i, annotation in enumerate(annotations, start=1)],
    }
    with silenced():
        coco.createIndex()
    return coco


def _complete(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation with the keys that COCOeval takes for granted."""
    labelled = sum(v > 0 for v in annotation["keypoints"][2::3])
    return {"iscrowd": 0, "num_keypoints": labelled, **annotation, "area": area_of(annotation)}


def _with_box(detection: Mapping[str, Any]) -> dict[str, Any]:
    """A detection as an annotation. COCO takes a detection's area from its keypoints' extent (as loadRes does)."""
    points = np.asarray(detection["keypoints"], float).reshape(-1, 3)
    x0, y0 = points[:, :2].min(axis=0)
    x1, y1 = points[:, :2].max(axis=0)
    box = [x0, y0, x1 - x0, y1 - y0]
    return {**detection, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def _sigmas(truth: CocoFile, skeleton: Skeleton) -> NDArray[np.float64]:
    by_name = dict(zip(skeleton.keypoints, skeleton.sigmas, strict=True))
    return np.array([by_name[name] for name in truth.keypoint_names])
