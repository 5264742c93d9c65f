"""The form of labels that the rest of the package uses for all file formats: photos, and people as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.images import EncodedImage

# The median ratio of a person's area to its box in COCO.
AREA_OF_BOX = 0.53
# A region is one of:
# - a tuple of polygons, each float64 (x0, y0, x1, y1, ...) in pixels,
# - run lengths as in COCO: {"size": [height, width], "counts"},
# - None: the person's box is the region.
# A wrong region is found only when it is decoded, because most regions are never decoded.
Region = Any


class Problem(NamedTuple):
    """Something that was left out or changed. reason: a text of `data.checks`. name: file or entry to look up."""

    reason: str
    name: str


def summarise(problems: Iterable[Problem]) -> list[str]:
    """One line per reason: the count and the first example."""
    by_reason: dict[str, list[str]] = {}
    for reason, name in problems:
        by_reason.setdefault(reason, []).append(name)
    return [f"{reason}: {len(names)} (first: {names[0]})" for reason, names in by_reason.items()]


class Image(NamedTuple):
    """A labelled photo. file_name: relative to the folder of photos. height, width: in pixels."""

    file_name: str
    height: int
    width: int


class Entry(NamedTuple):
    """A person or crowd as a reader returns it; `People` describes the parts.

    keypoints: 3N numbers x, y, visibility. box: of width or height 0 if there is none. unknown: indices of keypoints.
    where: the entry's place in the file, for messages.
    """

    image_id: int
    keypoints: Sequence[float]
    box: Sequence[float]
    area: float
    crowd: bool
    unknown: Sequence[int]
    region: Region
    where: str


class CategoryCount(NamedTuple):
    """A category of a file: its name, whether it is used, and its annotations, those with keypoints apart."""

    name: str
    used: bool
    annotations: int
    people: int


@dataclass(frozen=True, eq=False)
class People:
    """P people and crowds, in pixels of their photos.

    keypoints: (P, N, 3) float64 x, y, visibility (0 unlabelled, 1 occluded, 2 visible) of the data set's N keypoints.
    boxes: (P, 4) float64 x, y, width, height. areas: (P,) float64 square pixels, 0 if the file gives no area.
    crowds: (P,) bool, True for a region of many people without keypoints. unknown: (P, N) bool, True if a
    keypoint is unlabelled but may be visible.
    regions: (P,) `Region`. places: (P,) str, the place in the file, for messages.
    """

    keypoints: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    regions: NDArray[np.object_]
    places: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Any) -> People:
        """Select people by a slice (gives views), by (Q,) indices or by a (P,) bool."""
        return People(*(getattr(self, part.name)[rows] for part in fields(self)))

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(P,) bool, True for a person, not a crowd, with at least one labelled keypoint."""
        return ~self.crowds & (self.keypoints[..., 2] > 0).any(axis=1)

    @property
    def known_areas(self) -> NDArray[np.float64]:
        """(P,) float64 areas in square pixels; `AREA_OF_BOX` times the box's area if the file gives none."""
        return np.where(self.areas > 0, self.areas, AREA_OF_BOX * self.boxes[:, 2] * self.boxes[:, 3])


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one data source.

    path: file, folder or glob, for messages. keypoint_names: names and order of the data set. images: by image id.
    people: the people of all photos, photo after photo in the order of `images`. rows: by image id, the photo's rows in
    `people`. limbs: pairs of keypoints, counted from 0; empty if the file states none. category_id: the category of
    people in COCO's results format. others: places of others, who have keypoints of their own but are not used; their
    arrays of keypoints are empty. stated_ids: by image id, the photo's id in the file, where it is another one. notes:
    lines on how the file was read. categories: all of the file; empty if the format has none.
    """

    path: Path | str
    keypoint_names: tuple[str, ...]
    images: Mapping[int, Image]
    people: People
    rows: Mapping[int, slice]
    limbs: tuple[tuple[int, int], ...] = ()
    category_id: int = 1
    others: Labels | None = None
    stated_ids: Mapping[int, int | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    categories: tuple[CategoryCount, ...] = ()

    def people_of(self, image_id: int) -> People:
        """The people and crowds of a photo, as views."""
        return self.people[self.rows[image_id]]


@dataclass(frozen=True, eq=False)
class LabelSource:
    """The usable labels and photos of one data source.

    labels: of the usable photos and people. files: the photos, by image id. ignore: returns the ignore region of an
    image id as run lengths, or None. problems: what was left out or changed. people: number of people with keypoints;
    if the source is an annotation file, people that were left out count too. notes: lines on how the labels were
    read, with their path.
    """

    labels: Labels
    files: Mapping[int, EncodedImage]
    ignore: Callable[[int], Mapping[str, Any] | None]
    problems: Sequence[Problem]
    people: int
    notes: Sequence[str] = ()


def gather(
    path: Path | str,
    keypoint_names: Sequence[str],
    images: Mapping[int, Image],
    entries: Iterable[Entry],
    limbs: tuple[tuple[int, int], ...] = (),
    category_id: int = 1,
    **more: Any,
) -> Labels:
    """Make `Labels` from the entries of a reader.

    images: by image id. entries: in any order; the entries of one photo keep their order. See `Labels` for the rest,
    and for `more`.
    """
    by_image: dict[int, list[Entry]] = {image_id: [] for image_id in images}
    for entry in entries:
        by_image[entry.image_id].append(entry)
    listed = [entry for group in by_image.values() for entry in group]
    count, people = len(keypoint_names), len(listed)
    unknown = np.zeros((people, count), np.bool_)
    for row, entry in enumerate(listed):
        if entry.unknown:
            unknown[row, list(entry.unknown)] = True
    gathered = People(
        keypoints=np.array([entry.keypoints for entry in listed], np.float64).reshape(people, count, 3),
        boxes=np.array([entry.box for entry in listed], np.float64).reshape(people, 4),
        areas=np.array([entry.area for entry in listed], np.float64),
        crowds=np.array([entry.crowd for entry in listed], np.bool_),
        unknown=unknown,
        regions=_objects([entry.region for entry in listed]),
        places=_objects([entry.where for entry in listed]),
    )
    rows = _spans({image_id: len(group) for image_id, group in by_image.items()})
    return Labels(path, tuple(keypoint_names), images, gathered, rows, limbs, category_id, **more)


def select(labels: Labels, image_ids: Iterable[int], kept: NDArray[np.bool_] | None = None) -> Labels:
    """The labels of some photos. kept: (P,) bool for all people of `labels`; people with False are left out."""
    chosen = list(image_ids)
    if chosen == list(labels.images) and (kept is None or kept.all()):
        return labels
    spans = [np.arange(labels.rows[i].start, labels.rows[i].stop) for i in chosen]
    if kept is not None:
        spans = [span[kept[span]] for span in spans]
    people = labels.people[np.concatenate([np.zeros(0, np.intp), *spans])]
    rows = _spans(dict(zip(chosen, map(len, spans), strict=True)))
    return replace(labels, images={i: labels.images[i] for i in chosen}, people=people, rows=rows)


def pool(labels: Sequence[Labels]) -> tuple[Labels, list[dict[int, int]]]:
    """Merge several data sources into one. Also return, for each source, a mapping of old image ids to new ones.

    The photos get new ids from 1. All sources must have the keypoints of the first source. The result has the first
    source's path, keypoint names, limbs and category, and no `others`.
    """
    images: dict[int, Image] = {}
    counts: dict[int, int] = {}
    renumbered = []
    for part in labels:
        ids = {old: len(images) + i for i, old in enumerate(part.images, start=1)}
        images |= {new: part.images[old] for old, new in ids.items()}
        counts |= {new: part.rows[old].stop - part.rows[old].start for old, new in ids.items()}
        renumbered.append(ids)
    parts = [part.people for part in labels]
    people = People(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(People)))
    pooled = replace(labels[0], images=images, people=people, rows=_spans(counts), others=None, stated_ids={})
    return pooled, renumbered


def _spans(counts: Mapping[int, int]) -> dict[int, slice]:
    """By image id, the slice of rows of each photo. counts: number of rows by image id; photos follow each other."""
    rows, end = {}, 0
    for image_id, count in counts.items():
        rows[image_id] = slice(end, end + count)
        end += count
    return rows


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    """A one-dimensional array of any objects, lists included."""
    return np.fromiter(values, np.object_, len(values))
