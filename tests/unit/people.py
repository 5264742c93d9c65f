"""People and maps that tests of the decoder share."""

import numpy as np

from bpnet_cli.pose.decode import DecodeOptions
from bpnet_cli.pose.skeleton import BODY_18, Skeleton

NOWHERE = DecodeOptions(person_threshold=0.0, min_keypoints=1)

# A standing person in pixels around the hips, in BODY_18's order.
STANDING = np.array(
    [
        [0, -56], [0, -42], [-15, -42], [-21, -21], [-23, -3], [15, -42], [21, -21], [23, -3], [-9, 0],
        [-10, 30], [-10, 60], [9, 0], [10, 30], [10, 60], [-4, -60], [4, -60], [-9, -58], [9, -58],
    ],
    dtype=np.float32,
)  # fmt: skip

FISH = Skeleton(
    name="fish",
    keypoints=("head", "belly", "tail", "fin"),
    limbs=(("tail", "belly"), ("belly", "head"), ("belly", "fin")),
    flip_pairs=(),
    sigmas=(0.05,) * 4,
)
SWIMMING = np.array([[30, 0], [0, 2], [-35, 0], [-2, 20]], np.float32)


def people_at(*places, shape=STANDING):
    """(P, K, 3) people with all keypoints labelled; places: x, y, scale."""
    people = [np.column_stack([shape * scale + (x, y), np.full(len(shape), 2)]) for x, y, scale in places]
    return np.array(people, np.float32)


def crowd(count):
    """`count` people of several sizes on a 736 x 1312 input."""
    rng = np.random.default_rng(count)
    places = [((i % 14 + 0.5) * 93, (i // 14 + 0.5) * 92, rng.uniform(0.45, 0.6)) for i in range(count)]
    return people_at(*places)


def assert_same_people(found, keypoints, tolerance=1.0):
    """Every labelled person is found once, every labelled keypoint within `tolerance` pixels, and no other."""
    assert len(found) == len(keypoints)
    left = list(found)
    for person in keypoints:
        labelled = person[:, 2] > 0
        errors = [
            np.hypot(*(one.keypoints[labelled, :2] - person[labelled, :2]).T).max()
            if np.array_equal(one.found, labelled)
            else np.inf
            for one in left
        ]
        assert min(errors) < tolerance
        del left[int(np.argmin(errors))]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a.keypoints, b.keypoints, equal_nan=True) and a.score == b.score
        for a, b in zip(first, second, strict=True)
    )


def hostile(kind, height, width):
    rng = np.random.default_rng(7)
    heatmaps = rng.random((height, width, BODY_18.heatmap_channels), np.float32)
    pafs = rng.uniform(-1, 1, (height, width, BODY_18.paf_channels)).astype(np.float32)
    if kind == "zero":
        return heatmaps * 0, pafs * 0
    if kind == "one":
        return heatmaps * 0 + 1, pafs * 0 + 1
    if kind == "plateaus":
        return np.round(heatmaps * 8) / 8, np.round(pafs * 4) / 4
    if kind == "nan":
        return np.where(heatmaps < 0.1, np.nan, heatmaps), np.where(pafs < -0.8, np.nan, pafs)
    if kind == "all nan":
        return heatmaps * np.nan, pafs * np.nan
    if kind == "infinite":
        return np.where(heatmaps < 0.1, np.inf, heatmaps), np.where(pafs < -0.8, -np.inf, pafs)
    if kind == "huge":
        return heatmaps * np.float32(1e38), pafs * np.float32(1e38)
    return heatmaps, pafs
