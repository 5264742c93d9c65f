"""COCO keypoint metrics (pycocotools) of detected people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet_cli.data.coco import to_coco
from bpnet_cli.data.labels import AREA_OF_BOX, Labels, pool
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.resample import Matches
from bpnet_cli.log import silenced
from bpnet_cli.pose.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
MAX_DETECTIONS = 20


@dataclass(frozen=True, eq=False)
class Scores:
    """The result of `evaluate_detections`.

    metrics: COCO's ten numbers by name; -1 where the file labels nobody of that size.
    precision: (10, 101) precision by OKS threshold .50:.05:.95 and by recall 0:.01:1; NaN where undefined.
    best_oks: by image id, for each person with labelled keypoints the OKS of the detection that fits best; 0 where the
        image has no detections.
    areas: by image id, the areas of the same people in square pixels.
    matches: the matches of each photo, to compute AP over any choice of photos.
    """

    metrics: Mapping[str, float]
    precision: NDArray[np.float64]
    best_oks: Mapping[int, NDArray[np.float64]]
    areas: Mapping[int, NDArray[np.float64]]
    matches: Matches


def evaluate_detections(
    truth: Labels, detections: Sequence[Mapping[str, Any]], skeleton: Skeleton, image_ids: Sequence[int] | None = None
) -> Scores:
    """Metrics of detections in COCO's results format.

    truth: the labels; all its keypoints must be in the skeleton, see `restrict`. skeleton: gives the OKS constants, by
    keypoint name. image_ids: the photos to count, by default all.
    Source: COCO's keypoint evaluation, computed by pycocotools.
    """
    dataset = to_coco(truth)
    found = [{**_with_box(detection), "id": i} for i, detection in enumerate(detections, start=1)]
    evaluation = COCOeval(_indexed(dataset), _indexed({**dataset, "annotations": found}), "keypoints")
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


def merge(sets: Sequence[Labels]) -> tuple[Labels, list[dict[int, int]]]:
    """Merge sets of labels into one. Also returns, for each set, its old image ids with the new ones.

    A single set keeps its ids. Raises DataError where the sets have different keypoints.
    """
    first = sets[0]
    if len(sets) == 1:
        return first, [{image_id: image_id for image_id in first.images}]
    for labels in sets:
        if labels.keypoint_names != first.keypoint_names:
            raise DataError(
                f"{labels.path}: its keypoints differ from those of {first.path}, so they can't be merged; use one"
            )
    return pool(sets)


def restrict(truth: Labels, skeleton: Skeleton) -> Labels:
    """The labels with only those keypoints that are in the skeleton. Where all are, the labels are returned unchanged.

    Raises DataError where none of their keypoints is in the skeleton.
    """
    kept = [i for i, name in enumerate(truth.keypoint_names) if name in skeleton.keypoints]
    if len(kept) == len(truth.keypoint_names):
        return truth
    if not kept:
        raise DataError(
            f"{truth.path}: labels none of the keypoints of skeleton {skeleton.name}, but"
            f" {', '.join(truth.keypoint_names)}; if they are the same under other names, write"
            " `rename: {name in the file: name in the skeleton}` beside `annotations` in the spec"
        )
    people = replace(truth.people, keypoints=truth.people.keypoints[:, kept], unknown=truth.people.unknown[:, kept])
    return replace(truth, keypoint_names=tuple(truth.keypoint_names[i] for i in kept), people=people, limbs=())


def without_area(truth: Labels) -> str:
    """A line on how many labelled people have no area, on which OKS depends; empty where all have an area."""
    areas = truth.people.areas[truth.people.labelled]
    absent = int((areas == 0).sum())
    if not absent:
        return ""
    return (
        f"{absent} of {len(areas)} annotations have no area. {AREA_OF_BOX} x the area of their box is used, the median"
        " ratio in COCO; AP is not comparable with COCO's"
    )


def _indexed(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with silenced():
        coco.createIndex()
    return coco


def _with_box(detection: Mapping[str, Any]) -> dict[str, Any]:
    """A detection as an annotation. Its area is that of the box around its keypoints, as in pycocotools' loadRes."""
    points = np.asarray(detection["keypoints"], float).reshape(-1, 3)
    x0, y0 = points[:, :2].min(axis=0)
    x1, y1 = points[:, :2].max(axis=0)
    box = [x0, y0, x1 - x0, y1 - y0]
    return {**detection, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def _sigmas(truth: Labels, skeleton: Skeleton) -> NDArray[np.float64]:
    by_name = dict(zip(skeleton.keypoints, skeleton.sigmas, strict=True))
    return np.array([by_name[name] for name in truth.keypoint_names])
