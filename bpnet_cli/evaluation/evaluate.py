"""Running a predictor over labelled photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bpnet_cli.build import open_sources
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.labels import Labels, select
from bpnet_cli.evaluation.coco import Scores, evaluate_detections, merge, restrict, without_area
from bpnet_cli.evaluation.keypoints import KeypointScores, score_keypoints
from bpnet_cli.evaluation.limbs import LimbScores, score_limbs
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import coco_entries
from bpnet_cli.inference.sources import read_ahead, spread
from bpnet_cli.log import progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.dataset import Source


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled photos, pooled from one or more sources. files: by image id of `truth`."""

    truth: Labels
    files: dict[int, EncodedImage]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out.

    shown: people as `infer` draws them, by image id. limbs: theirs. keypoints: of all people, shown or not. detections:
    all people in COCO's results format. seconds: reading included.
    """

    labelled: LabelledSet
    scores: Scores
    limbs: LimbScores
    keypoints: KeypointScores
    shown: dict[int, list[Person]]
    detections: list[dict[str, Any]]
    seconds: float


def load_labelled(sources: Sequence[Source], skeleton: Skeleton) -> LabelledSet:
    """Read and check the annotation files and the photos they name. Raises DataError.

    Only the keypoints of the skeleton are kept; when that drops some, a line says so, and one where areas are missing.
    """
    opened = open_sources(sources)
    pooled, renumbered = merge([source.labels for source in opened])
    truth = restrict(pooled, skeleton)
    if truth is not pooled:
        known, all_names = len(truth.keypoint_names), len(pooled.keypoint_names)
        say(f"{pooled.path}: AP is over the {known} of its {all_names} keypoints that skeleton {skeleton.name} has")
    if note := without_area(truth):
        say(f"{truth.path}: {note}")
    files = {new: source.files[old] for source, ids in zip(opened, renumbered, strict=True) for old, new in ids.items()}
    return LabelledSet(truth, files)


def part_of(labelled: LabelledSet, most: int) -> LabelledSet:
    """The set, or `most` of its photos spread evenly over their ids."""
    ids = spread(sorted(labelled.files), most)
    return LabelledSet(select(labelled.truth, ids), {i: labelled.files[i] for i in ids})


def evaluate(predictor: Predictor, labelled: LabelledSet, what: str = "evaluating") -> Evaluation:
    """COCO metrics of a predictor on every photo of a labelled set.

    AP counts all people and keypoints: it ranks people itself and gains from every right one, however weak. Limbs and
    pictures show what `infer` draws.
    """
    skeleton = predictor.backend.metadata.skeleton
    truth = labelled.truth
    persons: dict[int, list[Person]] = {}
    detections: list[dict[str, Any]] = []
    start = time.perf_counter()
    image_ids = sorted(labelled.files)
    photos = read_ahead((labelled.files[image_id] for image_id in image_ids), EncodedImage.rgb)
    for image_id, photo in progress(zip(image_ids, photos, strict=True), len(image_ids), what):
        persons[image_id] = predictor.everyone(photo)
        detections += coco_entries(image_id, persons[image_id], skeleton, truth.keypoint_names, truth.category_id)
    scores = evaluate_detections(truth, detections, skeleton)
    shown = {image_id: predictor.shown(predictor.strong(found)) for image_id, found in persons.items()}
    limbs = score_limbs(truth, shown, skeleton)
    keypoints = score_keypoints(truth, persons, skeleton)
    return Evaluation(labelled, scores, limbs, keypoints, shown, detections, time.perf_counter() - start)
