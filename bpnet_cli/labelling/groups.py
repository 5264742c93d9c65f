"""Which points and which box belong to one person, for tools that store them one by one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bpnet_cli.labelling.source import Box, Person, Point, UnclearError


class Mark(NamedTuple):
    """A point by itself. group: what its person's other points and box have too, or None. label: "" if unknown."""

    name: str
    point: Point
    group: Hashable = None
    label: str = ""


class Frame(NamedTuple):
    """A box around a person. group: see `Mark`."""

    label: str
    box: Box
    group: Hashable = None


@dataclass
class _Figure:
    """A person in the making."""

    label: str = ""
    box: Box | None = None
    points: dict[str, Point] = field(default_factory=dict)

    def add(self, mark: Mark) -> None:
        if mark.name in self.points:
            raise UnclearError(
                f"two points {mark.name!r} of one person; give each person's points a group, or a box around them"
            )
        self.points[mark.name] = mark.point
        self.label = self.label or mark.label

    def frame(self, frame: Frame) -> None:
        if self.box is not None:
            raise UnclearError(f"two boxes in the group {frame.group}")
        self.label, self.box = self.label or frame.label, frame.box


def people_of(marks: Sequence[Mark], frames: Sequence[Frame]) -> list[Person]:
    """People from points and boxes.

    Points and boxes of one group are one person. A box without a group belongs to the only group whose points it holds;
    else it is a person by itself, with the points without a group that it holds. In a photo without any box or group,
    all points are one person.
    Raises UnclearError where this leaves a point or a box without a person, or gives a person two points of one name.
    """
    grouped: dict[Hashable, _Figure] = {}
    for mark in marks:
        if mark.group is not None:
            grouped.setdefault(mark.group, _Figure()).add(mark)
    for frame in frames:
        if frame.group is not None:
            grouped.setdefault(frame.group, _Figure()).frame(frame)
    loose = [mark for mark in marks if mark.group is None]
    own = [_Figure(frame.label, frame.box) for frame in _place([f for f in frames if f.group is None], grouped)]
    if loose and not frames and not grouped:
        own = [_Figure()]
    for mark in loose:
        (own[0] if not frames and not grouped else _holder(mark, own)).add(mark)
    return [Person(figure.label, figure.points, figure.box) for figure in (*grouped.values(), *own)]


def _place(frames: Sequence[Frame], grouped: dict[Hashable, _Figure]) -> list[Frame]:
    """Give boxes to the groups without one whose points they hold. Returns the boxes that hold none."""
    rest = list(frames)
    while True:
        held = [[f for f in grouped.values() if f.box is None and _fits(frame, f)] for frame in rest]
        clear = next((i for i, figures in enumerate(held) if len(figures) == 1), None)
        if clear is not None:
            held[clear][0].frame(rest.pop(clear))
        elif any(held):
            raise UnclearError("a box holds the points of several groups; give the box the group of its points")
        else:
            return rest


def _fits(frame: Frame, figure: _Figure) -> bool:
    return figure.label in ("", frame.label) and all(_holds(frame.box, point) for point in figure.points.values())


def _holder(mark: Mark, figures: Sequence[_Figure]) -> _Figure:
    """The only person without a group whose box holds a point. Raises UnclearError."""
    holding = [figure for figure in figures if figure.box is not None and _holds(figure.box, mark.point)]
    if len(holding) != 1:
        where = "outside of all boxes" if not holding else f"in {len(holding)} boxes"
        raise UnclearError(f"the point {mark.name!r} has no group and is {where}")
    return holding[0]


def _holds(box: Box, point: Point) -> bool:
    x, y, width, height = box
    return x <= point.x <= x + width and y <= point.y <= y + height
