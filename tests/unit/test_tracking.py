"""Tracking: ids that people keep over frames."""

from __future__ import annotations

import numpy as np

from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.pose.tracking import Tracker
from tests.unit.people import STANDING


def standing(x: float, y: float = 200.0, scale: float = 1.0) -> Person:
    return Person(np.column_stack([STANDING * scale + (x, y), np.full(18, 0.9)]).astype(np.float32), 1.0)


def test_people_who_cross_keep_their_ids() -> None:
    tracker = Tracker(BODY_18.sigmas)
    for frame in range(100):
        ids = [p.id for p in tracker.update([standing(4 * frame), standing(400 - 4 * frame, 205)], frame / 25)]
        assert ids == ([1, 2] if frame else [None, None])
