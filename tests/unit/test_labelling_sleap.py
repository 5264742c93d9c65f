"""SLEAP's files, and sleap-io as a witness for what other tools write. Needs the extra `sleap`."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from bpnet_cli.data.video_writer import VideoWriter
from bpnet_cli.errors import DataError
from bpnet_cli.labelling.workflow import import_labels
from tests.unit.other_tools import HEIGHT, LIMBS, NAMES, SCENE, WIDTH, deeplabcut, write_photos

sleap_io = pytest.importorskip("sleap_io")
pytestmark = pytest.mark.filterwarnings("ignore")  # of a library that is not ours
FRAMES, RATE = (3, 17), Fraction(10)


def figure(person: list[tuple[float, float, int]], skeleton: Any) -> Any:
    points = np.array([(x, y) if v else (np.nan, np.nan) for x, y, v in person])
    return sleap_io.Instance.from_numpy(points, skeleton=skeleton)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """20 frames; frame n has the brightness 10 n."""
    path = tmp_path / "in" / "film.mp4"
    path.parent.mkdir()
    with VideoWriter(path, RATE) as writer:
        for number in range(20):
            writer.add(np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8))
    return path


@pytest.fixture
def labels(film: Path) -> Any:
    """Two labelled frames of the film: two people and one; in both, somebody whom a network found."""
    skeleton = sleap_io.Skeleton(nodes=list(NAMES), edges=list(LIMBS), name="mouse")
    video = sleap_io.Video.from_filename(str(film))
    frames = []
    for number, people in zip(FRAMES, SCENE.values(), strict=False):
        found = sleap_io.PredictedInstance.from_numpy(np.full((3, 2), 5.0), skeleton=skeleton, score=0.5)
        own = [*(figure(person, skeleton) for person in people), found]
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=number, instances=own))
    return sleap_io.Labels(frames)


def expected(person: list[tuple[float, float, int]]) -> list[float]:
    return [number for x, y, v in person for number in (x, y, 2 * (v > 0))]


@pytest.mark.parametrize("embedded", [False, True])
def test_labelled_frames_become_photos(tmp_path: Path, labels: Any, embedded: bool) -> None:
    path = tmp_path / "in" / ("a.pkg.slp" if embedded else "a.slp")
    labels.save(str(path), **({"embed": "user", "verbose": False} if embedded else {}))
    if embedded:
        (tmp_path / "in" / "film.mp4").unlink()
    result = import_labels(path, tmp_path / "out")
    assert (result.format, result.photos, result.people, result.problems) == ("sleap", 2, 3, [])
    assert result.left_out == {"people that SLEAP's network found, and nobody corrected": 2}
    coco = COCO(str(result.annotations))
    assert coco.loadCats([1])[0]["name"] == "mouse"
    assert coco.loadCats([1])[0]["skeleton"] == [[1, 2], [1, 3]]
    assert [entry["keypoints"] for entry in coco.loadAnns(coco.getAnnIds())] == [
        expected(person) for name in ("a.png", "b.png") for person in SCENE[name]
    ]
    for photo, number in zip(coco.dataset["images"], FRAMES, strict=True):
        assert photo["file_name"].endswith(f"frame_{number:06d}.png")
        assert (photo["width"], photo["height"]) == (WIDTH, HEIGHT)
        brightness = cv2.imread(str(result.images / photo["file_name"])).mean()
        assert abs(brightness - 10 * number) < 4, "the frame with this number"


def test_the_same_as_sleap_ios_own_coco(tmp_path: Path, labels: Any) -> None:
    path = tmp_path / "in" / "a.slp"
    labels.save(str(path))
    ours = json.loads(import_labels(path, tmp_path / "out").annotations.read_text())
    own = sleap_io.load_slp(str(path))
    for frame in own.labeled_frames:
        frame.instances = frame.user_instances
    sleap_io.save_coco(own, str(tmp_path / "own.json"))
    theirs = json.loads((tmp_path / "own.json").read_text())
    for key in ("keypoints", "num_keypoints", "image_id", "category_id"):
        assert [entry[key] for entry in ours["annotations"]] == [entry[key] for entry in theirs["annotations"]]
    for key in ("name", "keypoints", "skeleton"):
        assert ours["categories"][0][key] == theirs["categories"][0][key]


def test_a_list_of_photos_stays_where_it_is(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    skeleton = sleap_io.Skeleton(nodes=list(NAMES), name="mouse")
    video = sleap_io.Video.from_filename([str(tmp_path / "photos" / name) for name in SCENE])
    frames = [
        sleap_io.LabeledFrame(video=video, frame_idx=i, instances=[figure(person, skeleton) for person in people])
        for i, people in enumerate(SCENE.values())
        if people
    ]
    sleap_io.Labels(frames).save(str(tmp_path / "a.slp"))
    result = import_labels(tmp_path / "a.slp", tmp_path / "out")
    assert (result.images, result.photos, result.people) == (tmp_path / "photos", 2, 3)
    shutil.move(tmp_path / "photos", tmp_path / "moved")
    result = import_labels(tmp_path / "a.slp", tmp_path / "out", images=tmp_path / "moved", overwrite=True)
    assert (result.images, result.photos) == (tmp_path / "moved", 2)


def test_photos_beside_videos_are_copied_and_videos_of_one_name_keep_apart(tmp_path: Path, labels: Any) -> None:
    write_photos(tmp_path / "in" / "photos")
    (tmp_path / "in" / "other").mkdir()
    shutil.copy(tmp_path / "in" / "film.mp4", tmp_path / "in" / "other" / "film.mp4")
    person = figure(SCENE["b.png"][0], labels.skeletons[0])
    for video in (str(tmp_path / "in" / "other" / "film.mp4"), [str(tmp_path / "in" / "photos" / "b.png")]):
        frame = sleap_io.LabeledFrame(video=sleap_io.Video.from_filename(video), frame_idx=0, instances=[person])
        labels.append(frame)
    labels.save(str(tmp_path / "in" / "a.slp"))
    result = import_labels(tmp_path / "in" / "a.slp", tmp_path / "out")
    names = [photo["file_name"] for photo in COCO(str(result.annotations)).dataset["images"]]
    frames = ["film_1/frame_000003.png", "film_1/frame_000017.png", "film_2/frame_000000.png"]
    assert names == [*frames, "b.png"]
    assert all((result.images / name).is_file() for name in names)


def test_a_video_that_is_missing_or_other_is_said(tmp_path: Path, labels: Any, film: Path) -> None:
    path = tmp_path / "in" / "a.slp"
    labels.save(str(path))
    shutil.move(film, tmp_path / "elsewhere.mp4")
    with pytest.raises(
        DataError, match=r"a.slp: no photo with a labelled keypoint is left; .*film.mp4, frame 3: not found"
    ):
        import_labels(path, tmp_path / "out")
    with VideoWriter(film, RATE) as writer:
        for _ in range(5):
            writer.add(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    result = import_labels(path, tmp_path / "out")
    assert result.problems == [(f"{film}, frame 17", "the video ends before this frame")]
    with VideoWriter(film, RATE) as writer:
        for _ in range(5):
            writer.add(np.zeros((HEIGHT, 2 * WIDTH, 3), np.uint8))
    with pytest.raises(DataError, match="is 400 x 100 pixels, but the labels are for 200 x 100"):
        import_labels(path, tmp_path / "out", overwrite=True)


def test_a_damaged_slp_is_one_message(tmp_path: Path, labels: Any) -> None:
    path = tmp_path / "in" / "a.slp"
    labels.save(str(path))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a.slp: can't be read by sleap-io \("):
        import_labels(path, tmp_path / "out")
    path.write_bytes(b"text")
    with pytest.raises(DataError, match="not an .slp file of SLEAP, or damaged"):
        import_labels(path, tmp_path / "out")


def test_what_sleap_io_writes_for_ultralytics_is_read(tmp_path: Path, labels: Any) -> None:
    for frame in labels.labeled_frames:
        frame.instances = frame.user_instances
    sleap_io.save_ultralytics(labels, str(tmp_path / "yolo"), split_ratios={"train": 1.0}, verbose=False)
    result = import_labels(tmp_path / "yolo", tmp_path / "out")
    assert (result.format, result.photos, result.people, list(result.keypoints)) == ("yolo-pose", 2, 3, ["animal"])
    coco = COCO(str(result.annotations))
    wanted = [expected(person) for name in ("a.png", "b.png") for person in SCENE[name]]
    np.testing.assert_allclose([e["keypoints"] for e in coco.loadAnns(coco.getAnnIds())], wanted, atol=1e-3)
    assert coco.loadCats([1])[0]["skeleton"] == [[1, 2], [1, 3]]
    assert result.keypoints["animal"] == list(NAMES)


def test_what_sleap_io_writes_for_label_studio_is_read(tmp_path: Path, labels: Any) -> None:
    """It joins points and a box by relations. It writes no photo, so the names are added."""
    write_photos(tmp_path)
    for frame in labels.labeled_frames:
        frame.instances = frame.user_instances
    sleap_io.save_labelstudio(labels, str(tmp_path / "ls.json"))
    tasks = json.loads((tmp_path / "ls.json").read_text())
    for task, name in zip(tasks, SCENE, strict=False):
        task["data"]["image"] = name
    (tmp_path / "ls.json").write_text(json.dumps(tasks))
    result = import_labels(tmp_path / "ls.json", tmp_path / "out", names=",".join(NAMES))
    coco = COCO(str(result.annotations))
    wanted = [expected(person) for name in ("a.png", "b.png") for person in SCENE[name]]
    np.testing.assert_allclose([e["keypoints"] for e in coco.loadAnns(coco.getAnnIds())], wanted, atol=1e-3)


def test_deeplabcuts_people_are_those_that_sleap_io_reads(tmp_path: Path) -> None:
    project = deeplabcut(tmp_path / "project")
    ours = COCO(str(import_labels(project, tmp_path / "out").annotations))
    (file,) = project.rglob("*.csv")
    theirs = sleap_io.load_dlc(str(file))
    order = [theirs.skeletons[0].node_names.index(name) for name in NAMES]
    found = [instance.numpy()[order] for frame in theirs.labeled_frames for instance in frame.instances]
    own = np.array([e["keypoints"] for e in ours.loadAnns(ours.getAnnIds())], float).reshape(len(found), 3, 3)
    own[own[..., 2] == 0] = np.nan
    np.testing.assert_array_equal(own[..., :2], found)
    assert theirs.skeletons[0].edge_names == list(LIMBS)
