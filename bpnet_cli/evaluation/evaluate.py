"""Running a predictor over labelled photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bpnet_cli.build import open_sources
from bpnet_cli.data.coco import CocoFile
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.evaluation.coco import Scores, evaluate_detections, merge, restrict, without_area
from bpnet_cli.evaluation.limbs import LimbScores, score_limbs
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import coco_entries
from bpnet_cli.inference.sources import read_ahead
from bpnet_cli.log import progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.dataset import Source


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled photos, pooled from one or more sources. files: by image id of `truth`."""

    truth: CocoFile
    files: dict[int, EncodedImage]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    persons: by image id. limbs: of those among them that `infer` keeps. detections: all of them in COCO's results
    format. seconds: reading included.
    """

    labelled: LabelledSet
    scores: Scores
    limbs: LimbScores
    persons: dict[int, list[Person]]
    detections: list[dict[str, Any]]
    seconds: float


def load_labelled(sources: Sequence[Source], skeleton: Skeleton) -> LabelledSet:
    """Read and check the annotation files and the photos they name. Raises DataError.

    Only the keypoints of the skeleton are kept; when that drops some, a line says so, and one where areas are missing.
    """
    opened = open_sources(sources)
    pooled, renumbered = merge([source.coco for source in opened])
    truth = restrict(pooled, skeleton)
    if truth is not pooled:
        known, all_names = len(truth.keypoint_names), len(pooled.keypoint_names)
        say(f"{pooled.path}: AP is over the {known} of its {all_names} keypoints that skeleton {skeleton.name} has")
    if note := without_area(truth):
        say(f"{truth.path}: {note}")
    files = {new: source.files[old] for source, ids in zip(opened, renumbered, strict=True) for old, new in ids.items()}
    return LabelledSet(truth, files)


def evaluate(predictor: Predictor, labelled: LabelledSet, what: str = "evaluating") -> Evaluation:
    """COCO metrics of a predictor on every photo of a labelled set.

    `min_person_score` does not apply to AP, which ranks people itself and gains from every right one, however weak. It
    does to the limbs, which are those that `infer` draws.
    """
    least = predictor.min_person_score
    predictor = replace(predictor, min_person_score=0.0)
    skeleton = predictor.backend.metadata.skeleton
    truth = labelled.truth
    persons: dict[int, list[Person]] = {}
    detections: list[dict[str, Any]] = []
    start = time.perf_counter()
    image_ids = sorted(labelled.files)
    photos = read_ahead((labelled.files[image_id] for image_id in image_ids), EncodedImage.rgb)
    for image_id, photo in progress(zip(image_ids, photos, strict=True), len(image_ids), what):
        persons[image_id] = predictor.predict(photo)
        detections += coco_entries(image_id, persons[image_id], skeleton, truth.keypoint_names, truth.category_id)
    scores = evaluate_detections(truth, detections, skeleton)
    limbs = score_limbs(truth, persons, skeleton, least)
    return Evaluation(labelled, scores, limbs, persons, detections, time.perf_counter() - start)
