"""Running a predictor over labelled photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
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
from bpnet_cli.sharing import ShareOut, Work
from bpnet_cli.spec.dataset import Source

# Threads that read photos while the network runs.
_READERS = 2
# Photos that another process gets at once.
_SHARE = 8

# The people of photos, in order.
Find = Callable[[Sequence[EncodedImage]], Generator[list[Person], None, None]]


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
    predictor: Predictor,
    labelled: LabelledSet,
    what: str = "evaluating",
    each_core: bool = False,
    find: Find | None = None,
) -> Evaluation:
    """COCO metrics of a predictor on every photo of a labelled set. what: the word before the progress.

    each_core: the predictor was loaded with one thread, so each core works on a photo of its own. find: gives the
    people of the photos; by default the predictor, in this process.

    AP counts all people and keypoints, without a threshold: it ranks people by score, and every right one raises it,
    however weak. The limb scores and the pictures show what `infer` draws.
    """
    skeleton = predictor.backend.metadata.skeleton
    truth = labelled.truth
    persons: dict[int, list[Person]] = {}
    detections: list[dict[str, Any]] = []
    start = time.perf_counter()
    image_ids = sorted(labelled.files)
    found = (find or partial(_find, predictor, each_core))([labelled.files[image_id] for image_id in image_ids])
    with closing(found):
        for image_id, people in progress(zip(image_ids, found, strict=True), len(image_ids), what):
            persons[image_id] = people
            detections += coco_entries(image_id, persons[image_id], skeleton, truth.keypoint_names, truth.category_id)
    scores = evaluate_detections(truth, detections, skeleton)
    shown = {image_id: predictor.shown(predictor.strong(found)) for image_id, found in persons.items()}
    limbs = score_limbs(truth, shown, skeleton)
    keypoints = score_keypoints(truth, persons, skeleton)
    return Evaluation(labelled, scores, limbs, keypoints, shown, detections, time.perf_counter() - start)


def find_shared(
    share: ShareOut, load: Callable[..., Predictor], arguments: Sequence[Any], files: Sequence[EncodedImage]
) -> Generator[list[Person], None, None]:
    """A `Find` in other processes, each with a predictor load(*arguments)."""
    shares = [(start, files[start : start + _SHARE]) for start in range(0, len(files), _SHARE)]
    early: dict[int, list[list[Person]]] = {}
    due = 0
    for start, found in share(_finder, (load, *arguments), shares):
        early[start] = found
        while due in early:
            people = early.pop(due)
            due += len(people)
            yield from people


def _finder(load: Callable[..., Predictor], *arguments: Any) -> Work:
    predictor = load(*arguments)

    def find(share: tuple[int, Sequence[EncodedImage]]) -> tuple[int, list[list[Person]]]:
        return share[0], [predictor.everyone(file.rgb()) for file in share[1]]

    return find


def _find(predictor: Predictor, each_core: bool, files: Sequence[EncodedImage]) -> Generator[list[Person], None, None]:
    """A `Find` in this process."""
    workers = core_count() if each_core else _READERS
    with ThreadPoolExecutor(workers) as pool:
        if each_core:
            yield from in_order(files, lambda file: predictor.everyone(file.rgb()), pool, 2 * workers)
        else:
            photos = in_order(files, EncodedImage.rgb, pool, 2 * workers)
            yield from (predictor.everyone(photo) for photo in photos)
