"""Tracking: ids that people keep over frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bpnet_cli.data.film import paint_film
from bpnet_cli.pose.options import TrackOptions
from bpnet_cli.pose.person import Person, labelled_persons
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS
from bpnet_cli.pose.tracking import Tracker, parts_of_others
from tests.unit.people import STANDING

COCO_SIGMAS = [BODY_18.sigmas[BODY_18.keypoints.index(name)] for name in COCO_KEYPOINTS]
AT_ONCE = TrackOptions(start_sightings=1)


def standing(x: float, y: float = 200.0, scale: float = 1.0) -> Person:
    return Person(np.column_stack([STANDING * scale + (x, y), np.full(18, 0.9)]).astype(np.float32), 1.0)


def ids_of(
    tracker: Tracker, persons: Sequence[Person], seconds: float, weak: Sequence[Person] = ()
) -> list[int | None]:
    return [person.id for person in tracker.update(persons, seconds, weak)]


def walked(tracker: Tracker, speed: float, seconds: float, rate: float = 25.0) -> None:
    """One person, id 1, who starts at x = 100."""
    for frame in range(round(seconds * rate) + 1):
        assert ids_of(tracker, [standing(100 + speed * frame / rate)], frame / rate) == [1]


def test_people_who_cross_keep_their_ids() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    for frame in range(100):
        persons = [standing(4 * frame), standing(400 - 4 * frame, 205)]
        if frame % 2:
            assert ids_of(tracker, persons[::-1], frame / 25) == [2, 1]
        else:
            assert ids_of(tracker, persons, frame / 25) == [1, 2]


def test_an_id_is_given_after_the_first_sightings_and_a_single_false_person_gets_none() -> None:
    tracker = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=3))
    assert [ids_of(tracker, [standing(100)], i / 25) for i in range(3)] == [[None], [None], [1]]
    assert ids_of(tracker, [standing(100), standing(400)], 0.16) == [1, None]
    assert ids_of(tracker, [standing(100)], 0.2) == [1]
    assert [ids_of(tracker, [standing(100), standing(400)], 0.24 + i / 25)[1] for i in range(3)] == [None, None, 2]


def test_what_is_not_the_id_stays() -> None:
    person = standing(100)
    (tracked,) = Tracker(BODY_18.sigmas, AT_ONCE).update([person], 0.0)
    assert tracked.keypoints is person.keypoints
    assert (tracked.score, tracked.id, person.id) == (person.score, 1, None)


def test_weak_people_continue_tracks_and_start_none() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    walked(tracker, speed=50, seconds=1)
    assert ids_of(tracker, [], 1.04, weak=[standing(400), standing(152)]) == [1]
    # The strong person is first, and the weak one, who is nearer, has nothing left to continue.
    assert ids_of(tracker, [standing(160)], 1.08, weak=[standing(154)]) == [1]
    assert tracker.update([], 1.12, weak=[standing(400)]) == []


def test_weak_people_keep_a_track_alive_for_longer_than_lost_seconds() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    tracker.update([standing(100)], 0.0)
    for frame in range(1, 150):
        assert ids_of(tracker, [], frame / 25, weak=[standing(100)]) == [1]
    assert ids_of(tracker, [standing(100)], 6.0) == [1]


@pytest.mark.parametrize("speed", [0.0, 60.0])
def test_hidden_for_two_seconds_keeps_the_id_and_for_longer_than_lost_seconds_does_not(speed: float) -> None:
    for gap, expected in ((2.0, 1), (3.2, 2)):
        tracker = Tracker(BODY_18.sigmas, AT_ONCE)
        walked(tracker, speed, seconds=1)
        for frame in range(26, round(25 * (1 + gap))):
            assert ids_of(tracker, [], frame / 25) == []
        assert ids_of(tracker, [standing(100 + speed * (1 + gap))], 1 + gap) == [expected]


def test_lost_seconds_is_the_time_after_which_a_track_ends() -> None:
    tracker = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=1, lost_seconds=0.5))
    walked(tracker, 0, seconds=1)
    for frame in range(26, 40):
        tracker.update([], frame / 25)
    assert ids_of(tracker, [standing(100)], 1.6) == [2]


def test_people_who_hide_behind_the_same_wall_and_cross_come_out_with_their_own_ids() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    for frame in range(100):
        t = frame / 25
        persons = [standing(100 + 60 * t), standing(340 - 60 * t, 203)]
        if 1.2 <= t < 2.8:
            assert ids_of(tracker, [], t) == []
        else:
            assert ids_of(tracker, persons, t) == [1, 2]


def test_a_person_who_turned_round_while_hidden_keeps_the_id_by_stay() -> None:
    for stay, expected in ((0.7, 1), (0.0, 2)):
        tracker = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=1, stay=stay, drift_rate=0.1))
        walked(tracker, speed=90, seconds=1)
        for frame in range(26, 75):
            tracker.update([], frame / 25)
        assert ids_of(tracker, [standing(190)], 3.0) == [expected]


@pytest.mark.parametrize(
    ("option", "low", "high", "drift_rate"),
    [
        ("drift", 0.02, 0.3, 0.05),
        ("drift_rate", 0.0, 1.0, 0.05),
        ("drift_seconds", 0.0, 3.0, 0.2),
        ("velocity_seconds", 0.3, 30.0, 0.05),
    ],
)
def test_larger_values_bring_back_people_who_are_not_where_they_were_last_seen(
    option: str, low: float, high: float, drift_rate: float
) -> None:
    base = {"stay": 0.0, "drift": 0.02, "drift_rate": drift_rate, "velocity_seconds": 1.0}
    for value, expected in ((low, 2), (high, 1)):
        tracker = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=1, **{**base, option: value}))
        for frame in range(26):
            tracker.update([standing(100 + 2.4 * frame)], frame / 25)
        assert ids_of(tracker, [], 1.04) == []
        assert ids_of(tracker, [standing(100 + 60 * 2.5)], 2.5) == [expected]


def test_least_similarity_refuses_other_shapes() -> None:
    for least, expected in ((0.01, 1), (0.5, 2)):
        tracker = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=1, least_similarity=least))
        walked(tracker, 0, seconds=1)
        assert ids_of(tracker, [standing(100, scale=0.7)], 1.04) == [expected]


def test_smooth_seconds_takes_the_noise_out_of_the_velocity() -> None:
    """A person who trembles by 6 pixels, and is then hidden for two seconds, has not walked away."""
    for smooth, expected in ((0.01, 2), (0.5, 1)):
        options = TrackOptions(start_sightings=1, smooth_seconds=smooth, stay=0.0, drift_rate=0.2)
        tracker = Tracker(BODY_18.sigmas, options)
        for frame in range(26):
            assert ids_of(tracker, [standing(100 + 6 * (frame % 2))], frame / 25) == [1]
        tracker.update([], 1.04)
        assert ids_of(tracker, [standing(103)], 3.0) == [expected]


def test_motion_follows_time_stamps_not_frames() -> None:
    """A person who walks through a film with frames of any length."""
    rng = np.random.default_rng(3)
    tracker, seconds = Tracker(BODY_18.sigmas, AT_ONCE), 0.0
    for _ in range(60):
        assert ids_of(tracker, [standing(100 + 120 * seconds), standing(900 - 120 * seconds)], seconds) == [1, 2]
        seconds += float(rng.choice([0.02, 0.04, 0.04, 0.1, 0.5]))


def test_time_stamps_that_repeat_or_go_back_let_no_time_pass() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    walked(tracker, speed=0, seconds=1)
    for seconds in (1.0, 1.0, 0.2, -5.0, -5.0, -4.96):
        assert ids_of(tracker, [standing(100)], seconds) == [1]
    assert ids_of(tracker, [], -4.96) == []
    assert ids_of(tracker, [standing(100)], -4.96) == [1]
    assert [len(tracker.update([standing(100)] * n, -4.92)) for n in (0, 1, 3)] == [0, 1, 3]


def test_film_with_a_frame_in_five_seconds_has_tracks() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    assert [ids_of(tracker, [standing(100), standing(300)], 5.0 * i) for i in range(4)] == [[1, 2]] * 4


def test_missing_keypoints_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    for frame in range(60):
        persons = []
        for person in (standing(100 + 2 * frame), standing(340 - 2 * frame, 210)):
            keypoints = np.where(rng.random((18, 1)) < 0.5, np.float32(np.nan), person.keypoints)
            persons.append(Person(keypoints, 1.0))
        assert ids_of(tracker, persons, frame / 25) == [1, 2]


def test_people_without_keypoints_get_ids_of_their_own() -> None:
    nowhere = Person(np.full((18, 3), np.nan, np.float32), 0.0)
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    assert ids_of(tracker, [standing(100), nowhere], 0.0) == [1, 2]
    assert ids_of(tracker, [nowhere, standing(100)], 0.04) == [3, 1]


def test_memory_stays_bounded_where_people_come_and_go() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    last = [tracker.update([standing(200.0 * (frame % 97))], frame / 25)[0].id for frame in range(1000)]
    assert len(set(last)) > 100
    assert len(tracker._tracks) < 80  # a new person in each frame of three seconds


def truth_of(seed: int, people: int, seconds: float) -> list[list[tuple[int, Person]]]:
    frames = paint_film(np.random.default_rng(seed), people, round(25 * seconds), 72, 128)
    return [[(one.id, labelled_persons(one.keypoints[None])[0]) for one in seen] for _, seen in frames]


def idf1(truth: list[list[tuple[int, Person]]]) -> float:
    """IDF1 of the tracker on perfect people: 2 x frames with the right id / frames of both sides.

    A person's right id is the one that it has most often. Greedy, so it is never more than IDF1.
    """
    tracker = Tracker(COCO_SIGMAS)
    counts = np.zeros((20, 60))
    listed = given = 0
    for frame, people in enumerate(truth):
        for (name, _), found in zip(people, tracker.update([person for _, person in people], frame / 25), strict=True):
            listed += 1
            if found.id is not None:
                given += 1
                counts[name, found.id] += 1
    right = 0.0
    while counts.max() > 0:
        name, key = np.unravel_index(counts.argmax(), counts.shape)
        right += counts[name, key]
        counts[name], counts[:, key] = 0, 0
    return 2 * right / (listed + given)


def test_drawn_people_keep_their_ids() -> None:
    assert np.mean([idf1(truth_of(seed, people, 6)) for seed, people in ((0, 2), (1, 4))]) > 0.95


def colours(*values: int) -> np.ndarray:
    """One colour for all limbs of each person."""
    return np.stack([np.full((19, 3), value, float) for value in values])


def test_colours_tell_apart_who_comes_out_of_a_hiding_place() -> None:
    """Two people walk towards each other and stop behind a wall; then one of them comes out on the left side.

    By motion that is the one who came from the right. By its colours it is the other one, who has turned round.
    """
    for look, expected in ((None, 2), (60, 2), (200, 1)):
        tracker = Tracker(BODY_18.sigmas, AT_ONCE)
        for frame in range(50):
            persons = [standing(100 + 3 * frame), standing(500 - 3 * frame)]
            tracker.update(persons, frame / 25, looks=None if look is None else colours(200, 60))
        looks = None if look is None else colours(look)
        assert ids_of_looks(tracker, [standing(270)], 3.2, looks) == [expected]


def ids_of_looks(tracker: Tracker, persons: list[Person], seconds: float, looks: np.ndarray | None) -> list[int | None]:
    return [person.id for person in tracker.update(persons, seconds, looks=looks)]


def test_unknown_colours_change_nothing() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    assert ids_of_looks(tracker, [standing(100)], 0.0, colours(90)) == [1]
    assert ids_of_looks(tracker, [standing(101)], 0.04, np.full((1, 19, 3), np.nan)) == [1]
    assert ids_of_looks(tracker, [standing(102)], 0.08, None) == [1]
    assert ids_of_looks(tracker, [standing(103)], 0.12, colours(91)) == [1]


def test_weak_people_do_not_take_over_the_track_of_a_hidden_person() -> None:
    tracker = Tracker(BODY_18.sigmas, AT_ONCE)
    walked(tracker, speed=0, seconds=1)
    assert tracker.update([], 1.5, weak=[standing(100)]) == []
    assert ids_of(tracker, [standing(100)], 1.54) == [1]


def test_a_loose_part_of_a_person_is_known_as_one() -> None:
    whole, other = standing(100), standing(300)
    leg, crouching = standing(100), standing(100, scale=0.4)
    leg.keypoints[:11] = np.nan
    assert parts_of_others([whole, leg, other, crouching]) == [False, True, False, False]
    assert parts_of_others([]) == []
