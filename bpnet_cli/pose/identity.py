"""Who is who, by colours: ids that went to the wrong person are put right, and people who come back are known again.

Places and motion lead from frame to frame. Where people cross, ids may go to the wrong person. Colours tell, as soon as
people are seen for a few frames again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.pose.options import TrackOptions

Array = NDArray[np.float64]
# The look of an identity is a mean over about so many sightings; the look of a track is one over about so many.
_LONG, _SHORT = 100, 4
# From so many sightings on, a track is judged, an identity is known, and one that was lost can be found again.
_JUDGED, _KNOWN, _FOUND_AGAIN = 3, 5, 10
# An identity with at most so many sightings may be an old one that came back.
_YOUNG = 12
# With fewer limbs in common, colours tell nothing.
FEWEST_LIMBS = 3
# At most so many changes in a frame.
_CHANGES = 4


@dataclass
class Identity:
    """A person.

    look: (L, 3) colours over a long time; NaN: never seen. number: the id; None until the person has one. sightings: in
    which the look was learnt. seen: when the person was lost, in the tracker's seconds.
    """

    look: Array
    number: int | None = None
    sightings: int = 0
    seen: float = 0.0

    @property
    def known(self) -> bool:
        """Whether the look tells this person from others."""
        return self.sightings >= _KNOWN


class Seen(Protocol):
    """A track. identity: whose it is. recent: (L, 3) colours over the last frames, of so many sightings."""

    identity: Identity
    recent: Array
    recent_sightings: int


class _Change(NamedTuple):
    """A track takes an identity. gain: how much better it fits. holder: the track that has it; None: nobody has it."""

    gain: float
    track: Seen
    identity: Identity
    holder: Seen | None = None


class _Scene(NamedTuple):
    """The tracks of a frame, and all identities: first theirs, in the same order, then those of absent people.

    holders: by absent identity, its track; None: gone. distances: (tracks, identities) differences of colours.
    """

    tracks: Sequence[Seen]
    identities: Sequence[Identity]
    holders: Sequence[Seen | None]
    distances: Array


@dataclass
class Identities:
    """Puts identities right, and remembers those of people who are not there any more."""

    options: TrackOptions
    gone: list[Identity] = field(default_factory=list)
    last_number: int = 0

    def name(self, identity: Identity) -> None:
        """Give the next number to an identity."""
        self.last_number += 1
        identity.number = self.last_number

    def look_at(self, track: Seen, look: Array) -> None:
        """Take in the (L, 3) colours of a track's person in a frame in which nobody is in front of the person."""
        track.recent_sightings += 1
        track.recent = mixed(track.recent, look, max(1 / track.recent_sightings, 1 / _SHORT))
        identity = track.identity
        if (
            identity.sightings < _SHORT
            or not differences(track.recent[None], identity.look[None])[0, 0] > self.options.same_colours
        ):
            identity.sightings += 1
            identity.look = mixed(identity.look, look, max(1 / identity.sightings, 1 / _LONG))

    def remember(self, identity: Identity, seen: float) -> None:
        """Keep the identity of a person who was lost at this time, seconds."""
        if identity.sightings > _YOUNG:
            identity.seen = seen
            self.gone.append(identity)

    def put_right(self, seen: Sequence[Seen], unseen: Sequence[Seen], clock: float) -> None:
        """Give tracks of this frame the identities that their colours fit best, where that is clear.

        seen, unseen: tracks with an id of people in this frame, and of people who are hidden. A hidden track whose
        identity a seen one takes gets an identity without a number. clock: seconds.
        """
        self.gone = [one for one in self.gone if one.seen > clock - self.options.remember_seconds]
        judged = [track for track in seen if track.recent_sightings >= _JUDGED]
        for _ in range(_CHANGES):
            scene = self._scene(judged, [track for track in unseen if track.identity.number is not None])
            changes = [*self._swaps(scene), *self._returns(scene)] or [*self._strangers(scene)]
            best = max(changes, key=lambda change: change.gain, default=None)
            if best is None:
                return
            self._apply(best, judged, clock)

    def _apply(self, change: _Change, judged: Sequence[Seen], clock: float) -> None:
        own, holder = change.track.identity, change.holder
        if change.identity.number is None:
            self.name(change.identity)
        change.track.identity = change.identity
        if holder is not None and any(holder is track for track in judged):
            holder.identity = own
            return
        self.gone = [one for one in self.gone if one is not change.identity]
        self.remember(own, clock)
        if holder is not None:
            holder.identity = Identity(np.full_like(own.look, np.nan))

    def _scene(self, judged: Sequence[Seen], hidden: Sequence[Seen]) -> _Scene:
        identities = [track.identity for track in (*judged, *hidden)] + self.gone
        distances = np.zeros((0, len(identities)))
        if judged:
            looks = np.stack([identity.look for identity in identities])
            distances = differences(np.stack([track.recent for track in judged]), looks)
        return _Scene(judged, identities, [*hidden, *(None for _ in self.gone)], distances)

    def _swaps(self, scene: _Scene) -> Iterator[_Change]:
        """Pairs of tracks in this frame that both fit better with their identities exchanged."""
        count = len(scene.tracks)
        among = scene.distances[:, :count]
        better = among.diagonal()[:, None] - among  # of track i, with the identity of track j
        gains = better + better.T - 2 * self.options.clear_difference
        for i, j in np.argwhere((np.minimum(better, better.T) > 0) & (gains > 0)).tolist():
            yield _Change(float(gains[i, j]), scene.tracks[i], scene.identities[j], scene.tracks[j])

    def _returns(self, scene: _Scene) -> Iterator[_Change]:
        """Tracks in this frame that fit better with the identity of somebody who is hidden or gone.

        If a third person has nearly the same colours, nothing changes: in a team, colours don't tell who came back.
        """
        options, first = self.options, len(scene.tracks)
        for i, track in enumerate(scene.tracks):
            own, young = scene.distances[i, i], track.identity.sightings <= _YOUNG
            if not young and not own > options.alike_colours:
                continue
            others = np.delete(scene.distances[i], i)
            for j, holder in enumerate(scene.holders, first):
                theirs, identity = scene.distances[i, j], scene.identities[j]
                gain = options.alike_colours - theirs if young else own - theirs - options.clear_difference
                alone = (others < theirs + options.clear_difference).sum() <= 1  # itself
                if gain > 0 and alone and identity.sightings >= _FOUND_AGAIN:
                    yield _Change(float(gain), track, identity, holder)

    def _strangers(self, scene: _Scene) -> Iterator[_Change]:
        """Tracks in this frame whose colours are those of nobody known: they get a new identity."""
        for i, track in enumerate(scene.tracks):
            own = scene.distances[i, i]
            if track.identity.sightings >= _FOUND_AGAIN and own > self.options.strange_colours:
                yield _Change(float(own), track, Identity(track.recent.copy(), sightings=1))


def mixed(old: Array, new: Array, share: float) -> Array:
    """old + share * (new - old); where one of both is NaN, the other."""
    between = old + share * (new - old)
    return np.where(np.isnan(between), np.where(np.isnan(new), old, new), between)


def differences(a: Array, b: Array) -> Array:
    """(A, B) the median difference of looks over the limbs that both have; NaN if they are too few. a, b: (N, L, 3)."""
    distances = np.sort(np.linalg.norm(a[:, None] - b[None], axis=-1), axis=-1)  # NaN comes last
    count = (~np.isnan(distances)).sum(axis=-1)
    places = np.stack([np.maximum(count - 1, 0) // 2, count // 2 * (count > 0)], axis=-1)
    middle = np.take_along_axis(distances, np.minimum(places, distances.shape[-1] - 1), axis=-1).mean(axis=-1)
    return np.where(count >= FEWEST_LIMBS, middle, np.nan)
