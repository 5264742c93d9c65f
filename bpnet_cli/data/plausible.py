"""Whether boxes, areas and coordinates can be true: many tools write something else than COCO means, or nothing.

What can be computed is computed, and a line says so. A file that seems to mean other numbers is refused with the
suspicion, because guessing wrong would spoil training and AP without a sign.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import AREA_OF_BOX, Labels, Problem, select, summarise
from bpnet_cli.data.masks import region_box
from bpnet_cli.errors import DataError

BOX_MADE = "boxes made from the keypoints, because there are none in the file (without keypoints: from the region)"
AREA_MADE = (
    f"areas taken as {AREA_OF_BOX} x the box, because those in the file can't be true beside the boxes (AP is not"
    " comparable with COCO's)"
)
NOTHING = "annotations left out: no box, no region and no labelled keypoint"
PERCENT = "all keypoints are within the first 100 pixels of larger photos: are they percent of the photo's size?"
ASTRAY = "people whose box doesn't hold their keypoints: do boxes and keypoints belong to the same photo?"
# A box from keypoints goes beyond them by this share of their longer extent. So its area is that of COCO's boxes in the
# median (1.01 over 2,428 people). A single keypoint has no extent: its box gets this share of the photo's longer side.
_MARGIN, _ALONE = 0.1, 0.05
# Possible ratios of a person's area to the box. In COCO they are 0.12 to 0.95. A box from keypoints may be much smaller
# than the person.
_AREA_OF_BOX, _AREA_OF_MADE_BOX = (0.02, 1.5), (0.005, np.inf)
# Possible median ratios. An area is a part of the box.
_MEDIAN_AREA_OF_BOX = (0.05, 1.2)
# So many people are enough to judge a file, and boxes that differ in area by this factor can't all have the same area.
_ENOUGH, _VARIED = 5, 1.5
# Keypoints may be outside of a correct box by this many pixels and this share of their extent.
_TOLERANCE_PX, _TOLERANCE = 2.0, 0.1
# If boxes are corners, almost all of them are proper corners inside of the photo, and many leave the photo as COCO's
# boxes. In either case, half of the people at least have a box that holds their keypoints (in COCO: 0.9; if its boxes
# are read as corners: 0.06 have, and 0.25 are proper corners).
_MOST, _HALF, _FEW = 0.95, 0.5, 0.05
# A box that begins near the photo's top left corner is almost the same with both meanings.
_APART = 0.25
_PERCENT_PHOTO, _PERCENT_POINTS = 200, 20


def make_plausible(labels: Labels) -> Labels:
    """The labels with boxes and areas that can be true, and with lines on what was changed in `notes`.

    - A box of width or height 0 is made from the labelled keypoints, or without them from the region.
    - Areas that can't be true beside the boxes become `AREA_OF_BOX` times the box. If most can't, all are replaced.

    Raises DataError, which names the suspicion: everybody is a crowd; coordinates are shares of the photo; boxes are
    corners or centres.
    """
    sizes = photo_sizes(labels)
    try:
        _refuse_crowds(labels)
        _refuse_shares(labels)
        _refuse_other_boxes(labels, sizes)
    except DataError as error:
        raise DataError(f"{labels.path}: {error}") from None
    notes = _suspicions(labels, sizes)
    labels, made, more = _with_boxes(labels, sizes)
    areas, lines = _possible_areas(labels, made)
    people = replace(labels.people, areas=areas)
    return replace(labels, people=people, notes=(*labels.notes, *notes, *summarise([*more, *lines])))


def photo_sizes(labels: Labels) -> NDArray[np.float64]:
    """(P, 2) float64 width and height in pixels of the photo of each of the people."""
    sizes = np.zeros((len(labels.people), 2))
    for image, rows in zip(labels.images.values(), labels.rows.values(), strict=True):
        sizes[rows] = image.width, image.height
    return sizes


def _refuse_crowds(labels: Labels) -> None:
    crowds = labels.people.crowds
    if len(crowds) and crowds.all():
        raise DataError(
            f"all {len(crowds)} annotations are crowds (iscrowd: 1), so nobody is left to find; set iscrowd to 0 for"
            " each annotation of a single person"
        )


def _refuse_shares(labels: Labels) -> None:
    people = labels.people
    points = people.keypoints[people.keypoints[..., 2] > 0][:, :2]
    boxes = people.boxes[(people.boxes[:, 2:] > 0).all(axis=1)]
    corners = boxes[:, :2] + boxes[:, 2:]
    for name, values in (("keypoints", points), ("boxes", np.concatenate([boxes, corners], axis=1))):
        if values.size and 0 < values.max() <= 1.001 and values.min() >= 0 and (values % 1).any():
            raise DataError(
                f"the {name} are from {values.min():.3g} to {values.max():.3g}: they look like shares of the photo;"
                " multiply x by its width and y by its height, because all lengths must be in pixels"
            )


def _extents(people: Any) -> NDArray[np.float64]:
    """(P, 4) float64 x0, y0, x1, y1 of the labelled keypoints; NaN without any."""
    known = np.where(people.keypoints[..., 2:] > 0, people.keypoints[..., :2], np.nan)
    low = np.where(np.isnan(known), np.inf, known).min(axis=1, initial=np.inf)
    high = np.where(np.isnan(known), -np.inf, known).max(axis=1, initial=-np.inf)
    extents = np.concatenate([low, high], axis=1)
    return np.where(np.isfinite(extents), extents, np.nan)


def _refuse_other_boxes(labels: Labels, sizes: NDArray[np.float64]) -> None:
    people = labels.people
    low, sides = people.boxes[:, :2], people.boxes[:, 2:]
    tells = people.labelled & (sides > 0).all(axis=1) & (low > np.maximum(_TOLERANCE_PX, _APART * sides)).any(axis=1)
    if not tells.any():
        return
    boxes, extents, sizes = people.boxes[tells], _extents(people)[tells], sizes[tells]
    near, far = boxes[:, :2], boxes[:, 2:]
    as_sizes = _holding(near, near + far, extents)
    leaving = (near + far > sizes + 1).any(axis=1)
    corners = (far <= sizes + 1).all(axis=1) & (far > near).all(axis=1)
    centred = _holding(near - far / 2, near + far / 2, extents)
    if min(corners.mean() / _MOST, _holding(near, far, extents).mean() / _HALF, leaving.mean() / _FEW) >= 1:
        meaning = "corners x1, y1, x2, y2"
    elif len(boxes) >= _ENOUGH and as_sizes.mean() < _HALF <= centred.mean():
        meaning = "centre x, centre y, width, height"
    else:
        return
    first = int((leaving if leaving.any() else ~as_sizes).argmax())
    place, box = people.places[tells][first], boxes[first].tolist()
    raise DataError(
        f"{place}: bbox {box}: the boxes look like {meaning}; COCO's are x, y of the top left corner, width, height"
    )


def _holding(low: NDArray[np.float64], high: NDArray[np.float64], extents: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(P,) bool: whether boxes, given by two corners, hold the extents of keypoints."""
    tolerance = _TOLERANCE_PX + _TOLERANCE * (extents[:, 2:] - extents[:, :2]).max(axis=1, keepdims=True)
    return np.asarray(((extents[:, :2] >= low - tolerance) & (extents[:, 2:] <= high + tolerance)).all(axis=1))


def _suspicions(labels: Labels, sizes: NDArray[np.float64]) -> list[str]:
    """Lines on what is possible, but unlikely."""
    people, lines = labels.people, []
    points = people.keypoints[people.keypoints[..., 2] > 0][:, :2]
    large = len(sizes) and sizes.min() > _PERCENT_PHOTO
    if large and len(points) >= _PERCENT_POINTS and points.min() >= 0 and points.max() <= 100 and (points % 1).any():
        lines.append(PERCENT)
    boxed = people.labelled & (people.boxes[:, 2:] > 0).all(axis=1)
    boxes = people.boxes[boxed]
    holding = _holding(boxes[:, :2], boxes[:, :2] + boxes[:, 2:], _extents(people)[boxed])
    if len(boxes) >= _ENOUGH and holding.mean() < _HALF:
        lines += summarise([Problem(ASTRAY, place) for place in people.places[boxed][~holding]])
    return lines


def box_around(points: NDArray[np.float64], height: int, width: int) -> list[float]:
    """The box x, y, width, height of somebody with these (N, 2) labelled points in a photo of height x width pixels.

    It has a margin, see `_MARGIN`, but is not larger than the photo and the points.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * (high - low).max() or _ALONE / 2 * max(height, width)
    size = np.array([width, height], float)
    low, high = np.maximum(low - margin, np.minimum(low, 0)), np.minimum(high + margin, np.maximum(high, size))
    return [*low.tolist(), *(high - low).tolist()]


def _with_boxes(labels: Labels, sizes: NDArray[np.float64]) -> tuple[Labels, NDArray[np.bool_], list[Problem]]:
    """The labels with a box for everybody, (P,) bool which were made, and the problems."""
    people = labels.people
    absent = np.asarray((people.boxes[:, 2:] <= 0).any(axis=1))
    if not absent.any():
        return labels, absent, []
    boxes, kept = people.boxes.copy(), np.ones(len(people), np.bool_)
    problems = []
    for row in np.flatnonzero(absent):
        width, height = sizes[row].astype(int).tolist()
        points, place = people.keypoints[row], str(people.places[row])
        if people.labelled[row]:
            box: list[float] | None = box_around(points[points[:, 2] > 0, :2], height, width)
        else:
            box = region_box(people.regions[row], f"{labels.path}: {place}", height, width)
        boxes[row], kept[row] = box or 0, box is not None
        problems.append(Problem(BOX_MADE if box else NOTHING, place))
    labels = replace(labels, people=replace(people, boxes=boxes))
    return select(labels, labels.images, kept), absent[kept], problems


def _possible_areas(labels: Labels, made: NDArray[np.bool_]) -> tuple[NDArray[np.float64], list[Problem]]:
    """(P,) areas in square pixels, and the problems. made: (P,) bool, whose box is made from keypoints."""
    people = labels.people
    sides = people.boxes[:, 2] * people.boxes[:, 3]
    stated = np.asarray((people.areas > 0) & (sides > 0))
    ratio = np.where(stated, people.areas / np.maximum(sides, 1e-9), np.nan)
    low, high = (
        np.where(made, of_made, of_box) for of_made, of_box in zip(_AREA_OF_MADE_BOX, _AREA_OF_BOX, strict=True)
    )
    wrong = np.asarray(stated & ((ratio < low) | (ratio > high)) & ~people.crowds)
    own = stated & ~people.crowds
    if own.sum() >= _ENOUGH:
        median = np.median(ratio[own & ~made]) if (own & ~made).any() else AREA_OF_BOX
        alike = len(set(people.areas[own].tolist())) == 1 and sides[own].max() > _VARIED * sides[own].min()
        if alike or not _MEDIAN_AREA_OF_BOX[0] <= median <= _MEDIAN_AREA_OF_BOX[1]:
            wrong = stated
    if wrong[own].sum() > own.sum() / 2:
        wrong = stated
    problems = [Problem(AREA_MADE, str(place)) for place in people.places[wrong]]
    return np.where(wrong, AREA_OF_BOX * sides, people.areas), problems
