import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.photos import load_photos
from bpnet_cli.data.pipeline import SampleLoader, make_loader, make_pipeline, read_warped
from bpnet_cli.data.samples import list_samples
from bpnet_cli.errors import DataError
from bpnet_cli.pose.geometry import letterbox, resize_affine
from tests.conftest import coco_person, write_coco


@pytest.fixture
def loader(drawn: Path, keras_loaded: None) -> SampleLoader:
    photos = load_photos(drawn / "images", drawn / "annotations" / "person_keypoints.json", BODY_18)
    samples = list_samples(photos, crop="photo", min_keypoints=5, min_area_px=0, min_distance_ratio=0.3)
    return make_loader(samples, BODY_18, Augmentation(crop="photo"), height=64, width=96, stride=8, seed=3)


def batches(loader: SampleLoader, count: int, **arguments: object) -> list:
    return list(make_pipeline(loader, 4, **arguments).take(count).as_numpy_iterator())


def same(a: list, b: list) -> bool:
    return all(
        np.array_equal(x, y) and all(np.array_equal(v[name], w[name]) for name in v)
        for (x, v), (y, w) in zip(a, b, strict=True)
    )


def test_batches_have_the_documented_shapes(loader: SampleLoader) -> None:
    images, labels = batches(loader, 1)[0]
    assert images.shape == (4, 64, 96, 3)
    assert images.dtype == np.uint8
    assert labels["keypoints"].shape == (4, 3, 18, 3)
    assert labels["mask"].shape == (4, 8, 12)
    assert labels["labelled"].shape == (4, 18)
    assert labels["mask"].dtype == labels["keypoints"].dtype == labels["labelled"].dtype == np.float32


def test_the_stream_depends_on_seed_and_position_alone(loader: SampleLoader) -> None:
    reference = batches(loader, 6, workers=1)
    assert same(reference, batches(loader, 6, workers=4))
    assert same(reference[2:], batches(loader, 4, start=8))
    other = make_loader(loader.samples, BODY_18, loader.augmentation, height=64, width=96, stride=8, seed=4)
    assert not same(reference, batches(other, 6))


def test_a_batch_is_its_samples_loaded_one_by_one(loader: SampleLoader) -> None:
    batch = loader.load_batch(30, 5)
    for i in range(30):
        for array, alone in zip(batch, loader.load(5 + i), strict=True):
            places = len(alone)
            np.testing.assert_array_equal(array[i][:places], alone)
            assert not array[i][places:].any()  # keypoints may be padded farther


def test_batches_that_are_kept_keep_their_pixels(loader: SampleLoader) -> None:
    """Memory is written again only when nobody looks at it; batches that were let go leave plenty of it."""
    alone = [loader.load(position)[0] for position in range(40)]
    kept = [images[1] for images, _ in make_pipeline(loader, 4, workers=4).take(10).as_numpy_iterator()]
    for images, _ in make_pipeline(loader, 4, workers=4).take(20).as_numpy_iterator():
        assert images.shape == (4, 64, 96, 3)
    for i, image in enumerate(kept):
        np.testing.assert_array_equal(image, alone[4 * i + 1])


def test_every_epoch_visits_every_sample_once_in_another_order(
    loader: SampleLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("bpnet_cli.data.pipeline.read_warped", lambda photo, *_: seen.append(photo.image.name) or image)
    image = np.zeros((64, 96, 3), np.uint8)
    for position in range(24):
        loader.load(position)
    assert sorted(seen[:12]) == sorted(seen[12:]) == sorted(sample.photo.image.name for sample in loader.samples)
    assert seen[:12] != seen[12:]


def test_a_sample_differs_from_epoch_to_epoch(loader: SampleLoader) -> None:
    one = make_loader(loader.samples[:1], BODY_18, loader.augmentation, height=64, width=96, stride=8, seed=3)
    first, second = one.load(0), one.load(1)
    assert not np.array_equal(first[0], second[0])


def test_keypoints_lie_on_their_pixels(tmp_path: Path, keras_loaded: None) -> None:
    """A white square drawn around a keypoint is found around the moved keypoint."""
    path = write_coco(tmp_path, [coco_person(bbox=[0, 0, 300, 200])], sizes=((200, 300),))
    photo = np.zeros((200, 300, 3), np.uint8)
    x, y = 12, 22  # the nose of coco_person
    photo[y - 4 : y + 5, x - 4 : x + 5] = 255
    cv2.imwrite(str(tmp_path / "images" / "1.png"), photo)
    photos = load_photos(tmp_path / "images", path, BODY_18)
    samples = list_samples(photos, crop="photo", min_keypoints=1, min_area_px=0, min_distance_ratio=0)
    still_colours = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue_deg": 0.0}
    augmentation = Augmentation(crop="photo", flip_probability=0.0, translation_px=10, rotation_deg=10, **still_colours)
    loader = make_loader(samples, BODY_18, augmentation, height=128, width=192, stride=8, seed=0)
    checked = 0
    for position in range(8):
        image, keypoints, _, _ = loader.load(position)
        white = (image[..., 0].astype(float) - 127).clip(0) * (image[..., 0] > 127)
        nose = keypoints[0, 0, :2]
        if 12 < nose[0] < 180 and 12 < nose[1] < 116:
            rows, columns = np.mgrid[:128, :192]
            found = np.array([(white * columns).sum(), (white * rows).sum()]) / white.sum()
            np.testing.assert_allclose(found, nose, atol=0.3)
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3, 0.12])
def test_reduced_decoding_keeps_the_geometry(tmp_path: Path, scale: float, kind: str) -> None:
    path = write_coco(tmp_path, [coco_person()], sizes=((401, 603),))
    picture = np.zeros((401, 603, 3), np.uint8)
    cv2.circle(picture, (300, 200), 60, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "images" / f"1.{kind}"), picture)
    path.write_text(path.read_text().replace("1.png", f"1.{kind}"))
    photo = load_photos(tmp_path / "images", path, BODY_18)[0]
    height, width = round(401 * scale), round(603 * scale)
    warped = read_warped(photo, resize_affine(width / 603, height / 401), height, width)[..., 0].astype(float)
    rows, columns = np.mgrid[:height, :width]
    found = np.array([(warped * columns).sum(), (warped * rows).sum()]) / warped.sum()
    expected = np.array([300.5 * width / 603 - 0.5, 200.5 * height / 401 - 0.5])
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_damaged_photo_is_named(tmp_path: Path, keras_loaded: None) -> None:
    path = write_coco(tmp_path, [coco_person()])
    photos = load_photos(tmp_path / "images", path, BODY_18)
    data = (tmp_path / "images" / "1.png").read_bytes()
    (tmp_path / "images" / "1.png").write_bytes(data[:40])
    samples = list_samples(photos, crop="photo", min_keypoints=1, min_area_px=0, min_distance_ratio=0)
    loader = make_loader(samples, BODY_18, Augmentation(crop="photo"), height=64, width=64, stride=8, seed=0)
    with pytest.raises(DataError, match=r"1.png: can't be decoded"):
        loader.load_batch(1, 0)
    assert "1.png" in str(loader.failures[0])
    (tmp_path / "images" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1.png: can't be decoded"):
        loader.load(0)
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1.png: can't be read"):
        loader.load(0)


@pytest.mark.parametrize("size", [(401, 603), (64, 70)])
def test_an_unchanged_photo_has_the_pixels_of_inference(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_coco(tmp_path, [coco_person()], sizes=(size,))
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), picture)
    photos = load_photos(tmp_path / "images", path, BODY_18)
    samples = list_samples(photos, crop="photo", min_keypoints=1, min_area_px=0, min_distance_ratio=0)
    still = {"flip_probability": 0.0, "rotation_deg": 0.0, "scale": (1.0, 1.0), "translation_px": 0.0}
    colours = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue_deg": 0.0}
    augmentation = Augmentation(crop="photo", **still, **colours)
    loader = make_loader(samples, BODY_18, augmentation, height=256, width=320, stride=8, seed=0)
    expected, _ = letterbox(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), 256, 320)
    difference = np.abs(loader.load(0)[0].astype(int) - expected)
    assert difference.mean() < 0.5


def test_a_teacher_sees_the_augmented_image(loader: SampleLoader) -> None:
    def teach(image: np.ndarray) -> np.ndarray:
        means = image.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3, 4))
        return np.repeat(means[..., None], 57, axis=2).astype(np.float32)

    taught = dataclasses.replace(loader, teacher=teach)
    for (images, labels), (plain, plain_labels) in zip(batches(taught, 3), batches(loader, 3), strict=True):
        np.testing.assert_array_equal(images, plain)
        assert labels.keys() - plain_labels.keys() == {"teacher"}
        np.testing.assert_array_equal(labels["teacher"], np.stack([teach(image) for image in images]))


@pytest.mark.parametrize("scale", [0.3, 0.55, 0.7, 0.85])
def test_moved_crops_are_as_sharp_as_inference(tmp_path: Path, scale: float) -> None:
    """Detail (mean squared difference of neighbours) of a shrunk and shifted photo against `letterbox`'s."""
    path = write_coco(tmp_path, [coco_person()], sizes=((400, 600),))
    noise = np.random.default_rng(0).normal(size=(400, 600))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(600), np.fft.fftfreq(400)))
    texture = np.fft.ifft2(np.fft.fft2(noise) / (frequency + 0.01)).real  # natural photos fall off like this
    picture = np.repeat((127 + 40 * texture / texture.std()).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), picture)
    photo = load_photos(tmp_path / "images", path, BODY_18)[0]
    height, width = round(400 * scale), round(600 * scale)
    still, matrix = letterbox(picture, height, width)

    def detail(image: np.ndarray) -> float:
        return float((np.diff(image[4:-4, 4:-4, 0].astype(float), axis=1) ** 2).mean())

    moved = []
    for shift in np.random.default_rng(1).uniform(-0.5, 0.5, (12, 2)):
        shifted = matrix + np.column_stack([np.zeros((2, 2)), shift])
        moved.append(detail(read_warped(photo, shifted, height, width)))
    assert 0.72 < np.mean(moved) / detail(still) < 1.2
