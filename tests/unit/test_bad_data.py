"""One bad photo or person in a data set is left out and counted; the rest is used as if it weren't there."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.checks import BOX_CUT, BOX_OUTSIDE, DAMAGED, KEYPOINT_OUTSIDE, TURNED
from bpnet_cli.data.labels import LabelSource, summarise
from bpnet_cli.data.masks import warp_mask
from bpnet_cli.data.photos import photos_of_source
from bpnet_cli.data.pipeline import read_warped
from bpnet_cli.data.sources import open_source
from bpnet_cli.data.unknown import unknown_boxes
from bpnet_cli.errors import DataError
from bpnet_cli.pose.geometry import resize_affine
from tests.conftest import coco_person, write_coco

CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgSFBUU"
    "/8AAFAgAEAAYBEMRAE0RAFkRAEsRAP/EABcAAQEBAQAAAAAAAAAAAAAAAAAIBwn/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oADgRDAE0AWQBLAAA/ALAZ"
    "oi91TAAAAAAB/9k="
)
PALETTE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABgAAAAQAQMAAAA26i3WAAAAA1BMVEXIZDLxgAUBAAAADElEQVR42mNgoAwAAABAAAGJya9DAAAAAElFTkSuQmCC"
)


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def with_exif(data: bytes, orientation: int, thumbnail: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment that asks for a turn, and holds a thumbnail."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + bytes([orientation, 0, 0, 0])
    segment = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0" + thumbnail
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def write_photos(directory: Path, files: dict[str, bytes], size: tuple[int, int], **changes: object) -> Path:
    """Photos with one person each, all said to be of (height, width) `size`; returns the annotation file."""
    path = write_coco(directory, [coco_person(i, i, **changes) for i in range(1, len(files) + 1)], (size,) * len(files))
    raw = json.loads(path.read_text())
    for entry, (name, data) in zip(raw["images"], files.items(), strict=True):
        (directory / "images" / name).write_bytes(data)
        entry["file_name"] = name
    path.write_text(json.dumps(raw))
    return path


def opened(directory: Path, files: dict[str, bytes], size: tuple[int, int] = (100, 120)) -> LabelSource:
    return open_source(directory / "images", write_photos(directory, files, size))


def noise(height: int = 100, width: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_damaged_photos_are_left_out_and_named(tmp_path: Path) -> None:
    whole, png = jpeg(noise()), cv2.imencode(".png", noise())[1].tobytes()
    files = {
        "good.jpg": whole,
        "last_bytes.jpg": whole[:-2],
        "half.jpg": whole[: len(whole) // 2],
        "header.jpg": whole[:100],
        "thumbnail.jpg": with_exif(whole, 1, thumbnail=b"\xff\xd8\xff\xd9")[:-200],
        "half.png": png[: len(png) // 2],
        "last_bytes.png": png[:-6],
        "empty.jpg": b"",
        "page.jpg": b"<html>404 not found</html>",
        "good.png": png,
    }
    source = opened(tmp_path, files)
    assert [image.file_name for image in source.labels.images.values()] == ["good.jpg", "good.png"]
    assert [(reason, Path(name).name) for reason, name in source.problems] == [
        (DAMAGED, name) for name in files if not name.startswith("good")
    ]
    assert summarise(source.problems) == [f"{DAMAGED}: 8 (first: {tmp_path / 'images' / 'last_bytes.jpg'})"]
    assert [photo.image_id for photo in photos_of_source(source, BODY_18)] == [1, 10]


@pytest.mark.parametrize("extra", [b"\0\0", b"camera trailer" * 100])
def test_bytes_after_the_end_are_no_damage(tmp_path: Path, extra: bytes) -> None:
    png = cv2.imencode(".png", noise())[1].tobytes()
    source = opened(tmp_path, {"1.jpg": with_exif(jpeg(noise()), 1) + extra, "2.png": png + extra})
    assert not source.problems
    assert all(file.decode().shape == (100, 120, 3) for file in source.files.values())


def test_nothing_but_damaged_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels.json: no photo is left: .*damaged.*: 2 \(first: .*a.jpg"):
        opened(tmp_path, {"a.jpg": b"", "b.jpg": jpeg(noise())[:-5]})


@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("labels_are_turned", [True, False])
def test_a_turned_photo_is_read_as_its_labels_were_made(
    tmp_path: Path, orientation: int, labels_are_turned: bool, scale: float
) -> None:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[:20, :30] = 255  # in one corner, so that every turn moves it elsewhere
    data = with_exif(jpeg(picture), orientation)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if labels_are_turned else picture
    height, width = expected.shape[:2]
    source = opened(tmp_path, {"1.jpg": data}, (height, width))
    assert not source.problems
    np.testing.assert_allclose(source.files[1].rgb(), expected, atol=40)
    photo = photos_of_source(source, BODY_18)[0]
    rows, columns = round(height * scale), round(width * scale)
    warped = read_warped(photo, resize_affine(columns / width, rows / height), rows, columns)
    smaller = cv2.resize(expected, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.abs(warped.astype(float) - smaller).mean() < 8


@pytest.mark.parametrize(("size", "orientation"), [((80, 80), 6), ((80, 100), 3), ((80, 100), 2)])
def test_a_turn_that_the_size_cannot_tell_leaves_the_photo_out(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    picture = jpeg(noise(*size))
    source = opened(tmp_path, {"1.jpg": with_exif(picture, orientation), "2.jpg": with_exif(picture, 1)}, size)
    assert [(reason, Path(name).name) for reason, name in source.problems] == [(TURNED, "1.jpg")]


def test_a_photo_of_neither_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1.jpg is 60 x 100, but the labels are for 60 x 101"):
        opened(tmp_path, {"1.jpg": with_exif(jpeg(noise(60, 100)), 6)}, (101, 60))
    with pytest.raises(DataError, match=r"1.jpg is 100 x 60, but the labels are for 60 x 100"):
        opened(tmp_path, {"1.jpg": jpeg(noise(60, 100))}, (100, 60))


RGB = (200, 100, 50)
PIXELS = np.full((16, 24, 3), RGB[::-1], np.uint8)
FORMATS = {
    "cmyk.jpg": (base64.b64decode(CMYK_JPEG), RGB),
    "grey.jpg": (jpeg(PIXELS[..., 0]), (50, 50, 50)),
    "palette.png": (base64.b64decode(PALETTE_PNG), RGB),
    "rgba.png": (cv2.imencode(".png", np.dstack([PIXELS, PIXELS[..., :1]]))[1].tobytes(), RGB),
    "16_bit.png": (cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes(), RGB),
    "16_bit_grey.png": (cv2.imencode(".png", PIXELS[..., 0].astype(np.uint16) * 257)[1].tobytes(), (50, 50, 50)),
    "plain.bmp": (cv2.imencode(".bmp", PIXELS)[1].tobytes(), RGB),
    "plain.webp": (cv2.imencode(".webp", PIXELS, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes(), RGB),
    "plain.tif": (cv2.imencode(".tif", PIXELS)[1].tobytes(), RGB),
}


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_pixel_becomes_8_bit_rgb(tmp_path: Path, name: str, scale: float) -> None:
    data, expected = FORMATS[name]
    labels = write_photos(tmp_path, {name: data}, (16, 24), bbox=[2, 2, 9, 9], keypoints=[5, 5, 2] * 17)
    source = open_source(tmp_path / "images", labels)
    height, width = round(16 * scale), round(24 * scale)
    warped = read_warped(photos_of_source(source, BODY_18)[0], resize_affine(scale, scale), height, width)
    assert warped.dtype == np.uint8
    # 13: a palette that is decoded at half size goes through OpenCV's own reduction of colours.
    np.testing.assert_allclose(warped.reshape(-1, 3).mean(axis=0), expected, atol=13)


def people(directory: Path, *annotations: dict) -> LabelSource:
    return open_source(directory / "images", write_coco(directory, list(annotations)))


def test_keypoints_outside_of_the_photo_are_unlabelled_and_counted(tmp_path: Path) -> None:
    person = coco_person()
    edges = {0: (-0.5, -0.5), 1: (120, 100), 2: (-0.6, 50), 3: (50, 100.1), 4: (5e6, 5e6), 5: (1e29, 3)}
    for k, point in edges.items():
        person["keypoints"][3 * k : 3 * k + 2] = point
    person["keypoints"][3 * 6 : 3 * 6 + 3] = [-500, 3, 0]
    source = people(tmp_path, person)
    cleaned = source.labels.people_of(1)
    assert cleaned.keypoints[..., 2].tolist() == [[2, 2, 0, 0, 0, 0, 0] + [2] * 10]
    assert summarise(source.problems) == [f"{KEYPOINT_OUTSIDE}: 4 (first: annotation 1 of 1.png)"]
    photo = photos_of_source(source, BODY_18)[0]
    assert photo.label_counts.tolist() == [12]
    assert np.isfinite(photo.keypoints).all()


def test_a_person_with_no_keypoint_inside_is_ignored_in_the_loss(tmp_path: Path) -> None:
    source = people(tmp_path, coco_person(keypoints=[500, 500, 2] * 17), coco_person(2, bbox=[60, 10, 20, 20]))
    photo = photos_of_source(source, BODY_18)[0]
    assert photo.keypoints.shape == (1, 18, 3)
    mask = warp_mask(photo.ignore, np.eye(3)[:2], 100, 120)
    assert (mask[50, 30], mask[90, 100]) == (0, 1)
    assert source.people == 2


def test_nobody_left_is_refused(tmp_path: Path) -> None:
    message = r"labels.json: no person with keypoints is left: people left out: .*: 1 .*; keypoints taken as .*: 17 "
    with pytest.raises(DataError, match=message):
        people(tmp_path, coco_person(bbox=[500, 5, 9, 9]), coco_person(2, keypoints=[500, 500, 2] * 17))


def test_a_person_wholly_outside_is_left_out(tmp_path: Path) -> None:
    outside = [coco_person(i + 2, bbox=box) for i, box in enumerate([[121, 5, 9, 9], [-50, 5, 9, 9], [5, 101, 9, 9]])]
    source = people(tmp_path, coco_person(), *outside)
    assert source.labels.people_of(1).places.tolist() == ["annotation 1"]
    assert summarise(source.problems) == [f"{BOX_OUTSIDE}: 3 (first: annotation 2 of 1.png)"]


def test_a_box_partly_outside_is_cut(tmp_path: Path) -> None:
    boxes = [[-30, -20, 80, 90], [100, 90, 1e20, 1e20], [-0.5, 10, 121, 60]]
    source = people(tmp_path, *(coco_person(i, bbox=box) for i, box in enumerate(boxes, start=1)))
    assert source.labels.people_of(1).boxes.tolist() == [[0, 0, 50, 70], [100, 90, 20, 10], [-0.5, 10, 121, 60]]
    assert summarise(source.problems) == [f"{BOX_CUT}: 2 (first: annotation 1 of 1.png)"]


def test_unlabelled_keypoints_may_be_nan(tmp_path: Path) -> None:
    nan = float("nan")
    photo = photos_of_source(people(tmp_path, coco_person(keypoints=[nan, nan, 0] + [20, 30, 2] * 16)), BODY_18)[0]
    assert np.isfinite(photo.keypoints).all()
    assert photo.label_counts.tolist() == [16]


STRUCTURE = [
    ({"image_id": [1]}, r"annotation 1: image_id \[1\] is not among the images"),
    ({"category_id": [1]}, r"annotation 1: category_id \[1\] is not among the categories"),
    ({"unknown_keypoints": [17]}, "annotation 1: unknown_keypoints must be a list of numbers from 0 to 16"),
    ({"unknown_keypoints": 3}, "annotation 1: unknown_keypoints must be a list"),
    ({"keypoints": [10**400, 1, 2] * 17}, "annotation 1: keypoints must be finite numbers"),
    ({"iscrowd": 1, "segmentation": [[float("nan"), 1, 2, 3, 4, 5]]}, "annotation 1: segmentation can't be decoded"),
    ({"iscrowd": 1, "segmentation": [[0, 0, 1e12, 0, 1e12, 9]]}, "annotation 1: segmentation can't be decoded"),
]


@pytest.mark.parametrize(("change", "message"), STRUCTURE)
def test_entries_that_make_no_sense_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        photos_of_source(people(tmp_path, coco_person(**change), coco_person(2)), BODY_18)


# nose - eyes - ears - shoulders, as in COCO.
FACE = ((0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6))


def keypoints_with(labelled: dict[int, tuple[float, float]]) -> np.ndarray:
    keypoints = np.zeros((17, 3))
    for k, (x, y) in labelled.items():
        keypoints[k] = x, y, 2
    return keypoints


def boxes_of(labelled: dict[int, tuple[float, float]], unknown: list[int], limbs: tuple = FACE) -> list:
    box = np.array([10.0, 20, 40, 100])
    return unknown_boxes(keypoints_with(labelled), box, np.isin(np.arange(17), unknown), limbs)


def test_an_unknown_keypoint_is_near_its_labelled_neighbours() -> None:
    assert boxes_of({1: (20, 30), 2: (30, 32)}, [0]) == [[25 - 17.5, 31 - 17.5, 35, 35]]
    # A labelled one is not unknown, whatever the list says.
    assert boxes_of({0: (20, 30)}, [0]) == []


def test_the_farther_its_neighbours_the_larger_the_box() -> None:
    boxes = boxes_of({5: (40, 50), 6: (20, 50)}, [0, 1, 3])
    assert boxes == [[0, 20, 60, 60], [40 - 23.75, 50 - 23.75, 47.5, 47.5], [40 - 17.5, 50 - 17.5, 35, 35]]


def test_without_labelled_neighbours_it_is_anywhere_in_the_box() -> None:
    assert boxes_of({9: (20, 30)}, [0]) == [[10, 20, 40, 100]]
    assert boxes_of({1: (20, 30)}, [0], ()) == [[10, 20, 40, 100]]


def test_unknown_keypoints_are_masked_by_the_files_own_limbs(tmp_path: Path) -> None:
    keypoints = keypoints_with({1: (60, 40), 2: (70, 40)}).ravel().tolist()
    person = coco_person(keypoints=keypoints, bbox=[40, 20, 40, 80], unknown_keypoints=[0])
    path = write_coco(tmp_path, [person, coco_person(2, bbox=[90, 80, 9, 9])])
    raw = json.loads(path.read_text())
    raw["categories"][0]["skeleton"] = [[1, 2], [1, 3], ["nose", 2], [0, 1], [1, 99]]
    path.write_text(json.dumps(raw))
    source = open_source(tmp_path / "images", path)
    assert source.labels.limbs == ((0, 1), (0, 2))
    mask = warp_mask(photos_of_source(source, BODY_18)[0].ignore, np.eye(3)[:2], 100, 120)
    rows, columns = np.nonzero(mask == 0)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (26, 54, 51, 79)


def test_labels_whose_only_people_are_on_a_damaged_photo(tmp_path: Path) -> None:
    labels = write_coco(tmp_path, [coco_person(1, image_id=1)], ((100, 120), (100, 120)))
    (tmp_path / "images" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"labels.json: no person with keypoints is left: photos left out: damaged"):
        open_source(tmp_path / "images", labels)
