"""Ids that are put right by colours, as the tracker does it."""

from __future__ import annotations

import numpy as np
import pytest

from bpnet_cli.pose.identity import differences, mixed
from bpnet_cli.pose.options import TrackOptions
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.pose.tracking import Tracker
from tests.unit.test_tracking import standing

RED, BLUE, GREEN = (120.0, 200.0, 160.0), (90.0, 150.0, 60.0), (150.0, 70.0, 180.0)
ALIKE = (124.0, 196.0, 163.0)  # hardly another red


def look(colour: tuple[float, ...]) -> np.ndarray:
    return np.tile(np.asarray(colour, np.float32), (19, 1))


class Film:
    """Frames of a tracker, 25 a second."""

    def __init__(self) -> None:
        self.tracker, self.frame = Tracker(BODY_18.sigmas, TrackOptions(start_sightings=1)), 0

    def show(self, frames: int, *people: tuple[float, tuple[float, ...]]) -> list[int | None]:
        """The ids in the last of these frames. people: x of standing people, and their colours."""
        ids: list[int | None] = []
        for _ in range(frames):
            persons: list[Person] = [standing(x) for x, _ in people]
            looks = np.stack([look(colour) for _, colour in people]) if people else np.zeros((0, 19, 3))
            ids = [p.id for p in self.tracker.update(persons, self.frame / 25, looks=looks)]
            self.frame += 1
        return ids


def test_ids_that_changed_sides_unseen_come_back_to_their_colours() -> None:
    film = Film()
    assert film.show(40, (200, RED), (500, BLUE)) == [1, 2]
    # In one frame, both change places: by place alone, the ids stay behind.
    assert film.show(1, (200, BLUE), (500, RED)) in ([1, 2], [2, 1])
    assert film.show(8, (200, BLUE), (500, RED)) == [2, 1]


def test_colours_that_hardly_differ_change_nothing() -> None:
    film = Film()
    assert film.show(40, (200, RED), (500, ALIKE)) == [1, 2]
    assert film.show(20, (200, ALIKE), (500, RED)) == [1, 2]


def test_a_person_who_comes_back_after_a_long_time_has_the_old_id() -> None:
    film = Film()
    assert film.show(40, (200, RED), (500, BLUE)) == [1, 2]
    film.show(250, (200, RED))  # ten seconds
    assert film.show(8, (210, RED), (50, BLUE)) == [1, 2]
    film.show(1750, (200, RED))  # more than remember_seconds
    assert film.show(8, (210, RED), (50, BLUE))[1] not in (1, 2, None)


def test_in_a_team_nobody_gets_the_id_of_somebody_who_left() -> None:
    film = Film()
    assert film.show(40, (100, RED), (350, RED), (600, BLUE)) == [1, 2, 3]
    film.show(120, (100, RED), (600, BLUE))
    assert film.show(10, (100, RED), (350, ALIKE), (600, BLUE))[1] not in (1, 2, 3, None)


def test_somebody_else_in_the_same_place_gets_an_id_of_their_own() -> None:
    film = Film()
    assert film.show(40, (200, RED)) == [1]
    assert film.show(12, (200, GREEN)) == [2]
    assert film.show(12, (200, RED)) == [1]


@pytest.mark.parametrize("count", [3, 4, 9])
def test_differences_are_medians_over_the_limbs_in_common(count: int) -> None:
    rng = np.random.default_rng(count)
    a, b = rng.uniform(0, 255, (4, 19, 3)), rng.uniform(0, 255, (5, 19, 3))
    a[:, count:] = np.nan
    b[1, :1] = np.nan
    for i, j in np.ndindex(4, 5):
        each = np.linalg.norm(a[i] - b[j], axis=-1)
        known = each[~np.isnan(each)]
        expected = np.median(known) if len(known) >= 3 else np.nan
        assert differences(a, b)[i, j] == pytest.approx(expected, nan_ok=True)


def test_what_one_of_both_looks_lacks_comes_from_the_other() -> None:
    old, new = np.array([1.0, np.nan, 3.0, np.nan]), np.array([2.0, 2.0, np.nan, np.nan])
    assert mixed(old, new, 0.25) == pytest.approx([1.25, 2.0, 3.0, np.nan], nan_ok=True)
