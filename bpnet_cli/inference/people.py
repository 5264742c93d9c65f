"""The people of photos and frames: found, followed over time, limited in number, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.inference.blur import blur_faces, face_points
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.inference.looks import looks_of
from bpnet_cli.inference.options import InferOptions
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.smoothing import Smoother
from bpnet_cli.pose.tracking import Tracker, parts_of_others


@dataclass(frozen=True)
class Found:
    """The people of one photo or frame: `strong` ones are for the results, `weak` ones have a lower score.

    looks: for tracking, the colours of both, one after the other, see `looks_of`.
    """

    strong: Sequence[Person]
    weak: Sequence[Person] = ()
    looks: NDArray[np.float32] | None = None


class People:
    """From images to people and pictures, as a run's options say.

    Raises BpnetError where faces are to be blurred and the skeleton has none.
    """

    def __init__(self, predictor: Predictor, options: InferOptions) -> None:
        self.predictor, self.options = predictor, options
        self.skeleton = predictor.backend.metadata.skeleton
        if options.blur_faces:
            face_points(self.skeleton)

    def find(self, images: Sequence[NDArray[np.uint8]]) -> list[Found]:
        """The people of some images, (H, W, 3) uint8 RGB, the surest first."""
        return [
            self._sorted(image, people)
            for image, people in zip(images, self.predictor.everyone_in(images), strict=True)
        ]

    def _sorted(self, image: NDArray[np.uint8], people: Sequence[Person]) -> Found:
        least = self.predictor.min_person_score
        strong, weak = [p for p in people if p.score >= least], [p for p in people if p.score < least]
        looks = looks_of(image, [*strong, *weak], self.skeleton) if self.options.track else None
        return Found(strong, weak, looks)

    def limited(self, persons: Sequence[Person]) -> list[Person]:
        """The people, or `max_people` of them, in their order."""
        most = self.options.max_people
        if most is None or len(persons) <= most:
            return list(persons)
        value = _area if self.options.keep == "largest" else _score
        kept = sorted(range(len(persons)), key=lambda place: -value(persons[place]))[:most]
        return [persons[place] for place in sorted(kept)]

    def picture(
        self, image: NDArray[np.uint8], persons: Sequence[Person], found: Found, transparent: bool
    ) -> NDArray[np.uint8]:
        """The picture of an image and its people, (H, W, 3) uint8 RGB; (H, W, 4) RGBA where it is transparent.

        persons: the people to draw. found: everyone; the faces of weak people are blurred too. transparent: the people
        alone are on nothing, not on black.
        """
        options = self.options
        if options.blur_faces and options.draw != "skeleton":
            image = blur_faces(image, [*persons, *found.strong, *found.weak], self.skeleton)
        if options.draw == "none":
            return image
        alone: Literal["transparent", "black"] = "transparent" if transparent else "black"
        return draw_persons(
            image,
            self.predictor.shown(persons),
            self.skeleton,
            colour=options.colour,
            background="photo" if options.draw == "photo" else alone,
            show_ids=options.show_ids,
            show_scores=options.show_scores,
        )


class Followed:
    """The people of a video, frame by frame: with ids and smoothed, where the options say so."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._tracker = Tracker(people.skeleton.sigmas) if people.options.track else None
        self._smoother = Smoother() if people.options.smooth else None

    def update(self, found: Found, seconds: float) -> list[Person]:
        """The people of the next frame, for the results. seconds: its time stamp."""
        persons = list(found.strong)
        if self._tracker is not None:
            persons = self._tracked(self._tracker, found, seconds)
        if self._smoother is not None:
            persons = self._smoother.update(persons, seconds)
        return self._people.limited(persons)

    def _tracked(self, tracker: Tracker, found: Found, seconds: float) -> list[Person]:
        """All strong people, those of a track with an id, and the weak people who continue a track."""
        everyone = [*found.strong, *found.weak]
        least = self._people.predictor.min_track_score
        parts = parts_of_others(everyone)
        starting = [i for i, person in enumerate(everyone) if person.score >= least and not parts[i]]
        others = [i for i in range(len(everyone)) if i not in starting]
        looks = None if found.looks is None else found.looks[[*starting, *others]]
        persons = tracker.update([everyone[i] for i in starting], seconds, [everyone[i] for i in others], looks)
        known = {id(person.keypoints) for person in persons}
        return persons + [person for person in found.strong if id(person.keypoints) not in known]


def _area(person: Person) -> float:
    _, _, width, height = person.box
    return width * height


def _score(person: Person) -> float:
    return person.score
