"""Faces are hidden from below the chin to above the hair, and nothing else is touched."""

import cv2
import numpy as np
import pytest

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.blur import blur_faces, face_circle, face_points
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from tests.unit.people import FISH, SWIMMING, people_at

NOISE = np.random.default_rng(3).integers(0, 256, (400, 600, 3), dtype=np.uint8)
NAMES = BODY_18.keypoints
FACE = [NAMES.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
# A standing person in centimetres around the neck, in BODY_18's order, and its face from the chin to the hair.
BODY = np.array(
    [
        [0, -23], [0, 0], [-18, 0], [-24, 28], [-27, 52], [18, 0], [24, 28], [27, 52], [-10, 50],
        [-11, 92], [-12, 132], [10, 50], [11, 92], [12, 132], [-3.2, -27], [3.2, -27], [-7.5, -25], [7.5, -25],
    ],
    np.float32,
)  # fmt: skip
CHIN, HAIR, CHEEKS = -14, -35, 8
MIDDLE = -25


def standing(x: float, y: float, scale: float, absent: tuple[int, ...] = ()) -> Person:
    keypoints = people_at((x, y, scale), shape=BODY)[0]
    keypoints[list(absent)] = np.nan
    return Person(keypoints, 1.0)


def lacking(*names: str) -> tuple[int, ...]:
    return tuple(NAMES.index(name) for name in names)


def circle(person: Person, skeleton: Skeleton = BODY_18) -> tuple[tuple[float, float], float] | None:
    return face_circle(person, face_points(skeleton), (400, 600))


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
@pytest.mark.parametrize(
    "absent",
    [
        (),
        lacking("left_eye", "left_ear"),  # from the side
        lacking("left_eye", "right_eye", "nose"),  # from behind
        lacking("left_eye", "right_eye", "left_ear", "right_ear"),
        lacking("neck", "left_shoulder", "right_shoulder"),
        tuple(FACE),
        (*FACE, NAMES.index("neck")),
        (*FACE, *lacking("left_hip", "right_hip")),
        tuple(set(range(18)) - {*lacking("nose", "left_wrist", "neck")}),
    ],
)
def test_the_circle_covers_the_face_from_chin_to_hair(scale: float, absent: tuple[int, ...]) -> None:
    (x, y), radius = circle(standing(300, 250, scale, absent))
    for across, along in ((0, CHIN), (0, HAIR), (CHEEKS, MIDDLE), (-CHEEKS, MIDDLE)):
        assert np.hypot(300 + across * scale - x, 250 + along * scale - y) <= radius
    assert radius < 20 * scale + 2


def test_lying_people_from_behind_have_their_circle_where_the_head_is() -> None:
    turned = standing(0, 0, 1.0, tuple(FACE)).moved(np.array([[0.0, -1, 300], [1, 0, 200]]))
    (x, y), radius = circle(turned)
    assert np.hypot(x - (300 - MIDDLE), y - 200) < 0.5 * radius


def test_a_face_point_or_shoulder_of_somebody_else_does_not_hide_half_of_the_photo() -> None:
    for keypoint in ("left_ear", "left_shoulder"):
        person = standing(100, 250, 1.0)
        person.keypoints[NAMES.index(keypoint), 0] += 350
        (x, y), radius = circle(person)
        assert np.hypot(x - 100, y - 250 - MIDDLE) < 5
        assert radius < 40


def test_nobody_recognises_the_face_and_the_rest_is_untouched() -> None:
    person = standing(300, 250, 1.5)
    blurred = blur_faces(NOISE, [person], BODY_18)
    (x, y), radius = circle(person)
    rows, columns = np.mgrid[:400, :600]
    distance = np.hypot(columns - x, rows - y)
    np.testing.assert_array_equal(blurred[distance > radius + 1], NOISE[distance > radius + 1])
    inside = distance < radius - 1

    def detail(image: np.ndarray) -> float:
        """Variance of what is finer than a ninth of the circle."""
        picture = image.astype(np.float32)
        return float((picture - cv2.GaussianBlur(picture, (0, 0), 2 * radius / 9))[inside].var())

    assert detail(blurred) < 0.01 * detail(NOISE)


def test_different_faces_with_the_same_mean_colours_become_the_same() -> None:
    """What is left of a face is 6 x 6 colours: faces that differ within the squares can't be told apart."""
    person = standing(300, 250, 2.0)
    (x, y), radius = circle(person)
    fine = np.where((np.indices((400, 600)).sum(axis=0) % 2)[..., None], 60, -60)
    base = np.full((400, 600, 3), 128)
    first, second = (blur_faces((base + sign * fine).astype(np.uint8), [person], BODY_18) for sign in (1, -1))
    part = slice(int(y - radius / 2), int(y + radius / 2)), slice(int(x - radius / 2), int(x + radius / 2))
    assert np.abs(first[part].astype(int) - second[part]).max() <= 6


def test_the_photo_stays_as_it_was_and_may_be_a_read_only_view() -> None:
    photo = NOISE[:, ::-1]
    photo.setflags(write=False)
    before = photo.copy()
    assert (blur_faces(photo, [standing(300, 250, 1.0)], BODY_18) != photo).any()
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("place", [(0, 50), (599, 60), (300, 20), (300, 430), (-500, 900), (1e9, -1e9)])
def test_faces_at_and_beyond_the_edge(place: tuple[float, float]) -> None:
    blurred = blur_faces(NOISE, [standing(*place, 1.0)], BODY_18)
    assert blurred.shape == NOISE.shape
    visible = -30 < place[0] < 630 and -10 < place[1] + MIDDLE < 415
    assert (blurred != NOISE).any() == visible


def test_a_lone_nose_is_hidden_and_a_lone_foot_is_not() -> None:
    nose, foot = (standing(300, 250, 1.0, tuple(set(range(18)) - {k})) for k in (0, 10))
    (x, y), radius = circle(nose)
    assert (x, y) == (300, 250 - 23)
    assert radius > 20
    assert circle(foot) is None
    np.testing.assert_array_equal(blur_faces(NOISE, [foot], BODY_18), NOISE)


def skeleton_of(*names: str) -> Skeleton:
    return Skeleton("mine", names, (), (), (0.05,) * len(names))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("nose", "nose"), ("Nose", "nose"), ("NOSE", "nose"), ("nose_tip", "nose"), ("nosetip", "nose")),
        *(("left_eye", "eye"), ("LEye", "eye"), ("l_eye", "eye"), ("leye", "eye"), ("eye-left", "eye")),
        *(("Left Eye", "eye"), ("leftEye", "eye"), ("eyes", "eye"), ("right_eye_inner", "eye"), ("eye2", "eye")),
        *(("REar", "ear"), ("right ear", "ear"), ("ear_r", "ear"), ("mouth_left", "mouth"), ("upper_lip", "lip")),
        *(("head_top", "head"), ("headtop", "head"), ("Head", "head"), ("top_head", "head"), ("forehead", "forehead")),
        *(("chin", "chin"), ("jawline_4", "jaw"), ("left_eyebrow", "eyebrow"), ("face-12", "face")),
        *((name, None) for name in ("neck", "rear_left_paw", "forearm", "heart", "left_heel", "hip", "tail", "gear")),
    ],
)
def test_face_points_are_known_by_their_names(name: str, kind: str | None) -> None:
    found = face_points(skeleton_of("nose", name) if name.lower() != "nose" else skeleton_of(name, "knee"))
    assert found.kinds.get(1 if name.lower() != "nose" else 0) == kind


def test_rear_is_an_ear_only_beside_a_left_ear() -> None:
    assert face_points(skeleton_of("lear", "rear")).kinds == {0: "ear", 1: "ear"}
    assert face_points(skeleton_of("nose", "rear")).kinds == {0: "nose"}


def test_a_skeleton_without_a_head_is_refused_with_its_names() -> None:
    hand = skeleton_of("wrist", "thumb_tip", "index_tip")
    with pytest.raises(BpnetError, match="skeleton mine: faces can't be blurred.* wrist, thumb_tip, index_tip"):
        blur_faces(NOISE, [], hand)


def test_a_head_point_on_top_counts_down_to_the_neck() -> None:
    """MPII has the crown and the upper end of the neck, 28 cm apart."""
    mpii = skeleton_of("head_top", "upper_neck", "left_shoulder", "right_shoulder")
    keypoints = np.array([(300, 100, 1), (300, 156, 1), (264, 170, 1), (336, 170, 1)], np.float32)
    (x, y), radius = circle(Person(keypoints, 1.0), mpii)
    assert x == 300
    assert y - radius < 100
    assert y + radius > 150
    fish = Person(np.column_stack([2 * SWIMMING + (300, 200), np.ones(4)]).astype(np.float32), 1.0)
    (x, y), radius = circle(fish, FISH)
    assert (x, y) == (360, 200)
    assert 20 < radius < 70
