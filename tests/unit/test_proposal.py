"""Limbs, OKS constants and sizes from labels, each against another formula."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.labels import Labels
from bpnet_cli.data.plausible import make_plausible
from bpnet_cli.errors import DataError
from bpnet_cli.inspection.limbs import mean_distances, spanning_limbs
from bpnet_cli.inspection.proposal import propose_skeleton, propose_values
from bpnet_cli.inspection.sigmas import measured_sigmas
from bpnet_cli.pose.skeleton import groups_of
from bpnet_cli.spec.loader import load_spec

NAMES = ("left_hip", "right_hip", "tail", "left_ear", "right_ear")


def labels_of(tmp_path: Path, people: np.ndarray, names: tuple[str, ...] = NAMES, **category: Any) -> Labels:
    """people: (N, P, K, 3), N photos of 400 x 500 with P people each."""
    annotations = [
        {"id": 1 + len(people[0]) * i + j, "image_id": i, "category_id": 1, "keypoints": person.reshape(-1).tolist()}
        for i, photo in enumerate(people)
        for j, person in enumerate(photo)
    ]
    category = {"id": 1, "name": "cat", "keypoints": names, **category}
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 400, "width": 500} for i in range(len(people))]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return make_plausible(read_coco_file(path))


def some_people(count: int, keypoints: int = 5, per_photo: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mean = rng.uniform(100, 300, (keypoints, 2))
    points = mean + rng.normal(0, 8, (count, per_photo, keypoints, 2))
    return np.concatenate([points, np.full((count, per_photo, keypoints, 1), 2.0)], axis=-1)


def every_tree(count: int) -> Any:
    """All spanning trees, from all Pruefer sequences."""
    for sequence in itertools.product(range(count), repeat=count - 2):
        degree = [1 + sequence.count(i) for i in range(count)]
        edges = []
        for node in sequence:
            leaf = next(i for i in range(count) if degree[i] == 1)
            edges.append((leaf, node))
            degree[leaf] -= 1
            degree[node] -= 1
        edges.append(tuple(i for i in range(count) if degree[i] == 1))
        yield edges


@pytest.mark.parametrize("seed", range(5))
def test_limbs_are_the_shortest_of_all_trees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (6, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    found = spanning_limbs(distances)
    shortest = min(sum(distances[edge] for edge in tree) for tree in every_tree(6))
    assert sum(distances[limb] for limb in found) == pytest.approx(shortest)
    assert len(groups_of(6, found)) == 1
    starts, centre = {a for a, _ in found}, int(distances.mean(axis=1).argmin())
    assert centre in starts
    assert centre not in {b for _, b in found}  # limbs point away from the centre


def test_given_limbs_are_kept_and_the_rest_is_joined_to_them() -> None:
    distances = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    found = spanning_limbs(distances, [(0, 4), (1, 2)])
    assert len(found) == 2
    assert len(groups_of(5, [(0, 4), (1, 2), *found])) == 1
    assert spanning_limbs(distances, [(0, 1), (1, 2), (2, 3), (3, 4)]) == []


def test_keypoints_that_nobody_has_together_are_not_joined() -> None:
    distances = np.array([[0, 1, np.inf], [1, 0, np.inf], [np.inf, np.inf, 0]])
    assert {frozenset(limb) for limb in spanning_limbs(distances)} == {frozenset((0, 1))}
    assert groups_of(3, [(0, 1)]) == [[0, 1], [2]]


def test_distances_are_in_sizes_of_people_and_alike_on_both_sides() -> None:
    people = some_people(30)[:, 0]
    people[:, 3, 2] = 0  # nobody has a left ear
    flip = np.array([1, 0, 2, 4, 3])
    distances = mean_distances(people, flip)
    scaled = people * [3.0, 3.0, 1.0]
    assert mean_distances(scaled, flip) == pytest.approx(distances)
    assert distances == pytest.approx(distances[np.ix_(flip, flip)])
    assert not np.isfinite(distances[3, 4])  # the two ears are never there together
    assert distances[3, 2] == distances[4, 2]  # from the right ear's


@pytest.mark.parametrize("true", [0.02, 0.05])
def test_constants_come_back_from_people_who_are_labelled_twice(tmp_path: Path, true: float) -> None:
    people = some_people(120)
    area = 150.0**2
    rng = np.random.default_rng(1)
    again = people.copy()
    # d^2 / s^2 has the mean sigma^2; each of the two coordinates has half of it.
    again[..., :2] += rng.normal(0, true * np.sqrt(area / 2), again[..., :2].shape)
    again[::20, :, 2, :2] += 60  # some labels are simply wrong
    labels = labels_of(tmp_path, np.concatenate([people, again], axis=1))
    labels.people.areas[:] = area
    found, twice = measured_sigmas(labels)
    assert 110 <= twice <= 120  # a wrong label can move a box away
    assert set(found) == set(NAMES)
    assert found["left_hip"] == found["right_hip"]
    assert list(found.values()) == pytest.approx([true] * 5, rel=0.2)
    right = np.delete(np.arange(120), np.s_[::20])
    squares = ((people - again)[right][..., :2] ** 2).sum(axis=-1) / area
    assert found["tail"] == pytest.approx(np.sqrt(squares[..., 2].mean()), rel=0.2)  # COCO's formula, without the wrong


def test_neighbours_and_copies_are_not_the_same_person_labelled_twice(tmp_path: Path) -> None:
    people = some_people(40)
    copies = np.concatenate([people, people], axis=1)
    assert measured_sigmas(labels_of(tmp_path, copies)) == ({}, 0)
    beside = people + np.array([40.0, 0.0, 0.0])
    assert measured_sigmas(labels_of(tmp_path, np.concatenate([people, beside], axis=1))) == ({}, 0)
    few = np.concatenate([people[:4], people[:4] + np.array([1.0, 1.0, 0.0])], axis=1)
    assert measured_sigmas(labels_of(tmp_path, few)) == ({}, 4)


def test_a_skeleton_takes_the_files_limbs_and_says_what_it_added(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, some_people(10), skeleton=[[1, 3], [3, 2], [2, 9], [1, 1], "x"])
    assert any("pairs in `skeleton` that are not two of its 5 keypoints: 3 (first: [2, 9])" in n for n in labels.notes)
    values, lines = propose_skeleton(labels, "cat")
    assert values["limbs"][:2] == [["left_hip", "tail"], ["tail", "right_hip"]]
    assert len(values["limbs"]) == 4
    assert values["flip_pairs"] == [["left_hip", "right_hip"], ["left_ear", "right_ear"]]
    assert values["sigmas"] == dict(zip(NAMES, (0.107, 0.107, 0.05, 0.035, 0.035), strict=True))
    assert lines[0].startswith("limbs: 2 from the file's `skeleton`; 2 more join keypoints that are near to each other")
    assert "0.05 for tail" in lines[1]


def test_limbs_may_be_pairs_of_names(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, some_people(10), skeleton=[["tail", "left_hip"], ["tail", "foot"], "tail"])
    assert labels.limbs == ((2, 0),)
    assert any('that are not two of its 5 keypoints: 2 (first: [3, "foot"])' in note for note in labels.notes)


def test_limbs_that_count_from_0_are_read_as_such(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, some_people(10), skeleton=[[0, 2], [2, 1]])
    assert labels.limbs == ((0, 2), (2, 1))
    assert any("count from 0" in note for note in labels.notes)


def test_a_keypoint_that_nobody_has_and_one_that_is_alone_are_told(tmp_path: Path) -> None:
    people = some_people(10)
    people[:, :, 2] = 0
    people[:5, :, 3:] = 0
    people[5:, :, :3] = 0
    _, lines = propose_skeleton(labels_of(tmp_path, people), "cat")
    assert "keypoints that nobody has: tail; the network can't learn them" in lines
    assert sum("because nobody has both" in line for line in lines) == 2
    people[:, :, 1:] = 0
    people[5:, :, 1] = people[:5, :, 0]
    people[5:, :, 0] = 0
    with pytest.raises(DataError, match="no person has two labelled keypoints"):
        propose_skeleton(labels_of(tmp_path, people), "cat")


def test_one_keypoint_needs_no_limb(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, some_people(10, 1), ("tip",))
    assert propose_skeleton(labels, "pen").values["limbs"] == []
    values = propose_values(labels, load_spec("quickstart")).values
    assert values["dataset.min_keypoints"] == 1
    assert values["inference.decode.person_threshold"] == 0.1


def test_sizes_fit_the_people(tmp_path: Path) -> None:
    base = load_spec("quickstart")
    people = some_people(40)
    people[:10, :, 3:] = 0
    labels = labels_of(tmp_path, people)
    values = propose_values(labels, base).values
    assert values["dataset.min_keypoints"] == 3
    boxes = labels.people.boxes
    wide = np.quantile(boxes[:, 2] / boxes[:, 3], 0.75)
    assert values["augmentation.person_height"] == pytest.approx(0.9 / max(1, wide), abs=0.01)
    # At this input height, people are as high as in a crop of a scale in the middle of its range.
    in_crop = 160 * values["augmentation.person_height"] * np.sqrt(0.65 * 1.6)
    at_inference = np.quantile(boxes[:, 3], 0.5) * values["inference.input_height"] / 400
    assert at_inference == pytest.approx(in_crop, rel=0.06)
    small = labels_of(tmp_path, people * [0.1, 0.1, 1.0])
    assert propose_values(small, base).values["dataset.min_area_px"] < 1024
    assert "inference.input_height" not in propose_values(labels, load_spec("finetune")).values
