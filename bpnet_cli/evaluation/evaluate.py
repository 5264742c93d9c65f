"""Running a predictor over labelled photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bpnet_cli.build import open_sources
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.labels import Labels, select
from bpnet_cli.evaluation.coco import Scores, evaluate_detections, merge, restrict, without_area
from bpnet_cli.evaluation.keypoints import KeypointScores, score_keypoints
from bpnet_cli.evaluation.limbs import LimbScores, score_limbs
from bpnet_cli.inference.pipeline import core_count, in_order
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import coco_entries
from bpnet_cli.inference.sources import spread
from bpnet_cli.log import progress, say
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.dataset import Source

# Threads that read photos while the network runs.
_READERS = 2


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled photos from one or more sources. truth: their labels. files: the photos by image id of `truth`."""

    truth: Labels
    files: dict[int, EncodedImage]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `evaluate`.

    scores: COCO metrics of all people.
    limbs: scores of the limbs that `infer` draws.
    keypoints: scores of the keypoints of all people, drawn or not.
    shown: by image id, the people as `infer` draws them.
    detections: all people in COCO's results format.
    seconds: time of the whole evaluation, reading of the photos included.
    """

    labelled: LabelledSet
    scores: Scores
    limbs: LimbScores
    keypoints: KeypointScores
    shown: dict[int, list[Person]]
    detections: list[dict[str, Any]]
    seconds: float


def load_labelled(sources: Sequence[Source], skeleton: Skeleton) -> LabelledSet:
    """Read and check the annotation files and their photos. Raises DataError.

    Keypoints that are not in the skeleton are dropped, with a status line. People without an area also get a line.
    """
    opened = open_sources(sources, skeleton)
    pooled, renumbered = merge([source.labels for source in opened])
    truth = restrict(pooled, skeleton)
    if truth is not pooled:
        known, all_names = len(truth.keypoint_names), len(pooled.keypoint_names)
        say(f"{pooled.path}: AP counts {known} of its {all_names} keypoints, those that skeleton {skeleton.name} has")
    if note := without_area(truth):
        say(f"{truth.path}: {note}")
    files = {new: source.files[old] for source, ids in zip(opened, renumbered, strict=True) for old, new in ids.items()}
    return LabelledSet(truth, files)


def part_of(labelled: LabelledSet, most: int) -> LabelledSet:
    """The set, or `most` of its photos spread evenly over their ids."""
    ids = spread(sorted(labelled.files), most)
    return LabelledSet(select(labelled.truth, ids), {i: labelled.files[i] for i in ids})


def evaluate(
    predictor: Predictor, labelled: LabelledSet, what: str = "evaluating", each_core: bool = False
) -> Evaluation:
    """COCO metrics of a predictor on every photo of a labelled set. what: the word before the progress.

    each_core: the predictor was loaded with one thread, so each core works on a photo of its own.

    AP counts all people and keypoints, without a threshold: it ranks people by score, and every right one raises it,
    however weak. The limb scores and the pictures show what `infer` draws.
    """
    skeleton = predictor.backend.metadata.skeleton
    truth = labelled.truth
    persons: dict[int, list[Person]] = {}
    detections: list[dict[str, Any]] = []
    start = time.perf_counter()
    image_ids = sorted(labelled.files)
    workers = core_count() if each_core else _READERS
    with ThreadPoolExecutor(workers) as pool:
        files = (labelled.files[image_id] for image_id in image_ids)
        if each_core:
            found = in_order(files, lambda file: predictor.everyone(file.rgb()), pool, 2 * workers)
        else:
            found = (predictor.everyone(photo) for photo in in_order(files, EncodedImage.rgb, pool, 2 * workers))
        for image_id, people in progress(zip(image_ids, found, strict=True), len(image_ids), what):
            persons[image_id] = people
            detections += coco_entries(image_id, persons[image_id], skeleton, truth.keypoint_names, truth.category_id)
    scores = evaluate_detections(truth, detections, skeleton)
    shown = {image_id: predictor.shown(predictor.strong(found)) for image_id, found in persons.items()}
    limbs = score_limbs(truth, shown, skeleton)
    keypoints = score_keypoints(truth, persons, skeleton)
    return Evaluation(labelled, scores, limbs, keypoints, shown, detections, time.perf_counter() - start)
