import json
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.coco import read_coco_file
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.photos import load_photos
from bpnet_cli.data.samples import list_samples, main_persons
from bpnet_cli.errors import DataError
from tests.conftest import COCO_NAMES, coco_person, write_coco

NECK, LEFT, RIGHT = (BODY_18.keypoints.index(n) for n in ("neck", "left_shoulder", "right_shoulder"))


def load(directory: Path, annotations: list[dict], **arguments: object) -> list:
    return load_photos(directory / "images", write_coco(directory, annotations, **arguments), BODY_18)


def test_keypoints_come_in_the_skeletons_order(tmp_path: Path) -> None:
    photo = load(tmp_path, [coco_person()])[0]
    assert photo.keypoints.shape == (1, 18, 3)
    for name in COCO_NAMES:
        i, j = COCO_NAMES.index(name), BODY_18.keypoints.index(name)
        np.testing.assert_allclose(photo.keypoints[0, j], (12 + 2 * i, 22 + 3 * i, 2))
    assert photo.labelled.all()
    assert photo.label_counts.tolist() == [17]


@pytest.mark.parametrize(("left", "right", "neck"), [(2, 2, 2), (2, 1, 1), (0, 2, 0), (1, 0, 0), (0, 0, 0)])
def test_neck_exists_only_where_both_shoulders_are_labelled(tmp_path: Path, left: int, right: int, neck: int) -> None:
    person = coco_person()
    person["keypoints"][3 * COCO_NAMES.index("left_shoulder") + 2] = left
    person["keypoints"][3 * COCO_NAMES.index("right_shoulder") + 2] = right
    keypoints = load(tmp_path, [person])[0].keypoints[0]
    assert keypoints[NECK, 2] == neck
    if neck:
        np.testing.assert_allclose(keypoints[NECK, :2], (keypoints[LEFT, :2] + keypoints[RIGHT, :2]) / 2)
    else:
        assert (keypoints[NECK] == 0).all()


def test_a_keypoint_the_data_set_lacks_is_not_labelled(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_person(keypoints=[20, 30, 2, 40, 50, 1], num_keypoints=2)])
    raw = json.loads(path.read_text())
    raw["categories"][0]["keypoints"] = ["nose", "left_shoulder"]
    path.write_text(json.dumps(raw))
    photo = load_photos(tmp_path / "images", path, BODY_18)[0]
    labelled = {BODY_18.keypoints[i] for i in np.flatnonzero(photo.labelled)}
    assert labelled == {"nose", "left_shoulder"}


def test_main_persons_keep_their_distance(tmp_path: Path) -> None:
    near = coco_person(2, bbox=[15, 25, 40, 60])
    far = coco_person(3, bbox=[60, 20, 40, 60])
    small = coco_person(4, bbox=[0, 0, 10, 10], area=80)
    few = coco_person(5, bbox=[70, 90, 40, 60], keypoints=[5, 5, 2] * 4 + [0] * 39)
    photo = load(tmp_path, [coco_person(), near, far, small, few])[0]
    assert main_persons(photo, 5, 1024, 0.3) == [0, 2]
    assert main_persons(photo, 5, 1024, 0.0) == [0, 1, 2]
    assert main_persons(photo, 4, 0, 0.3) == [0, 2, 3, 4]
    samples = list_samples([photo], crop="person", min_keypoints=5, min_area_px=1024, min_distance_ratio=0.3)
    assert [sample.person for sample in samples] == [0, 2]


def test_no_sample_left_is_an_error_that_names_the_keys(tmp_path: Path) -> None:
    photos = load(tmp_path, [coco_person()])
    with pytest.raises(DataError, match=r"lower dataset.min_keypoints or dataset.min_area_px"):
        list_samples(photos, crop="person", min_keypoints=17, min_area_px=1e6, min_distance_ratio=0.3)


def mask_of(directory: Path, annotations: list[dict]) -> np.ndarray:
    photo = load(directory, annotations)[0]
    return warp_mask(photo.ignore, np.eye(3)[:2], 100, 120)


def test_crowds_are_ignored_but_not_the_labelled_people_in_them(tmp_path: Path) -> None:
    crowd = coco_person(2, iscrowd=1, keypoints=[0] * 51, segmentation=[[0, 0, 60, 0, 60, 90, 0, 90]])
    mask = mask_of(tmp_path, [coco_person(), crowd])
    assert mask[50, 30] == 1  # inside the labelled person
    assert mask[5, 5] == 0  # crowd
    assert mask[95, 100] == 1  # neither


def test_people_without_keypoints_are_ignored_even_over_labelled_ones(tmp_path: Path) -> None:
    unlabelled = coco_person(2, keypoints=[0] * 51, num_keypoints=0, segmentation=[[10, 20, 30, 20, 30, 80, 10, 80]])
    mask = mask_of(tmp_path, [coco_person(), unlabelled])
    assert mask[50, 20] == 0
    assert mask[50, 40] == 1


def test_a_person_without_segmentation_is_ignored_by_its_box(tmp_path: Path) -> None:
    mask = mask_of(
        tmp_path, [coco_person(), coco_person(2, keypoints=[0] * 51, bbox=[60, 10, 20, 20], segmentation=[])]
    )
    assert mask[20, 70] == 0
    assert mask[50, 70] == 1


def test_nothing_to_ignore_is_all_ones(tmp_path: Path) -> None:
    assert load(tmp_path, [coco_person()])[0].ignore is None
    assert (mask_of(tmp_path, [coco_person()]) == 1).all()


BAD_ANNOTATIONS = [
    ({"keypoints": [1, 2, 2] * 16}, r"annotation 1: keypoints must hold 3 x 17 = 51 numbers \(got 48\)"),
    ({"keypoints": [float("nan"), 2, 2] + [1, 2, 2] * 16}, "annotation 1: keypoints must be finite numbers"),
    ({"keypoints": None, "num_keypoints": 3}, r"annotation 1: keypoints must hold .* \(got None\)"),
    ({"bbox": "1, 2"}, r"annotation 1: bbox must be 4 finite numbers .* \(got '1, 2'\)"),
    ({"bbox": [1, 2, 3]}, r"annotation 1: bbox must be 4 finite numbers"),
    ({"bbox": [1, 2, -3, 4]}, "annotation 1: bbox sizes and area must not be negative"),
    ({"area": -5}, r"must not be negative \(got .*, area -5\)"),
    ({"keypoints": [1, 2, 7] * 17}, r"annotation 1: visibilities must be 0, 1 or 2 \(got \[7\]\)"),
    ({"category_id": 77}, "annotation 1: category_id 77 is not among the categories"),
    ({"image_id": 9}, "annotation 1: image_id 9 is not among the images"),
    ({"segmentation": "x", "iscrowd": 1}, "annotation 1: segmentation can't be decoded"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ANNOTATIONS)
def test_bad_annotations_are_named(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, [coco_person(**change), coco_person(2)])


@pytest.mark.parametrize(
    ("kind", "key", "message"),
    [
        ("images", "width", "image 1.png: width is missing"),
        ("images", "height", "image 1.png: height is missing"),
        ("images", "file_name", "image 1: file_name is missing"),
    ],
)
def test_missing_keys_are_named(tmp_path: Path, kind: str, key: str, message: str) -> None:
    path = write_coco(tmp_path, [coco_person()])
    raw = json.loads(path.read_text())
    del raw[kind][0][key]
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError, match=message):
        read_coco_file(path)


def test_without_an_area_a_share_of_the_box_is_taken(tmp_path: Path) -> None:
    without = coco_person(2)
    del without["area"]
    people = [coco_person(), without, coco_person(3, area=0), coco_person(4, area=None)]
    assert load(tmp_path, people)[0].areas.tolist() == pytest.approx([1800] + [0.53 * 40 * 60] * 3)


def test_repeated_ids_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="annotation id 1 occurs more than once"):
        load(tmp_path, [coco_person(), coco_person()])


def test_absent_photo_and_wrong_size_are_named(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_person()])
    raw = json.loads(path.read_text())
    raw["images"][0]["width"] = 121
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"image 1: .*1.png is 120 x 100, but the labels are for 121 x 100"):
        load_photos(tmp_path / "images", path, BODY_18)
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(DataError, match=r"image 1: .*1.png does not exist"):
        load_photos(tmp_path / "images", path, BODY_18)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: the file is empty"),
        ("{", "not JSON: "),
        ("[]", "the top level is a list, not a mapping"),
        ("{}", "needs a list 'images'"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no images"),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": 1, "height": 1}], "annotations": [], "categories": []}',
            "no category with an id and a list of keypoint names",
        ),
        (
            '{"images": [{"id": [1], "file_name": "a", "width": 1, "height": 1}], "annotations": [],'
            ' "categories": [{"id": 1, "keypoints": ["nose"]}]}',
            r"image a: id must be a whole number or text \(got \[1\]\)",
        ),
    ],
)
def test_files_that_are_not_coco(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_coco_file(path)


def test_missing_folder_and_file(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_person()])
    with pytest.raises(DataError, match="no such folder of photos"):
        load_photos(tmp_path / "nowhere", path, BODY_18)
    with pytest.raises(DataError, match="no such annotation file"):
        load_photos(tmp_path / "images", tmp_path / "none.json", BODY_18)


def test_no_keypoint_in_common(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_person(keypoints=[1, 1, 2])])
    raw = json.loads(path.read_text())
    raw["categories"][0]["keypoints"] = ["antenna"]
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError, match="no keypoint in common with skeleton body_18"):
        load_photos(tmp_path / "images", path, BODY_18)


def test_real_labels_load(shared_data: Path) -> None:
    folder = shared_data / "coco-dev"
    photos = load_photos(folder / "images", folder / "annotations" / "person_keypoints.json", BODY_18)
    assert len(photos) == 197
    assert sum(len(photo.keypoints) for photo in photos) == 542
