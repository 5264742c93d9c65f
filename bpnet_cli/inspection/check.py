"""`bpnet dataset check`: everything in a data set is opened once, and described in tables."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bpnet_cli.build import choice_of, skeleton_of, tell_sides
from bpnet_cli.data.checks import PHOTO_REASONS
from bpnet_cli.data.choice import ANYTHING, Choice
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.labels import Labels, LabelSource, Problem, summarise
from bpnet_cli.data.photos import Photo, photos_of_source, to_skeleton
from bpnet_cli.data.samples import main_persons
from bpnet_cli.data.sources import open_sources
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.log import progress
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.sides import lacks_pairs, pairs_by_name, without_partner
from bpnet_cli.spec.dataset import RecordSource, Source
from bpnet_cli.spec.experiment import ExperimentSpec

UNDECODABLE = "photos that can't be decoded, where training would stop"
_READERS = 4
_RIGHT_WITHOUT_SIDES = " (right if the keypoints have no sides)"
_NO_PAIRS = (
    "no left/right pairs are found, but the names look as if the keypoints have sides: write the pairs into"
    " `flip_pairs` of the skeleton file, because mirrored crops teach the wrong side without them"
)


def check_spec(spec: ExperimentSpec) -> tuple[list[str], int]:
    """A report for each source in dataset.train and dataset.validation, and how many sources can't be used.

    Raises BpnetError if the spec names none.
    """
    skeleton = skeleton_of(spec)
    if spec.augmentation.flip_probability:
        tell_sides(spec.skeleton, skeleton)
    reports, refused = [], 0
    for key in ("train", "validation"):
        sources: Sequence[Source] = getattr(spec.dataset, f"{key}_sources")
        for source in sources:
            place = source.records if isinstance(source, RecordSource) else source.annotations
            found, bad = _check(source, choice_of(source, skeleton), skeleton, spec if key == "train" else None)
            reports += [f"dataset.{key}: {place}\n{text}" for text in found]
            refused += bad
    if not reports:
        raise BpnetError("the spec names no photos: set dataset.train, or give --images and --annotations")
    return reports, refused


def check_files(images: str, annotations: str) -> tuple[list[str], int]:
    """A report on one annotation file, in a list, and 1 if it can't be used."""
    from bpnet_cli.spec.dataset import DataSource

    found, bad = _check(DataSource(images=images, annotations=annotations), ANYTHING, None, None)
    return [f"{annotations}\n{text}" for text in found], bad


def _check(
    source: Source, choice: Choice, skeleton: Skeleton | None, training: ExperimentSpec | None
) -> tuple[list[str], int]:
    labels, images = (source.records, None) if isinstance(source, RecordSource) else (source.annotations, source.images)
    try:
        opened = open_sources(labels, images, choice)
        return [_report(one, skeleton, training) for one in opened], 0
    except DataError as error:
        return [f"  can't be used: {error}"], 1


def _report(source: LabelSource, skeleton: Skeleton | None, training: ExperimentSpec | None) -> str:
    """The tables of a source. Raises DataError if it can't be used with the skeleton."""
    photos = photos_of_source(source, skeleton) if skeleton else []
    for image_id in source.labels.images if not photos else ():
        source.ignore(image_id)  # finds regions that can't be decoded, as making the photos does
    problems = [*source.problems, *_undecodable(list(source.files.values()))]
    tables = [
        _contents(source, problems),
        _categories(source.labels),
        _sizes(source.labels),
        _keypoints(source.labels, skeleton),
    ]
    if training:
        tables.append(_crops(photos, training))
    told = [line.removeprefix(f"{source.labels.path}: ") for line in (*source.notes, *summarise(problems))]
    if skeleton is None and lacks_pairs(source.labels.keypoint_names):
        told.append(_NO_PAIRS)
    lines = ["what is unusual:", *(f"  {line}" for line in told)] if told else ["nothing is unusual"]
    return "\n\n".join("\n".join(f"  {line}" for line in part) for part in (*tables, lines) if part)


def _undecodable(files: Sequence[EncodedImage]) -> list[Problem]:
    """The photos that can't be decoded. The checks before opened only their beginning and end."""

    def failing(file: EncodedImage) -> Problem | None:
        try:
            file.decode()
        except DataError:
            return Problem(UNDECODABLE, file.name)
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        checked = list(progress(pool.map(failing, files), len(files), "opening photos"))
    return [problem for problem in checked if problem]


def _contents(source: LabelSource, problems: Sequence[Problem]) -> list[str]:
    people = source.labels.people
    bad = sum(reason in {*PHOTO_REASONS, UNDECODABLE} for reason, _ in problems)
    before = sum(reason in PHOTO_REASONS for reason, _ in source.problems)
    photos = len(source.labels.images) + before
    used = int(people.labelled.sum())
    crowds, nameless = int(people.crowds.sum()), int((~people.labelled & ~people.crowds).sum())
    others = len(source.labels.others.people) if source.labels.others else 0
    rows = [
        ("photos", photos, photos - bad, 0, bad),
        ("people with keypoints", source.people, used, 0, source.people - used),
        ("people without keypoints", nameless, 0, nameless, 0),
        ("crowds", crowds, 0, crowds, 0),
        ("of other categories, with keypoints", others, 0, others, 0),
    ]
    heading = ("", "there", "used", "ignored in the loss", "left out")
    return _table(heading, rows[:2] + [row for row in rows[2:] if row[1]])


def _categories(labels: Labels) -> list[str]:
    if len(labels.categories) < 2:
        return []
    rows = [(c.name, c.annotations, c.people, "yes" if c.used else "no") for c in labels.categories]
    return _table(("category", "annotations", "with keypoints", "used"), rows)


def _keypoints(labels: Labels, skeleton: Skeleton | None) -> list[str]:
    """Labelled people by keypoint; with a skeleton, in its order and with those that the file lacks."""
    people = labels.people[labels.people.labelled]
    names, points = labels.keypoint_names, people.keypoints
    known = np.ones(len(names), np.bool_)
    pairs = pairs_by_name(names)
    lines = [f"left/right pairs that are found by name: {len(pairs)}{'' if pairs else _RIGHT_WITHOUT_SIDES}"]
    if alone := without_partner(names, pairs):
        lines.append(f"without a partner on the other side: {', '.join(alone)}")
    if skeleton:
        foreign = [name for name in names if name not in skeleton.keypoints]
        lines = [f"keypoints that skeleton {skeleton.name} doesn't have: {', '.join(foreign)}"] if foreign else []
        moved, known = to_skeleton(points, names, skeleton)
        points = moved.astype(np.float64)
        names = skeleton.keypoints
    rows = []
    for k, name in enumerate(names):
        visible, occluded = (int((points[:, k, 2] == value).sum()) for value in (2, 1))
        share = f"{(visible + occluded) / max(len(points), 1):.0%}" if known[k] else "not in the file"
        rows.append((name, visible + occluded, share, occluded))
    return [*_table(("keypoint", "people", "share", "occluded"), rows), *lines]


def _sizes(labels: Labels) -> list[str]:
    people = labels.people[labels.people.labelled]
    if not len(people):
        return []
    images = labels.images.values()
    values = {
        "photo width, pixels": [image.width for image in images],
        "photo height, pixels": [image.height for image in images],
        "box height, pixels": people.boxes[:, 3],
        "labelled keypoints of a person": (people.keypoints[..., 2] > 0).sum(axis=1),
        "people in a photo": [int(labels.people_of(i).labelled.sum()) for i in labels.images],
    }
    rows = [(what, *(f"{v:.0f}" for v in np.percentile(list(some), [0, 50, 100]))) for what, some in values.items()]
    return _table(("", "smallest", "median", "largest"), rows)


def _crops(photos: Sequence[Photo], spec: ExperimentSpec) -> list[str]:
    """How many people get a training crop of their own."""
    if spec.augmentation.crop != "person":
        return []
    limits = spec.dataset.min_keypoints, spec.dataset.min_area_px, spec.dataset.min_distance_ratio
    crops, people = sum(len(main_persons(photo, *limits)) for photo in photos), sum(len(p.keypoints) for p in photos)
    return [
        f"{crops} of {people} people get a training crop of their own (dataset.min_keypoints {limits[0]}, min_area_px"
        f" {limits[1]:g}, min_distance_ratio {limits[2]:g})"
    ]


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Aligned lines: the first column to the left, the others to the right."""
    text = [[str(cell) for cell in row] for row in (heading, *rows)]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    aligned = [
        (row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
        for row in text
    ]
    return ["  ".join(row).rstrip() for row in aligned]
