"""Tracking: people keep their ids from frame to frame, by the shape, place and motion of their keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.identity import FEWEST_LIMBS, Identities, Identity, mixed
from bpnet_cli.pose.options import TrackOptions
from bpnet_cli.pose.person import Person, body_size

Array = NDArray[np.float64]
# The square root of a person's area, for OKS, is this share of the body size. It is the median of standing people.
_ROOT_AREA = 0.5
# The similarity of shapes counts as if at least this many keypoints were in common.
_FEWEST = 2
# A person may have turned round who was not seen for this many seconds.
_STAYS_AFTER = 0.3
# `drift_rate` of people who turned round, relative to that of people who walk on.
_STAY_RATE = 1 / 3
# What is added to `drift_rate` where a person was seen only once: the speed is unknown. Body sizes per second.
_UNKNOWN_SPEED = 0.5

# Until a person's identity is known, its colours are means over about this share's inverse of sightings.
_COLOUR_SHARE = 0.05
# A loose part of a person has this share of its box inside of the person's box, and less than this share of keypoints.
_INSIDE, _FEWER = 0.7, 0.6
# With colours, people may be found farther from where they are expected: this factor of `least_similarity` is enough.
_WITH_COLOURS = 0.5


@dataclass
class _Track:
    """One person over time. Times are in seconds of the tracker's clock, lengths in pixels.

    keypoints: (K, 3) x, y, score as last seen. A keypoint that is not found moves along with the person. NaN: never
        found. velocity: (2,) pixels per second. identity: whose track it is; without a number until it has its id.
    look, recent: (L, 3) colours, see `Tracker.update`, of all sightings and of the last ones in which nobody was in
        front; NaN: never seen.
    """

    keypoints: Array
    seen: float
    velocity: Array
    look: Array
    recent: Array
    identity: Identity
    sightings: int = 0
    recent_sightings: int = 0

    @property
    def id(self) -> int | None:
        """The person's id; None until it has one."""
        return self.identity.number

    @property
    def known_look(self) -> Array:
        """The colours to tell the person from others by."""
        return self.identity.look if self.identity.known else self.look


def parts_of_others(persons: Sequence[Person]) -> list[bool]:
    """For each person, whether it looks like a loose part of another one: inside of its box, with fewer keypoints."""
    boxes = np.array([person.box for person in persons]).reshape(-1, 4)
    counts = np.array([person.found.sum() for person in persons])
    common, areas = _common_areas(boxes)
    inside = common > _INSIDE * areas[:, None]
    fewer = counts[:, None] < _FEWER * counts[None]
    loose: list[bool] = np.asarray((inside & fewer).any(axis=1)).tolist() if persons else []
    return loose


class Tracker:
    """Gives people ids, frame by frame. Ids are integers from 1; no two people get the same one.

    sigmas: K OKS constants of the skeleton.
    """

    def __init__(self, sigmas: Sequence[float], options: TrackOptions | None = None) -> None:
        self._sigmas = np.asarray(sigmas, np.float64)
        self._options = options or TrackOptions()
        self._tracks: list[_Track] = []
        self._clock = 0.0
        self._last_seconds: float | None = None
        self._coloured = False
        self._identities = Identities(self._options)

    def update(
        self,
        persons: Sequence[Person],
        seconds: float,
        weak: Sequence[Person] = (),
        looks: NDArray[np.floating[Any]] | None = None,
    ) -> list[Person]:
        """The people of the next frame with their ids: all of `persons` in their order, then some of `weak`.

        A person's id is None in its first sightings (`TrackOptions.start_sightings`). People in `weak` continue tracks
        with an id that nobody in `persons` continues. The others of `weak` are left out.
        seconds: the frame's time stamp. Where it is not larger than the last one, no time passes.
        looks: (P, L, 3) colours of persons and then of weak at L places of the body, in a space where distance is
            difference to the eye; NaN where unknown. People of the same place and shape are told apart by them.
        """
        known = np.full((len(persons) + len(weak), 1, 3), np.nan) if looks is None else np.asarray(looks, np.float64)
        self._coloured = looks is not None
        strong_looks, weak_looks = known[: len(persons)], known[len(persons) :]
        self._clock += 0.0 if self._last_seconds is None else max(seconds - self._last_seconds, 0.0)
        self._last_seconds = seconds
        matched = self._match(persons, strong_looks, self._tracks)
        taken = {id(track) for track in matched}
        free = [track for track in self._tracks if track.id is not None and id(track) not in taken]
        recent = self._clock - self._options.weak_seconds
        watched = [track for track in free if track.seen >= recent]
        pairs = list(zip(persons, strong_looks, matched, strict=True))
        weak_matched = self._match(weak, weak_looks, watched, self._options.weak_similarity)
        pairs += [pair for pair in zip(weak, weak_looks, weak_matched, strict=True) if pair[2] is not None]
        seen = [self._follow(t, person, look, i < len(persons)) for i, (person, look, t) in enumerate(pairs)]
        followed = {id(track) for track in seen}
        unseen = [track for track in free if id(track) not in followed]
        if self._coloured:
            self._identify(seen, [(person, look) for person, look, _ in pairs], unseen)
        # Matching comes first, so a film with few frames a second has tracks, too.
        oldest = self._clock - self._options.lost_seconds
        for track in unseen:
            if track.id is not None and track.seen <= oldest:
                self._identities.remember(track.identity, track.seen)
        self._tracks = seen + [track for track in unseen if track.id is not None and track.seen > oldest]
        return [replace(person, id=track.id) for (person, _, _), track in zip(pairs, seen, strict=True)]

    def _identify(
        self, seen: Sequence[_Track], found: Sequence[tuple[Person, Array]], unseen: Sequence[_Track]
    ) -> None:
        """Learn the colours of people whom others don't cover, and put ids right by them."""
        covered = _covered([person for person, _ in found])
        for track, (_, look), share in zip(seen, found, covered, strict=True):
            if share < self._options.most_covered:
                self._identities.look_at(track, look)
        self._identities.put_right([track for track in seen if track.id is not None], unseen, self._clock)

    def _match(
        self, persons: Sequence[Person], looks: Array, tracks: Sequence[_Track], least: float = 0.0
    ) -> list[_Track | None]:
        """The track that each person continues, or None. The most similar pairs come first.

        least: smallest similarity.
        """
        matched: list[_Track | None] = [None] * len(persons)
        if persons and tracks:
            left = self._similarities(persons, tracks) * self._likeness(looks, tracks)
            while left.max() > least:
                p, t = divmod(int(left.argmax()), len(tracks))
                matched[p] = tracks[t]
                left[p], left[:, t] = 0, 0
        return matched

    def _similarities(self, persons: Sequence[Person], tracks: Sequence[_Track]) -> Array:
        """(P, T) similarities, 0 to 1, of people to tracks; 0 where they can't belong together.

        A similarity has two factors: OKS of the shapes, laid one on the other, and the place. Both allow more after a
        gap. A place that had to be allowed more counts less.
        """
        options = self._options
        labels = np.stack([track.keypoints for track in tracks])
        gaps = np.array([self._clock - track.seen for track in tracks])
        sizes = np.array([body_size(track.keypoints) for track in tracks])
        moved, rest = _displacements(np.stack([person.keypoints for person in persons]), labels)
        alike = self._shapes(rest, _ROOT_AREA * sizes * (1 + np.minimum(gaps, 1)))
        seconds = options.velocity_seconds * (1 - np.exp(-gaps / options.velocity_seconds))
        ways = np.stack([track.velocity for track in tracks]) * seconds[:, None]
        new = np.array([track.sightings == 1 for track in tracks])
        drifts = (options.drift_rate + _UNKNOWN_SPEED * new) * np.minimum(gaps, options.drift_seconds)
        going = alike * _nearness(moved - ways, sizes * (options.drift + drifts))
        staying = alike * _nearness(moved, sizes * (options.drift + _STAY_RATE * drifts))
        least = options.least_similarity * (_WITH_COLOURS if self._coloured else 1)
        score = np.maximum(going, options.stay * (gaps > _STAYS_AFTER) * staying)
        weights = np.sqrt(options.drift / (options.drift + drifts))
        return np.where(score < least, 0, score * weights)

    def _likeness(self, looks: Array, tracks: Sequence[_Track]) -> Array:
        """(P, T) how alike the colours of people and tracks are, `least_likeness` to 1; 1 where too few are known."""
        options = self._options
        differences = np.linalg.norm(looks[:, None] - np.stack([track.known_look for track in tracks]), axis=-1)
        count = (~np.isnan(differences)).sum(axis=-1)
        middle = np.take_along_axis(np.sort(differences, axis=-1), np.maximum(count - 1, 0)[..., None] // 2, axis=-1)
        alike = np.exp(-(middle[..., 0] ** 2) / (2 * options.colour_difference**2))
        least = options.least_likeness
        return np.where(count < FEWEST_LIMBS, 1.0, least + (1 - least) * alike)

    def _shapes(self, rest: Array, scales: Array) -> Array:
        """(P, T) mean OKS of the common keypoints. rest: (P, T, K, 2) pixels. scales: (T,) roots of areas, pixels."""
        similarity = np.exp(-(rest**2).sum(axis=-1) / (2 * (2 * self._sigmas * scales[:, None]) ** 2))
        common = (~np.isnan(similarity)).sum(axis=-1)
        return np.asarray(np.nan_to_num(similarity, nan=0.0).sum(axis=-1) / np.maximum(common, _FEWEST))

    def _follow(self, track: _Track | None, person: Person, look: Array, strong: bool) -> _Track:
        """The track after it has seen this person; a new one for None. strong: not a weak person."""
        keypoints = person.keypoints.astype(np.float64)
        if track is None:
            nothing = np.full_like(look, np.nan)
            track = _Track(keypoints, self._clock, np.zeros(2), look, nothing, Identity(nothing))
        else:
            self._move(track, keypoints, strong)
            track.look = mixed(track.look, look, _COLOUR_SHARE)
        track.seen = self._clock
        track.sightings += 1
        if track.id is None and track.sightings >= self._options.start_sightings:
            self._identities.name(track.identity)
        return track

    def _move(self, track: _Track, keypoints: Array, strong: bool) -> None:
        """Take over new keypoints, and learn from those of strong people how fast the person moves."""
        shifts = keypoints[:, :2] - track.keypoints[:, :2]
        shift = np.sort(shifts, axis=0)[(np.count_nonzero(~np.isnan(shifts[:, 0])) - 1) // 2]
        gap = self._clock - track.seen
        if gap > 0 and strong:
            share = max(1 - np.exp(-gap / self._options.smooth_seconds), 1 / track.sightings)
            track.velocity = track.velocity + share * (shift / gap - track.velocity)
        absent = np.isnan(keypoints[:, 2])
        keypoints[absent] = track.keypoints[absent]
        keypoints[absent, :2] += shift
        track.keypoints = keypoints


def _covered(persons: Sequence[Person]) -> Array:
    """(P,) the largest share of each person's box that the box of another one covers."""
    boxes = np.array([person.box for person in persons]).reshape(-1, 4)
    common, areas = _common_areas(boxes)
    np.fill_diagonal(common, 0)
    return np.asarray((common / areas[:, None]).max(axis=1, initial=0))


def _common_areas(boxes: Array) -> tuple[Array, Array]:
    """(P, P) areas that boxes have in common, and their own areas (P,). boxes: (P, 4) x, y, width, height."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    common = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    return common.clip(min=0).prod(axis=-1), np.maximum(boxes[:, 2:], 1).prod(axis=1)


def _nearness(misses: Array, drifts: Array) -> Array:
    """(P, T) 0 to 1. misses: (P, T, 2) distance from the expected place. drifts: (T,) standard deviations. Pixels."""
    return np.asarray(np.exp(-(misses**2).sum(axis=-1) / (2 * drifts**2)))


def _displacements(found: NDArray[np.floating[Any]], labels: Array) -> tuple[Array, Array]:
    """How far people are from tracks, as (P, T, 2) medians over keypoints, and (P, T, K, 2) the rest of each keypoint.

    found: (P, K, 3), labels: (T, K, 3). The rest is NaN where one of both lacks the keypoint. The median is infinite
    where they have no keypoint in common.
    """
    difference = found[:, None, :, :2] - labels[None, :, :, :2]
    count = (~np.isnan(difference[..., 0])).sum(axis=-1)
    place = np.maximum(count - 1, 0)[..., None, None] // 2
    middle = np.take_along_axis(np.sort(difference, axis=2), place, axis=2)
    return np.nan_to_num(middle[:, :, 0], nan=np.inf), difference - middle
