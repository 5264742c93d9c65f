"""AP over any choice of photos: an interval for AP, and AP by the number of people in a photo."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bpnet_cli.log import silenced

# With fewer photos, an interval would have no meaning: they say too little about other photos of their kind.
FEWEST = 6
_SEED = 0
# Groups of photos by the number of labelled people: name of the group, smallest and largest number.
GROUPS = (("1 person", 1, 1), ("2 or 3 people", 2, 3), ("4 to 8 people", 4, 8), ("9 people or more", 9, 10**9))


class Matches:
    """The matches of labels and detections in each photo, which can be summed up over any choice of photos.

    image_ids: ids of all photos. people: by image id, the number of labelled people.
    """

    def __init__(self, evaluation: Any, people: Mapping[int, int]) -> None:
        self.image_ids = list(evaluation.params.imgIds)
        self.people = people
        # COCOeval's list is ordered by size of person first, then by photo, and the first size is "all". So the first
        # entries, one for each photo, are those of all sizes.
        self._by_photo = dict(zip(self.image_ids, evaluation.evalImgs, strict=False))
        self._summary = copy.copy(evaluation)
        params = self._summary.params = copy.deepcopy(evaluation.params)
        params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        self._summary._paramsEval = params

    def ap(self, image_ids: Sequence[int]) -> float:
        """COCO's AP over these photos, 0 to 1; -1 where none of them has labelled people. An id may be repeated."""
        self._summary.params.imgIds = list(range(len(image_ids)))
        self._summary.evalImgs = [self._by_photo[image_id] for image_id in image_ids]
        with silenced():
            self._summary.accumulate()
        precision = self._summary.eval["precision"]
        return float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0


def bootstrap_interval(matches: Matches, share: float = 0.95, draws: int = 200) -> tuple[float, float]:
    """(low, high) bounds of AP on other photos of the same kind, by bootstrap: Efron's percentile interval.

    `draws` sets of photos are drawn with replacement, each as large as the original set. The bounds enclose the middle
    `share` of their AP. The draws are the same in every call.
    Returns (-1, -1) where nobody is labelled, and for fewer than `FEWEST` photos.
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
    """Rows (name of the group, number of photos, AP) for each group of `GROUPS`; empty groups are left out."""
    rows = []
    for name, fewest, most in GROUPS:
        chosen = [image_id for image_id in matches.image_ids if fewest <= matches.people[image_id] <= most]
        if chosen:
            rows.append((name, len(chosen), matches.ap(chosen)))
    return rows
