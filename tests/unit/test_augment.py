import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.augment import Augmentation, draw_colour, draw_geometry, move_keypoints, warp_image
from bpnet_cli.data.images import image_file
from bpnet_cli.data.photos import Photo
from bpnet_cli.data.samples import Sample
from bpnet_cli.pose.geometry import apply_affine, invert_affine, letterbox

STILL = {"flip_probability": 0.0, "rotation_deg": 0.0, "scale": (1.0, 1.0), "translation_px": 0.0}
COLOURLESS = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue_deg": 0.0}


def make_sample(height: int = 200, width: int = 300, box: tuple = (100, 40, 60, 120), person: int | None = 0) -> Sample:
    keypoints = np.random.default_rng(0).uniform(0, 200, (1, 18, 3)).astype(np.float32)
    keypoints[..., 2] = 2
    keypoints[0, 3] = 0
    photo = Photo(
        image=image_file("x.png"),
        image_id=1,
        height=height,
        width=width,
        keypoints=keypoints,
        label_counts=np.array([17]),
        boxes=np.array([box], np.float32),
        areas=np.array([box[2] * box[3]], np.float32),
        labelled=np.ones(18, bool),
        ignore=None,
    )
    return Sample(photo, person)


def geometry(sample: Sample, seed: int = 0, **changes: object) -> tuple[np.ndarray, bool]:
    return draw_geometry(np.random.default_rng(seed), Augmentation(**(STILL | changes)), sample, 256, 320)


def test_a_still_photo_lands_where_letterbox_puts_it() -> None:
    matrix, mirrored = geometry(make_sample(person=None), crop="photo")
    _, expected = letterbox(np.zeros((200, 300, 3), np.uint8), 256, 320)
    np.testing.assert_allclose(matrix, expected, atol=1e-9)
    assert not mirrored


def test_a_still_person_stands_in_the_middle_at_its_height() -> None:
    matrix, _ = geometry(make_sample(), person_height=0.6)
    corners = apply_affine(matrix, np.array([[129.5, 99.5], [99.5, 39.5], [99.5, 159.5]]))
    np.testing.assert_allclose(corners[0], [159.5, 127.5])
    assert corners[2, 1] - corners[1, 1] == pytest.approx(0.6 * 256)


def test_ranges_bound_what_is_drawn() -> None:
    sizes, angles, shifts, flips = [], [], [], []
    for seed in range(300):
        matrix, mirrored = geometry(
            make_sample(), seed, flip_probability=0.5, rotation_deg=30.0, scale=(0.5, 2.0), translation_px=20.0
        )
        linear = matrix[:, :2] @ np.diag([-1 if mirrored else 1, 1])
        sizes.append(np.sqrt(abs(np.linalg.det(linear))) / (0.6 * 256 / 120))
        angles.append(np.degrees(np.arctan2(matrix[1, 0], matrix[1, 1])))
        shifts.append(apply_affine(matrix, np.array([129.5, 99.5])) - (159.5, 127.5))
        flips.append(mirrored)
    assert 0.5 <= min(sizes) < 0.6
    assert 1.8 < max(sizes) <= 2.0
    assert -30 <= min(angles) < -25
    assert 25 < max(angles) <= 30
    assert 15 < np.abs(shifts).max() <= 20
    assert 100 < sum(flips) < 200


def test_flipping_twice_is_the_identity() -> None:
    sample = make_sample()
    keypoints = sample.photo.keypoints
    matrix, mirrored = geometry(sample, flip_probability=1.0)
    assert mirrored
    once = move_keypoints(keypoints, matrix, True, BODY_18.flip_permutation)
    twice = move_keypoints(once, invert_affine(matrix), True, BODY_18.flip_permutation)
    np.testing.assert_allclose(twice, keypoints, atol=1e-3)
    left, right = BODY_18.keypoints.index("left_hip"), BODY_18.keypoints.index("right_hip")
    np.testing.assert_allclose(
        once[0, left, :2], apply_affine(matrix, keypoints[0, right, :2].astype(float)), rtol=1e-5
    )


def test_unlabelled_keypoints_stay_zero() -> None:
    matrix, _ = geometry(make_sample())
    assert (move_keypoints(make_sample().photo.keypoints, matrix, False, BODY_18.flip_permutation)[0, 3] == 0).all()


def test_each_person_moves_by_a_map_of_its_own() -> None:
    keypoints = np.random.default_rng(1).uniform(0, 200, (3, 18, 3)).astype(np.float32)
    drawn = [geometry(make_sample(), seed, flip_probability=0.5, rotation_deg=40.0) for seed in (0, 1, 2)]
    matrices, mirrored = (np.array(values) for values in zip(*drawn, strict=True))
    assert 0 < mirrored.sum() < 3
    together = move_keypoints(keypoints, matrices, mirrored, BODY_18.flip_permutation)
    alone = [
        move_keypoints(keypoints[[i]], matrices[i], bool(mirrored[i]), BODY_18.flip_permutation)[0] for i in range(3)
    ]
    np.testing.assert_array_equal(together, alone)


def test_pixels_and_keypoints_move_together() -> None:
    for seed in range(5):
        photo = np.zeros((200, 300, 3), np.uint8)
        photo[97:104, 147:154] = 255
        matrix, _ = geometry(make_sample(), seed, flip_probability=0.5, rotation_deg=40.0, scale=(0.7, 1.4))
        warped = warp_image(photo, matrix, 256, 320, fill=0)[..., 0].astype(float)
        rows, columns = np.mgrid[:256, :320]
        found = np.array([(warped * columns).sum(), (warped * rows).sum()]) / warped.sum()
        np.testing.assert_allclose(found, apply_affine(matrix, np.array([150.0, 100.0])), atol=0.15)


def test_a_lying_person_is_not_blown_up() -> None:
    matrix, _ = geometry(make_sample(box=(20, 90, 240, 30)))
    assert np.sqrt(np.linalg.det(matrix[:, :2])) == pytest.approx(0.6 * 256 / 120)


def test_colour_maps() -> None:
    rng = np.random.default_rng(0)
    assert draw_colour(rng, Augmentation(**COLOURLESS)) is None
    grey = np.array([100.0, 100.0, 100.0, 1.0])
    hue = draw_colour(rng, Augmentation(**(COLOURLESS | {"hue_deg": 90.0})))
    np.testing.assert_allclose(hue @ grey, grey[:3], atol=1e-3)
    saturation = draw_colour(rng, Augmentation(**(COLOURLESS | {"saturation": 0.5})))
    np.testing.assert_allclose(saturation @ grey, grey[:3], atol=1e-3)
    assert not np.allclose(saturation @ np.array([200.0, 50.0, 50.0, 1.0]), [200, 50, 50], atol=1)
    brightness = draw_colour(rng, Augmentation(**(COLOURLESS | {"brightness": 0.5})))
    np.testing.assert_allclose(brightness[:, :3], np.eye(3), atol=1e-6)
    assert 0 < abs(brightness[0, 3]) <= 127.5
    contrast = draw_colour(rng, Augmentation(**(COLOURLESS | {"contrast": 0.5})))
    np.testing.assert_allclose(contrast @ np.array([127.5, 127.5, 127.5, 1]), 127.5, atol=1e-3)
    assert contrast[0, 0] != 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_random_crop_lies_anywhere_on_the_photo_and_not_beside_it(scale: float) -> None:
    corners = np.array([[0.0, 0.0], [299.0, 199.0]])
    placed = np.array(
        [
            apply_affine(geometry(make_sample(person=None), seed, crop="random", scale=(scale, scale))[0], corners)
            for seed in range(200)
        ]
    )
    low, high = placed[:, 0], placed[:, 1]
    # The photo is 300 x 200, the crop 320 x 256: letterboxed it fills the width.
    for axis, side, length in ((0, 319, 320 * scale), (1, 255, 320 * scale / 1.5)):
        inside = length <= side + 1
        edges = (low[:, axis], side - high[:, axis])
        room = abs(side + 1 - length)
        for edge in edges:
            assert (edge > -1.5).all() if inside else (edge < 1.5).all()
            assert np.ptp(edge) > 0.8 * room - 1
