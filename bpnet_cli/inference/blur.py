"""Faces made unrecognisable, found by the keypoints of a person."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# Squares across the circle that covers a face. A face fills about two thirds of the circle: four squares.
CELLS = 6
# The radius of the circle in heads, chin to crown. Around the middle of eyes, nose and ears, the chin and the crown
# are half a head away. Without these points the place of the head is only estimated.
RADIUS, ESTIMATED_RADIUS = 0.65, 0.75
# How many heads, at most, the distance of two points is: a head is about 23 cm high, eyes are 6.3 cm apart, ears 15 cm,
# nose and ear 12 cm, neck and nose 24 cm, neck and shoulder 18 cm, neck and hip 51 cm. Seen from the side it is less.
_HEADS = {
    frozenset({"eye"}): 3.65,
    frozenset({"ear"}): 1.55,
    frozenset({"eye", "ear"}): 2.4,
    frozenset({"eye", "nose"}): 4.6,
    frozenset({"ear", "nose"}): 1.9,
}
_OTHER_FACE, _NECK_HEAD, _NECK_SHOULDER, _NECK_HIP = 2.0, 0.95, 1.25, 0.45
_WRONG = 2.0  # a head is not higher than this many heads of its body: one of the face points is somebody else's

_FARTHEST = 2.0**14  # pixels, more than any photo has

Point = NDArray[np.float64]

_PLACES = "left|right|l|r|upper|up|lower|low|middle|mid|top|bottom|front|inner|outer"
_FACE = "nose|eyebrow|eye|brow|ear|mouth|lip|chin|jaw|forehead|head|face|cheek|temple|nostril|pupil|iris|snout"
_ENDS = "tip|top|bottom|left|right|inner|outer|corner|lobe|base|cent[er]{2}|line|l|r"
_FACE_WORD = re.compile(f"(?:{_PLACES})*({_FACE})s?(?:{_ENDS})*")


@dataclass(frozen=True)
class FacePoints:
    """Indices of a skeleton's keypoints: face points by kind, and those that the face's place can be estimated from."""

    kinds: dict[int, str]
    neck: int | None
    shoulders: tuple[int, ...]
    hips: tuple[int, ...]


def face_points(skeleton: Skeleton) -> FacePoints:
    """Where the faces of a skeleton's people are, by the names of the keypoints.

    Raises BpnetError where no name is that of a point of the head, as nose, left_eye, REar, head_top, chin.
    """
    words = [_words(name) for name in skeleton.keypoints]
    kinds = {i: kind for i, name in enumerate(skeleton.keypoints) if (kind := _face_kind(name, skeleton.keypoints))}
    if not kinds:
        raise BpnetError(
            f"skeleton {skeleton.name}: faces can't be blurred, because no keypoint is named as a point of the head "
            f"(nose, eye, ear, mouth, chin, head ...); its keypoints are {', '.join(skeleton.keypoints)}"
        )

    def named(part: str) -> tuple[int, ...]:
        return tuple(i for i, own in enumerate(words) if i not in kinds and any(part in word for word in own))

    return FacePoints(kinds, next(iter(named("neck")), None), named("shoulder"), named("hip"))


def blur_faces(image_rgb: NDArray[np.uint8], persons: Sequence[Person], skeleton: Skeleton) -> NDArray[np.uint8]:
    """A copy of the photo in which the faces of these people can't be recognised, (H, W, 3) uint8 RGB.

    A circle around each face, from below the chin to above the hair, gets the mean colours of six squares across it.
    Where no face point of a person was found, the circle is where the shoulders and the neck say.
    image_rgb: (H, W, 3) uint8 RGB. persons: everybody who should not be recognised, weak people too; keypoints in the
    photo's pixels. Raises BpnetError where the skeleton has no face points.
    """
    points = face_points(skeleton)
    canvas = np.array(image_rgb, order="C")
    for person in persons:
        if (circle := face_circle(person, points, (canvas.shape[0], canvas.shape[1]))) is not None:
            _blur_circle(canvas, *circle)
    return canvas


def face_circle(person: Person, points: FacePoints, size: tuple[int, int]) -> tuple[tuple[float, float], float] | None:
    """Centre x, y and radius in pixels of the circle that covers a face; None where the person shows no head.

    size: height, width of the photo. It counts where a single keypoint was found.
    """
    at = {i: person.keypoints[i, :2].astype(np.float64) for i in np.flatnonzero(person.found).tolist()}
    face = {i: at[i] for i in points.kinds if i in at}
    shoulders, hips = ([at[i] for i in indices if i in at] for indices in (points.shoulders, points.hips))
    necks = [at[i] for i in (points.neck,) if i in at] or ([_mean(shoulders)] if shoulders else [])
    if not face and not necks:
        return None
    middles = [np.median(list(face.values()), axis=0)] if face else []
    body = [_NECK_HEAD * _distance(necks[0], middle) for middle in middles if necks]
    body += [_NECK_SHOULDER * _distance(necks[0], shoulder) for shoulder in shoulders]
    body += [_NECK_HIP * _distance(necks[0], hip) for hip in hips if necks]
    # The median, so that one point of another person doesn't count.
    own = sorted(body)[len(body) // 2] if body else 0.0
    seen = _head_of_face(face, points.kinds)
    head = max(own, min(seen, _WRONG * own) if own else seen)
    head = head or 0.35 * max(person.box[2:]) or 0.05 * float(np.hypot(*size))
    if not middles:
        centre, radius = necks[0] + 0.9 * head * _upwards(necks[0], shoulders, hips), ESTIMATED_RADIUS * head
    elif necks and {points.kinds[i] for i in face} <= {"head", "forehead"}:
        # The point may be the crown. The middle of the head is then about half way to the neck.
        centre = (middles[0] + necks[0]) / 2
        radius = max(RADIUS * head, 0.6 * _distance(middles[0], necks[0]))
    else:
        centre, radius = middles[0], RADIUS * head
    return (float(centre[0]), float(centre[1])), radius + 1


def _head_of_face(face: Mapping[int, Point], kinds: Mapping[int, str]) -> float:
    """The height of a head in pixels by the distances of its face points; 0 for a single point."""
    heads = [
        _HEADS.get(frozenset({kinds[i], kinds[j]}), _OTHER_FACE) * _distance(face[i], face[j])
        for i, j in combinations(face, 2)
    ]
    return max(heads, default=0.0)


def _upwards(neck: Point, shoulders: Sequence[Point], hips: Sequence[Point]) -> Point:
    """Unit vector from the neck to the head, as far as the other points show it; else up in the photo."""
    along = neck - _mean(hips) if hips else np.zeros(2)
    if not along.any() and len(shoulders) == 2:
        x, y = shoulders[0] - shoulders[1]
        along = np.array([y, -x]) if x > 0 else np.array([-y, x])
    length = float(np.hypot(*along))
    return along / length if length else np.array([0.0, -1.0])


def _blur_circle(canvas: NDArray[np.uint8], centre: tuple[float, float], radius: float) -> None:
    """Replace the inside of a circle, in place, by the mean colours of `CELLS` squares across it, smoothly mixed."""
    x, y = np.clip(centre, -_FARTHEST, _FARTHEST).tolist()
    radius = min(radius, _FARTHEST)
    height, width = canvas.shape[:2]
    left, top = max(0, math.floor(x - radius)), max(0, math.floor(y - radius))
    right, bottom = min(width, math.ceil(x + radius) + 1), min(height, math.ceil(y + radius) + 1)
    if left >= right or top >= bottom:
        return
    part = canvas[top:bottom, left:right]
    cell = 2 * radius / CELLS
    cells = max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell))
    means = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(means, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.circle(inside, (round(x) - left, round(y) - top), round(radius), 255, cv2.FILLED)
    cv2.copyTo(smooth, inside, part)


def _words(name: str) -> list[str]:
    """The words of a keypoint's name in small letters: `left_eye`, `LEye`, `left-eye1` and `Left Eye` hold "eye"."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _face_kind(name: str, names: Sequence[str]) -> str:
    """The part of the head that a keypoint is, such as "eye"; "" for a keypoint of the body."""
    for word in _words(name):
        # The hind legs of an animal are no right ear.
        if word == "rear" and "lear" not in (other.lower() for other in names):
            continue
        if match := _FACE_WORD.fullmatch(word):
            return match[1]
    return ""


def _mean(points: Sequence[Point]) -> Point:
    return np.asarray(np.mean(points, axis=0))


def _distance(a: Point, b: Point) -> float:
    return float(np.hypot(*(a - b)))
