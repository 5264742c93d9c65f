"""What a reader of another tool's labels returns: photos with people, whatever the tool."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The label of people where a tool has no classes.
PERSON = "person"
# COCO's visibilities of labelled keypoints.
OCCLUDED, VISIBLE = 1, 2
# x, y of the top left corner, width, height.
Box = tuple[float, float, float, float]


class UnclearError(Exception):
    """A photo's labels can't be used. The text is the reason; the photo is left out, the others are not."""


class Point(NamedTuple):
    """A labelled keypoint: x, y, and visibility, which is 1 (occluded) or 2 (visible)."""

    x: float
    y: float
    visibility: int = VISIBLE


class Person(NamedTuple):
    """A person, or an animal or thing with keypoints.

    label: the name of its class in the tool; "" where it has none. points: by keypoint name; only those that are
    labelled.
    """

    label: str
    points: Mapping[str, Point]
    box: Box | None = None


class Photo(NamedTuple):
    """A photo, or a frame of a video, with its people.

    name: as the tool writes it, with folders and perhaps with backslashes. people: in pixels of the photo as a viewer
    shows it, or in shares of its width and height. size: (height, width) of the photo that was labelled; None: unknown.
    any_ending: whether the name has no ending, so that a photo with any ending is meant. frame: number from 0, where
    the photo is a frame and `name` that of the video. pixels: where the labels hold the frame, returns it as (H, W, 3)
    uint8 RGB; raises DataError. problem: why the labels can't be used; "": they can.
    """

    name: str
    people: Sequence[Person] = ()
    size: tuple[int, int] | None = None
    shares: bool = False
    any_ending: bool = False
    frame: int | None = None
    pixels: Callable[[], NDArray[np.uint8]] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Source:
    """The labels of a file or folder.

    folder: where the photos are, if the user doesn't say it. keypoints: by label, the names in the tool's order; a
    label that is absent has the names of its people, in the order in which they appear. limbs: by label, pairs of
    names. unnamed: whether the tool gives no names, so that those in `keypoints` are only numbers. left_out: what was
    left out without its photo, and how often.
    """

    folder: Path
    photos: Sequence[Photo]
    keypoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limbs: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    unnamed: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_photo(name: str, make: Callable[[], Photo]) -> Photo:
    """What `make` returns, or a photo with the reason why that failed. name: of that photo.

    So one photo with a damaged entry doesn't end the reading of the others.
    """
    try:
        return make()
    except UnclearError as error:
        return Photo(name, problem=str(error))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return Photo(name, problem=f"damaged entry ({type(error).__name__}: {error})")


def number(value: Any) -> float:
    """A finite number, from a number or text. Raises ValueError."""
    result = float(value)
    if not math.isfinite(result):
        raise ValueError(f"{value} is not a finite number")
    return result


def pairs_in(value: Any) -> list[tuple[int | str, int | str]]:
    """The pairs of names or numbers in a list of limbs; anything else in it is no limb."""
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return [(a, b) for a, b in pairs if isinstance(a, int | str) and isinstance(b, int | str)]
