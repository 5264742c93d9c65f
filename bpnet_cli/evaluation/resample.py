"""AP over chosen photos: how far it is to be trusted, and how it depends on the number of people."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bpnet_cli.log import silenced

# A handful of photos resembles others of its kind too little for an interval to mean anything.
FEWEST = 6
_SEED = 0
# Labelled people per photo: name of the group, fewest, most.
GROUPS = (("1 person", 1, 1), ("2 or 3 people", 2, 3), ("4 to 8 people", 4, 8), ("9 people or more", 9, 10**9))


class Matches:
    """What an evaluation matched in each photo, to be summed up over any choice of photos.

    image_ids: of all its photos. people: labelled people in each of them.
    """

    def __init__(self, evaluation: Any, people: Mapping[int, int]) -> None:
        self.image_ids = list(evaluation.params.imgIds)
        self.people = people
        # Sizes are the outer order of COCOeval's list, and the first of them is "all".
        self._by_photo = dict(zip(self.image_ids, evaluation.evalImgs, strict=False))
        self._summary = copy.copy(evaluation)
        params = self._summary.params = copy.deepcopy(evaluation.params)
        params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        self._summary._paramsEval = params

    def ap(self, image_ids: Sequence[int]) -> float:
        """COCO's AP over these photos, of which some may come several times; -1 where they show nobody."""
        self._summary.params.imgIds = list(range(len(image_ids)))
        self._summary.evalImgs = [self._by_photo[image_id] for image_id in image_ids]
        with silenced():
            self._summary.accumulate()
        precision = self._summary.eval["precision"]
        return float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0


def bootstrap_interval(matches: Matches, share: float = 0.95, draws: int = 200) -> tuple[float, float]:
    """The middle `share` of the AP of `draws` sets of as many photos, drawn with replacement; (low, high).

    Source: Efron's percentile interval. The draws are the same in every call. (-1, -1) where nobody is
    labelled, and for fewer than `FEWEST` photos, of which drawing tells nothing about others.
    """
    if len(matches.image_ids) < FEWEST:
        return -1.0, -1.0
    rng = np.random.default_rng(_SEED)
    image_ids = np.asarray(matches.image_ids)
    drawn = [matches.ap(image_ids[rng.integers(0, len(image_ids), len(image_ids))].tolist()) for _ in range(draws)]
    tail = (1 - share) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return float(low), float(high)


def ap_by_people(matches: Matches) -> list[tuple[str, int, float]]:
    """Group, its photos and their AP, for photos with one, few and many labelled people; empty groups are left out."""
    rows = []
    for name, fewest, most in GROUPS:
        chosen = [image_id for image_id in matches.image_ids if fewest <= matches.people[image_id] <= most]
        if chosen:
            rows.append((name, len(chosen), matches.ap(chosen)))
    return rows
