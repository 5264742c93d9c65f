"""Synthetic films: people who walk, and the truth beside the film."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from bpnet_cli.data import synthetic_video
from bpnet_cli.data.film import LEAST_VISIBLE, RATE, Seen, paint_film
from bpnet_cli.data.synthetic_video import generate_video
from bpnet_cli.data.walk import SPEEDS, sample_gait, walk, walking_pose
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS

HEIGHT, WIDTH = 90, 160
K = {name: i for i, name in enumerate(COCO_KEYPOINTS)}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("film")
    truth = generate_video(directory, 2, people=(4, 4), height=HEIGHT, width=WIDTH, seed=2)
    assert truth == directory / "film.mp4.jsonl"
    return directory


@pytest.fixture(scope="module")
def lines(film: Path) -> list[dict]:
    return [json.loads(line) for line in (film / "film.mp4.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def long() -> list[list[Seen]]:
    """What is seen in eight seconds of five people."""
    return [seen for _, seen in paint_film(np.random.default_rng(5), 5, 8 * RATE, HEIGHT, WIDTH)]


def test_truth_has_the_form_of_infer_s_results_for_videos(lines: list[dict]) -> None:
    header, *frames = lines
    assert header["model"] == {"file": None, "name": "synthetic", "seed": 2}
    assert header["skeleton"]["keypoints"] == list(BODY_18.keypoints)
    assert [frame["frame"] for frame in frames] == list(range(2 * RATE))
    assert [frame["seconds"] for frame in frames] == [i / RATE for i in range(2 * RATE)]
    assert {(f["file"], f["width"], f["height"]) for f in frames} == {("film.mp4", WIDTH, HEIGHT)}
    people = [person for frame in frames for person in frame["persons"]]
    assert {person["id"] for person in people} <= {1, 2, 3, 4}
    for person in people:
        points = np.array([point for point in person["keypoints"] if point is not None])
        x, y, width, height = person["box"]
        assert (x, y) == pytest.approx(points[:, :2].min(axis=0), abs=0.02)
        assert (x + width, y + height) == pytest.approx(points[:, :2].max(axis=0), abs=0.03)
        assert set(points[:, 2]) <= {1, 2}


def test_the_film_shows_what_the_painter_drew(film: Path, lines: list[dict]) -> None:
    with av.open(str(film / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.height, stream.width) == (Fraction(RATE), HEIGHT, WIDTH)
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    rng = np.random.default_rng(2)
    painted = list(paint_film(rng, int(rng.integers(4, 4, endpoint=True)), 2 * RATE, HEIGHT, WIDTH))
    assert len(shown) == len(painted) == len(lines) - 1
    for i in (0, 20, 49):
        assert np.abs(shown[i].astype(int) - painted[i][0]).mean() < 12
        assert [seen.id for seen in painted[i][1]] == [person["id"] for person in lines[i + 1]["persons"]]


def test_people_move_smoothly_keep_their_ids_and_swing_their_limbs(long: list[list[Seen]]) -> None:
    before: dict[int, np.ndarray] = {}
    strides = []
    for seen in long:
        now = {one.id: one.keypoints for one in seen}
        for key in now.keys() & before.keys():
            step = now[key][:, :2] - before[key][:, :2]
            # A body is about 45 pixels high. Nobody's hips jump.
            assert np.linalg.norm(step[[K["left_hip"], K["right_hip"]]], axis=1).max() < 3
        strides += [np.linalg.norm(k[K["left_ankle"], :2] - k[K["right_ankle"], :2]) for k in now.values()]
        before = now
    assert np.percentile(strides, 90) > 8
    assert np.percentile(strides, 10) < 5


def test_people_are_hidden_and_come_back_and_some_are_partly_hidden(long: list[list[Seen]]) -> None:
    frames = {key: [i for i, seen in enumerate(long) if key in {one.id for one in seen}] for key in range(1, 6)}
    gaps = [b - a - 1 for there in frames.values() for a, b in pairwise(there) if b > a + 1]
    assert len(gaps) >= 3
    assert RATE / 2 < max(gaps) < 4 * RATE
    visible = np.array([(one.keypoints[:, 2] == 2).sum() for seen in long for one in seen])
    assert visible.min() == LEAST_VISIBLE
    assert visible.max() > 11


def test_keypoints_that_others_hide_keep_their_place(long: list[list[Seen]]) -> None:
    """Nobody's visibility changes the place: distances within the body go on without jumps."""
    hidden = 0
    for before, after in pairwise(long):
        earlier = {one.id: one.keypoints for one in before}
        for one in after:
            if one.id in earlier:
                changed = (one.keypoints[:, 2] == 1) & (earlier[one.id][:, 2] == 2)
                step = one.keypoints[changed, :2] - earlier[one.id][changed, :2]
                assert (np.abs(step) < 8).all()
                hidden += int(changed.sum())
    assert hidden > 20


def test_the_standing_foot_does_not_slide() -> None:
    """Of a person who walks steadily, the lower foot stays where it is on the ground."""
    rng = np.random.default_rng(0)
    steps = walk(rng, (-8.0, 4.0), lambda rng, z: (8.0, 4.0, 0.0), 100, RATE)[50:]
    gait = sample_gait(rng)
    ways = []
    for a, b in pairwise(steps):
        feet = []
        for step in (a, b):
            legs = walking_pose(step, gait).legs
            feet.append([0.245 * (thigh + shin) for thigh, shin, _ in (legs[1], legs[-1])])
        stands = int(np.argmin([foot[1] for foot in feet[0]]))
        ways.append((b.x - a.x) + (feet[1][stands][2] - feet[0][stands][2]))
    walked = steps[-1].x - steps[0].x
    assert walked > SPEEDS[0]
    assert abs(np.sum(ways)) < 0.1 * walked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0}, "seconds: must be at least 0.04, one frame"),
        ({"people": (0, 2)}, "people: must be two numbers"),
        ({"width": 10}, "at least 64 pixels"),
    ],
)
def test_refuses_impossible_arguments(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(BpnetError, match=message):
        generate_video(tmp_path / "film", **{"seconds": 1, **arguments})
    assert not (tmp_path / "film").exists()


def test_a_film_in_a_very_narrow_picture_is_drawn(tmp_path: Path) -> None:
    assert len(generate_video(tmp_path, 0.2, height=640, width=64).read_text().splitlines()) == 6


def test_the_same_arguments_give_the_same_truth_and_others_another_one(tmp_path: Path) -> None:
    texts = [
        generate_video(tmp_path / str(i), 0.2, height=HEIGHT, width=WIDTH, seed=seed).read_text()
        for i, seed in enumerate((0, 0, 1))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_refuses_a_film_that_exists_unless_told_to_overwrite(tmp_path: Path) -> None:
    size = {"height": HEIGHT, "width": WIDTH}
    truth = generate_video(tmp_path, 0.2, **size)
    before = truth.read_bytes()
    with pytest.raises(DataError, match="already holds a film"):
        generate_video(tmp_path, 0.08, **size)
    assert truth.read_bytes() == before
    generate_video(tmp_path, 0.08, overwrite=True, **size)
    assert len(truth.read_text().splitlines()) == 3


def test_an_interrupted_run_leaves_no_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    generate_video(tmp_path, 0.08, height=HEIGHT, width=WIDTH)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(synthetic_video, "_line", interrupt)
        generate_video(tmp_path, 0.08, height=HEIGHT, width=WIDTH, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_names_the_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BpnetError, match="can't be"):
        generate_video(tmp_path / "file", 0.08)
