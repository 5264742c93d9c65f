import numpy as np
import pytest

from bpnet_cli.inference.colours import LEFT, MIDDLE, RIGHT
from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, Skeleton

GREY = np.full((200, 240, 3), 128, np.uint8)
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
