from dataclasses import replace

import numpy as np
import pytest

from bpnet_cli.inference.captions import caption
from bpnet_cli.inference.colours import LEFT, MIDDLE, PEOPLE, RIGHT
from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from tests.unit.people import FISH, SWIMMING, people_at

GREY = np.full((200, 240, 3), 128, np.uint8)
LARGE = np.full((400, 480, 3), 128, np.uint8)
STICK = Skeleton("stick", ("tip", "l", "r"), (("tip", "l"), ("tip", "r"), ("l", "r")), (("l", "r"),), (0.1,) * 3)


def person(*points: tuple[float, float] | None, score: float = 1.0) -> Person:
    rows = [(np.nan,) * 3 if point is None else (*point, 0.9) for point in points]
    return Person(np.array(rows, np.float32), score)


def colour_at(image: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(image[y, x].tolist())


TRIANGLE = person((120, 40), (180, 160), (60, 160))


def test_sides_have_their_colours_on_any_skeleton() -> None:
    drawn = draw_persons(GREY, [TRIANGLE], STICK)
    assert colour_at(drawn, 120, 40) in MIDDLE
    assert colour_at(drawn, 180, 160) in LEFT
    assert colour_at(drawn, 60, 160) in RIGHT
    assert colour_at(drawn, 150, 100) in LEFT
    assert colour_at(drawn, 90, 100) in RIGHT
    assert colour_at(drawn, 120, 160) in MIDDLE


def test_leaves_the_photo_as_it_was() -> None:
    photo = GREY.copy()
    drawn = draw_persons(photo, [TRIANGLE], STICK)
    assert drawn.dtype == np.uint8
    assert drawn.shape == photo.shape
    np.testing.assert_array_equal(photo, GREY)
    assert (drawn != photo).any()


def test_takes_a_photo_that_is_a_read_only_view() -> None:
    photo = GREY[:, ::-1, ::-1]
    photo.setflags(write=False)
    np.testing.assert_array_equal(draw_persons(photo, [TRIANGLE], STICK), draw_persons(GREY, [TRIANGLE], STICK))


def test_absent_keypoints_and_their_limbs_are_left_out() -> None:
    drawn = draw_persons(GREY, [person((120, 40), None, (60, 160))], STICK)
    assert colour_at(drawn, 90, 100) in RIGHT
    assert colour_at(drawn, 150, 100) == colour_at(drawn, 120, 160) == (128, 128, 128)
    nobody = person(*[None] * 18)
    np.testing.assert_array_equal(draw_persons(GREY, [nobody], BODY_18, show_scores=True), GREY)
    np.testing.assert_array_equal(draw_persons(GREY, [], BODY_18), GREY)


def test_a_lone_keypoint_is_a_dot() -> None:
    drawn = draw_persons(GREY, [person(None, (100, 50), None)], STICK)
    assert colour_at(drawn, 100, 50) in LEFT
    assert 1 < (drawn != GREY).any(axis=-1).sum() < 100


def test_lines_grow_with_the_person_and_the_photo() -> None:
    def changed(height: int, width: int, scale: float) -> float:
        points = [(scale * x, scale * y) for x, y in ((120, 40), (180, 160), (60, 160))]
        drawn = draw_persons(np.zeros((height, width, 3), np.uint8), [person(*points)], STICK)
        return (drawn > 60).any(axis=-1).sum() / scale  # divided by the lines' length: their width

    assert changed(1000, 1200, 5.0) > 2 * changed(1000, 1200, 1.0)
    assert changed(4000, 4800, 1.0) > 2 * changed(200, 240, 1.0)


def test_surer_people_are_on_top_in_any_order() -> None:
    people = [TRIANGLE, person((120, 160), (180, 40), (60, 40), score=2.0)]
    forwards, backwards = draw_persons(GREY, people, STICK), draw_persons(GREY, people[::-1], STICK)
    np.testing.assert_array_equal(forwards, backwards)


@pytest.mark.parametrize("point", [(0.0, 0.0), (239.0, 199.0), (120.0, 2.0), (-50.0, 300.0), (1e9, -1e9)])
def test_keypoints_at_and_beyond_the_border(point: tuple[float, float]) -> None:
    drawn = draw_persons(GREY, [person(point, (180, 160), None)], STICK, show_scores=True)
    assert drawn.shape == GREY.shape


def test_scores_are_written_only_when_asked() -> None:
    plain, scored = (draw_persons(GREY, [TRIANGLE], STICK, show_scores=show) for show in (False, True))
    rows = np.flatnonzero((plain != scored).any(axis=(1, 2)))
    assert len(rows) > 0
    assert rows.max() < 40


def standing(x: float, y: float, scale: float, score: float = 1.0, number: int | None = None) -> Person:
    return Person(people_at((x, y, scale))[0], score, number)


def line_colour(drawn: np.ndarray, who: Person) -> tuple[int, ...]:
    hip, knee = who.keypoints[8, :2], who.keypoints[9, :2]
    x, y = (0.55 * hip + 0.45 * knee).round().astype(int)
    return colour_at(drawn, x, y)


def test_a_person_keeps_its_colour_by_its_number_wherever_it_is() -> None:
    crowd = [standing(60 + 120 * i, 200, 1.3, number=7 * i) for i in range(4)]
    drawn = draw_persons(LARGE, crowd, BODY_18, colour="person")
    assert [line_colour(drawn, one) for one in crowd] == [PEOPLE[n % 10] for n in (0, 7, 14, 21)]
    later = [standing(400, 190, 1.6, number=7), standing(100, 220, 1.2, number=0)]
    drawn = draw_persons(LARGE, later, BODY_18, colour="person")
    assert [line_colour(drawn, one) for one in later] == [PEOPLE[7], PEOPLE[0]]


def test_without_numbers_colours_go_from_left_to_right() -> None:
    crowd = [standing(x, 200, 1.3, score=x) for x in (400, 80, 240)]
    drawn = draw_persons(LARGE, crowd, BODY_18, colour="person")
    assert [line_colour(drawn, one) for one in crowd] == [PEOPLE[2], PEOPLE[0], PEOPLE[1]]
    np.testing.assert_array_equal(drawn, draw_persons(LARGE, crowd[::-1], BODY_18, colour="person"))


def test_a_persons_limbs_have_one_colour_and_its_keypoints_a_lighter_one_on_any_skeleton() -> None:
    fish = Person(np.column_stack([2 * SWIMMING + (120, 100), np.ones(4)]).astype(np.float32), 1.0, 12)
    first = draw_persons(GREY, [replace(fish, id=2)], FISH, colour="person")
    second = draw_persons(GREY, [fish], FISH, colour="person")
    for drawn, lighter in ((first, 1), (second, -1)):
        # In the middle between tail and belly, and on the tail.
        assert colour_at(drawn, 85, 102) == PEOPLE[2]
        assert np.sign(np.int32(drawn[100, 50]).sum() - sum(PEOPLE[2])) == lighter


def test_black_has_no_photo_and_the_same_people() -> None:
    crowd = [standing(70, 100, 1.2), standing(130, 110, 0.9, score=2.0)]
    black = draw_persons(GREY, crowd, BODY_18, background="black")
    np.testing.assert_array_equal(black, draw_persons(np.zeros_like(GREY), crowd, BODY_18))


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_transparent_pictures_look_right_over_anything(ground: int) -> None:
    crowd = [standing(70, 100, 1.2, number=3), standing(130, 110, 0.9, score=2.0, number=4)]
    look = {"colour": "person", "show_ids": True, "show_scores": True}
    picture = draw_persons(GREY, crowd, BODY_18, background="transparent", **look)
    assert picture.shape == (200, 240, 4)
    alpha = picture[..., 3:] / 255
    assert ((alpha > 0) & (alpha < 1)).sum() > 100
    composed = picture[..., :3] * alpha + ground * (1 - alpha)
    expected = draw_persons(np.full_like(GREY, ground), crowd, BODY_18, **look)
    difference = np.abs(composed - expected)
    assert difference.max() < 10  # cv2 rounds down each of the lines on top of each other
    assert difference.mean() < 0.1


def reach(drawn: np.ndarray, where: slice) -> int:
    """Pixels that differ from black in a part of the picture."""
    return int((drawn[:, where].max(axis=-1) > 60).sum())


def test_a_person_merged_from_two_has_thin_lines_like_its_neighbours() -> None:
    black = np.zeros((600, 1600, 3), np.uint8)
    small = standing(100, 300, 0.5)
    merged = small.keypoints.copy()
    merged[13] = standing(1500, 300, 0.5).keypoints[13]  # the left ankle is somebody else's
    alone = draw_persons(black, [small], BODY_18)
    drawn = draw_persons(black, [Person(merged, 1.0)], BODY_18)
    assert reach(drawn, slice(0, 100)) == reach(alone, slice(0, 100))
    large = Person(people_at((100, 300, 5.0))[0], 1.0)
    assert reach(draw_persons(black, [large], BODY_18), slice(0, 100)) > 3 * reach(alone, slice(0, 100))


def test_lines_of_every_width_have_an_outline() -> None:
    white = np.full((1200, 900, 3), 255, np.uint8)
    for scale in np.arange(1, 10, 0.5):
        knee = round(600 + 15 * scale)  # half way down the thigh
        row = draw_persons(white, [Person(people_at((450, 600, scale))[0], 1.0)], BODY_18)[knee].max(axis=-1)
        inner = np.flatnonzero(row < 230)
        assert row[inner[0] : inner[0] + 3].min() < 120, scale


def test_small_people_are_drawn_over_large_ones_and_of_equals_the_surer_is_on_top() -> None:
    large, small = standing(120, 100, 1.6, score=9.0, number=0), standing(111, 100, 0.6, score=1.0, number=1)
    drawn = draw_persons(np.zeros((800, 900, 3), np.uint8), [large, small], BODY_18, colour="person")
    assert line_colour(drawn, small) == PEOPLE[1]
    equals = [replace(TRIANGLE, id=0), replace(TRIANGLE, id=1, score=2.0)]
    assert colour_at(draw_persons(GREY, equals, STICK, colour="person"), 150, 100) == PEOPLE[1]


def test_captions_hold_what_is_asked_for() -> None:
    eighth = standing(0, 0, 1.0, 3.456, 8)
    assert caption(eighth, show_id=True, show_score=False) == "#8"
    assert caption(eighth, show_id=False, show_score=True) == "3.46"
    assert caption(eighth, show_id=True, show_score=True) == "#8 3.46"
    nameless = replace(eighth, id=None)
    assert caption(nameless, show_id=True, show_score=True) == "3.46"
    np.testing.assert_array_equal(
        draw_persons(GREY, [nameless], BODY_18, show_ids=True), draw_persons(GREY, [nameless], BODY_18)
    )


def plates(drawn: np.ndarray, plain: np.ndarray) -> int:
    """How many pixels the captions changed."""
    return int((drawn != plain).any(axis=-1).sum())


def test_captions_do_not_cover_each_other() -> None:
    black = np.zeros((600, 800, 3), np.uint8)
    places = [(300, 300), (310, 305), (320, 300), (330, 305)]
    crowd = [standing(x, y, 1.0, number=30 + i) for i, (x, y) in enumerate(places)]
    changed = [
        plates(draw_persons(black, group, BODY_18, show_ids=True), draw_persons(black, group, BODY_18))
        for group in ([crowd[0]], crowd)
    ]
    assert changed[1] > 3.2 * changed[0]  # four plates; parts of plates on lines of the same dark colour don't count


@pytest.mark.parametrize("place", [(5, 50), (235, 50), (120, 10), (120, 190)])
def test_captions_are_inside_the_photo(place: tuple[int, int]) -> None:
    one = standing(*place, 0.8, 8.8888, 77)
    black = np.zeros((200, 240, 3), np.uint8)
    far = standing(120, 100, 0.8, 8.8888, 77)
    inside, reference = (
        plates(draw_persons(black, [p], BODY_18, show_ids=True, show_scores=True), draw_persons(black, [p], BODY_18))
        for p in (one.clipped(240, 200), far)
    )
    assert inside > 0.85 * reference
    tiny = draw_persons(np.zeros((6, 5, 3), np.uint8), [one.clipped(5, 6)], BODY_18, show_scores=True)
    assert tiny.shape == (6, 5, 3)


def test_maps_show_beside_each_other_where_they_are_high() -> None:
    heatmaps, pafs = np.zeros((25, 30, 4), np.float32), np.zeros((25, 30, 6), np.float32)
    heatmaps[..., -1] = 1  # the background says nothing
    flat = draw_maps(GREY, heatmaps, pafs)
    assert flat.shape == (200, 480, 3)
    assert (flat == flat[0, 0]).all()
    heatmaps[10, 5, 1] = 1
    pafs[3, 20, 2:4] = 0.6, -0.8
    shown = (draw_maps(GREY, heatmaps, pafs) != flat).any(axis=-1)
    for half, (x, y) in ((shown[:, :240], (43.5, 83.5)), (shown[:, 240:], (163.5, 27.5))):
        rows, columns = np.nonzero(half)
        assert columns.mean() == pytest.approx(x, abs=0.51)
        assert rows.mean() == pytest.approx(y, abs=0.51)
        assert len(rows) <= 16 * 16


def test_maps_out_of_range_do_not_break_the_picture() -> None:
    heatmaps, pafs = np.full((25, 30, 4), np.nan, np.float16), np.full((25, 30, 6), 9.0, np.float16)
    picture = draw_maps(GREY, heatmaps, pafs)
    assert (picture[:, :240] == picture[0, 0]).all()
    assert (picture[:, 240:] == picture[0, 240]).all()
