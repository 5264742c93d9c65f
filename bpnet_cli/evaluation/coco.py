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
    truth: Labels, detections: Sequence[Mapping[str, Any]], skeleton: Skeleton, image_ids: Sequence[int] | None = None
) -> Scores:
    """Metrics of detections in COCO's results format over `image_ids` (all by default).

    truth: labels keypoints of the skeleton only, see `restrict`. OKS constants come from the skeleton by name.
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
    """Several sets of labels as one, and each one's old image ids -> new ones; one alone keeps its ids.

    Raises DataError when their keypoints differ.
    """
    first = sets[0]
    if len(sets) == 1:
        return first, [{image_id: image_id for image_id in first.images}]
    for labels in sets:
        if labels.keypoint_names != first.keypoint_names:
            raise DataError(f"{labels.path}: its keypoints differ from {first.path}'s, so their people can't be pooled")
    return pool(sets)


def restrict(truth: Labels, skeleton: Skeleton) -> Labels:
    """The labels with only the keypoints that the skeleton has; the very same where it has them all.

    Raises DataError when it has none.
    """
    kept = [i for i, name in enumerate(truth.keypoint_names) if name in skeleton.keypoints]
    if len(kept) == len(truth.keypoint_names):
        return truth
    if not kept:
        raise DataError(f"{truth.path}: labels none of the keypoints of skeleton {skeleton.name}")
    keypoints = truth.people.keypoints[:, kept]
    counts = (keypoints[..., 2] > 0).sum(axis=1)
    people = replace(truth.people, keypoints=keypoints, counts=counts, unknown=truth.people.unknown[:, kept])
    return replace(truth, keypoint_names=tuple(truth.keypoint_names[i] for i in kept), people=people, limbs=())


def without_area(truth: Labels) -> str:
    """A line that says how many people have no area, on which OKS depends; empty where all have one."""
    areas = truth.people.areas[truth.people.labelled]
    absent = int((areas == 0).sum())
    if not absent:
        return ""
    return (
        f"{absent} of {len(areas)} annotations have no area: {AREA_OF_BOX} x their box, the median ratio in COCO, is"
        " used; AP is not comparable with COCO's"
    )


def _indexed(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with silenced():
        coco.createIndex()
    return coco


def _with_box(detection: Mapping[str, Any]) -> dict[str, Any]:
    """A detection as an annotation. COCO takes a detection's area from its keypoints' extent (as loadRes does)."""
    points = np.asarray(detection["keypoints"], float).reshape(-1, 3)
    x0, y0 = points[:, :2].min(axis=0)
    x1, y1 = points[:, :2].max(axis=0)
    box = [x0, y0, x1 - x0, y1 - y0]
    return {**detection, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def _sigmas(truth: Labels, skeleton: Skeleton) -> NDArray[np.float64]:
    by_name = dict(zip(skeleton.keypoints, skeleton.sigmas, strict=True))
    return np.array([by_name[name] for name in truth.keypoint_names])
