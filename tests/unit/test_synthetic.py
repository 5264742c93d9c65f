import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bpnet_cli.build import named_skeleton
from bpnet_cli.data import poses, synthetic
from bpnet_cli.data.animal import ANIMAL_KEYPOINTS, sample_animal
from bpnet_cli.data.figure import sample_figure
from bpnet_cli.data.photos import load_photos
from bpnet_cli.data.scene import PART_IDS
from bpnet_cli.data.synthetic import generate
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS, Skeleton

K = {name: i for i, name in enumerate(COCO_KEYPOINTS)}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def keypoints_of(annotation: dict) -> np.ndarray:
    return np.array(annotation["keypoints"]).reshape(-1, 3)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("synthetic")
    assert generate(directory, 30, seed=7) == directory / "annotations" / "person_keypoints.json"
    return directory


@pytest.fixture(scope="module")
def labels(data_set: Path) -> dict:
    return json.loads((data_set / "annotations" / "person_keypoints.json").read_text())


def test_same_arguments_give_the_same_bytes(data_set: Path, tmp_path: Path) -> None:
    generate(tmp_path, 30, seed=7)
    assert contents(tmp_path) == contents(data_set)


def test_photo_depends_on_seed_and_number_alone(data_set: Path, labels: dict, tmp_path: Path) -> None:
    fewer = json.loads(generate(tmp_path / "fewer", 3, seed=7).read_text())
    assert fewer["images"] == labels["images"][:3]
    assert fewer["annotations"] == labels["annotations"][: len(fewer["annotations"])]
    generate(tmp_path / "other", 3, seed=8)
    name = "images/000000000003.jpg"
    assert contents(tmp_path / "fewer")[name] == contents(data_set)[name]
    assert contents(tmp_path / "other")[name] != contents(data_set)[name]


def test_pycocotools_and_our_reader_load_it(data_set: Path, labels: dict) -> None:
    path = data_set / "annotations" / "person_keypoints.json"
    coco = COCO(str(path))
    assert coco.getImgIds() == list(range(1, 31))
    for annotation in labels["annotations"]:
        mask = coco.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        encoded = coco_mask.encode(np.asfortranarray(mask))
        np.testing.assert_array_equal(coco_mask.toBbox(encoded), annotation["bbox"])
    photos = load_photos(data_set / "images", path, BODY_18)
    assert sum(len(photo.keypoints) for photo in photos) == len(labels["annotations"])
    assert all(photo.labelled.all() and photo.ignore is None for photo in photos)


def test_keypoints_lie_in_the_photo_and_on_the_person(data_set: Path, labels: dict) -> None:
    seen = 0
    for annotation in labels["annotations"]:
        image = labels["images"][annotation["image_id"] - 1]
        keypoints = keypoints_of(annotation)
        labelled = keypoints[keypoints[:, 2] > 0]
        assert (labelled[:, :2] >= 0).all()
        assert (labelled[:, :2] <= (image["width"] - 1, image["height"] - 1)).all()
        assert (keypoints[keypoints[:, 2] == 0] == 0).all()
        assert annotation["num_keypoints"] == len(labelled) > 0
        mask = coco_mask.decode(coco_mask.frPyObjects(annotation["segmentation"], image["height"], image["width"]))
        x, y = keypoints[keypoints[:, 2] == 2, :2].round().astype(int).T
        assert mask[y, x].all()
        seen += len(x)
    assert seen > 10 * len(labels["annotations"])


def test_photos_have_the_size_asked_for(tmp_path: Path) -> None:
    entry = json.loads(generate(tmp_path, 1, height=96, width=160).read_text())["images"][0]
    assert (entry["height"], entry["width"]) == (96, 160)
    assert cv2.imread(str(tmp_path / "images" / entry["file_name"])).shape == (96, 160, 3)


@pytest.mark.parametrize("count", [1, 30, 100])
def test_draws_as_many_people_as_asked(tmp_path: Path, count: int) -> None:
    annotations = json.loads(generate(tmp_path, 2, people=(count, count), seed=1).read_text())["annotations"]
    assert len(annotations) == 2 * count
    labelled = np.array([(keypoints_of(a)[:, 2] > 0).sum() for a in annotations])
    assert (labelled > 0).all()
    assert labelled.mean() > 12


def test_number_of_people_covers_the_range(labels: dict) -> None:
    counts = np.bincount([a["image_id"] for a in labels["annotations"]])[1:]
    assert set(counts.tolist()) == {1, 2, 3, 4}


@pytest.mark.parametrize(("facing", "left_is_right_of"), [(0, True), (180, False)])
def test_sides_follow_the_facing(monkeypatch: pytest.MonkeyPatch, facing: int, left_is_right_of: bool) -> None:
    monkeypatch.setattr(poses, "FACINGS", ((1.0, (facing, facing)),))
    rng = np.random.default_rng(0)
    for _ in range(40):
        figure = sample_figure(rng)
        for name in ("shoulder", "hip"):
            gap = figure.keypoints[K[f"left_{name}"], 0] - figure.keypoints[K[f"right_{name}"], 0]
            assert (gap > 0) == left_is_right_of
        assert ("nose" in figure.hidden) == (facing == 180)
        assert "left_ear" not in figure.hidden or "right_ear" not in figure.hidden


def test_side_view_shows_the_near_ear_and_looks_where_the_body_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "FACINGS", ((1.0, (90, 90)),))
    rng = np.random.default_rng(0)
    for _ in range(40):
        figure = sample_figure(rng)
        assert "right_ear" not in figure.hidden
        assert figure.keypoints[K["nose"], 0] > figure.keypoints[K["right_ear"], 0]


def test_limbs_keep_their_length_in_every_pose() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        figure = sample_figure(rng)
        for start, end, length in (("shoulder", "elbow", 0.17), ("elbow", "wrist", 0.145), ("hip", "knee", 0.245)):
            for side in ("left", "right"):
                limb = figure.keypoints[K[f"{side}_{end}"]] - figure.keypoints[K[f"{side}_{start}"]]
                assert np.linalg.norm(limb) == pytest.approx(length)
        assert len(figure.parts) < PART_IDS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "images: must be at least 1"),
        ({"people": (0, 2)}, "people: must be two numbers"),
        ({"people": (1, 101)}, "from 1 to 100"),
        ({"people": (4, 2)}, r"got 4, 2"),
        ({"height": 63}, "at least 64 pixels"),
        ({"width": 10}, "at least 64 pixels"),
        ({"seed": -1}, "seed: must not be negative"),
    ],
)
def test_refuses_impossible_arguments(tmp_path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(BpnetError, match=message):
        generate(tmp_path / "set", **{"images": 1, **arguments})
    assert not (tmp_path / "set").exists()


def test_refuses_a_directory_in_use_unless_told_to_overwrite(tmp_path: Path) -> None:
    path = generate(tmp_path, 2)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="already holds a data set"):
        generate(tmp_path, 1, seed=3)
    assert contents(tmp_path) == before
    generate(tmp_path, 1, seed=3, overwrite=True)
    assert [entry["id"] for entry in json.loads(path.read_text())["images"]] == [1]


def test_an_interrupted_run_leaves_no_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    generate(tmp_path, 1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(synthetic, "visibilities", interrupt)
        generate(tmp_path, 2, overwrite=True)
    assert list((tmp_path / "annotations").iterdir()) == []
    with pytest.raises(DataError, match="part of one"):
        generate(tmp_path, 2)


def test_names_the_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't write the data set"):
        generate(tmp_path / "file", 1)


@pytest.mark.parametrize("name", ["hand_21", "animal_17", "coco_17", "body_18_dense"])
def test_other_skeletons_are_drawn_with_their_own_keypoints(name: str, tmp_path: Path) -> None:
    skeleton = named_skeleton(name)
    path = generate(tmp_path, 12, seed=3, skeleton=skeleton)
    content = json.loads(path.read_text())
    (category,) = content["categories"]
    computed = {keypoint for keypoint, _, _ in skeleton.midpoints}
    names = [keypoint for keypoint in skeleton.keypoints if keypoint not in computed]
    assert category["keypoints"] == names
    limbs = {(names[a - 1], names[b - 1]) for a, b in category["skeleton"]}
    assert limbs == {limb for limb in skeleton.limbs if not computed & set(limb)}
    for entry in content["annotations"]:
        points = keypoints_of(entry)
        x, y, width, height = entry["bbox"]
        seen = points[points[:, 2] == 2]
        low, high = np.array([x, y]) - 3, np.array([x + width, y + height]) + 3
        assert ((seen[:, :2] >= low) & (seen[:, :2] <= high)).all()  # what is visible of a figure is a part of its mask
    shares = [(keypoints_of(entry)[:, 2] == 2).mean() for entry in content["annotations"]]
    assert np.mean(shares) > 0.5


def test_the_sides_of_an_animal_are_where_its_head_says(tmp_path: Path) -> None:
    """A witness without the drawing's axes: seen from above, left is to the left of the way from tail to nose."""
    names = {name: i for i, name in enumerate(ANIMAL_KEYPOINTS)}
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = sample_animal(rng).keypoints * [1, -1, 1]  # x right, y up, z towards the viewer
        along = points[names["neck"]] - points[names["root_of_tail"]]
        up = points[[names["left_hip"], names["right_hip"]]].mean(axis=0) - points[
            [names["left_b_paw"], names["right_b_paw"], names["left_f_paw"], names["right_f_paw"]]
        ].mean(axis=0)
        left = points[names["left_shoulder"]] - points[names["right_shoulder"]]
        assert np.cross(up, along) @ left > 0


def test_a_part_of_the_keypoints_can_be_drawn_in_any_order_and_spelling(tmp_path: Path) -> None:
    few = Skeleton(
        "few", ("R_F_Paw", "nose", "LeftElbow"), (("nose", "R_F_Paw"), ("nose", "LeftElbow")), (), (0.1,) * 3
    )
    content = json.loads(generate(tmp_path / "few", 3, seed=3, skeleton=few).read_text())
    whole = json.loads(generate(tmp_path / "all", 3, seed=3, skeleton=named_skeleton("animal_17")).read_text())
    assert content["categories"][0]["keypoints"] == ["R_F_Paw", "nose", "LeftElbow"]
    columns = [ANIMAL_KEYPOINTS.index(name) for name in ("right_f_paw", "nose", "left_elbow")]
    for mine, theirs in zip(content["annotations"], whole["annotations"], strict=True):
        assert keypoints_of(mine).tolist() == keypoints_of(theirs)[columns].tolist()


def test_what_nobody_can_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BpnetError, match="halpe_26: no drawing has the keypoints head, neck, hip, left_big_toe and 5 more"
    ):
        generate(tmp_path / "none", 3, skeleton=named_skeleton("halpe_26"))
    assert not (tmp_path / "none").exists()
