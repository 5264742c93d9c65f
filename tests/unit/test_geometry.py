import numpy as np
import pytest

from bpnet_cli.pose.geometry import (
    apply_affine,
    cell_to_pixel,
    compose_affine,
    invert_affine,
    letterbox,
    network_input_size,
    pixel_to_cell,
)


def test_cell_centres() -> None:
    assert cell_to_pixel(0.0, 8) == 3.5
    assert cell_to_pixel(2.0, 8) == 19.5
    np.testing.assert_allclose(pixel_to_cell(cell_to_pixel(np.arange(9.0), 8), 8), np.arange(9.0))


def test_affine_and_its_inverse() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = rng.normal(size=(2, 3))
        points = rng.uniform(-100, 500, (7, 2))
        np.testing.assert_allclose(apply_affine(invert_affine(matrix), apply_affine(matrix, points)), points, atol=1e-6)
        other = rng.normal(size=(2, 3))
        both = apply_affine(compose_affine(matrix, other), points)
        np.testing.assert_allclose(both, apply_affine(matrix, apply_affine(other, points)), atol=1e-9)


@pytest.mark.parametrize(
    ("photo", "width", "multiple", "expected"),
    [
        ((480, 640), None, 8, (368, 496)),
        ((480, 640), None, 16, (368, 496)),
        ((480, 640), 656, 8, (368, 656)),
        ((640, 480), None, 8, (368, 280)),
        ((100, 10000), None, 8, (368, 1472)),
        ((10000, 10), None, 16, (368, 16)),
    ],
)
def test_network_input_size(
    photo: tuple[int, int], width: int | None, multiple: int, expected: tuple[int, int]
) -> None:
    assert network_input_size(*photo, 368, width, multiple, 4.0) == expected


def test_letterbox_matrix_follows_the_pixels() -> None:
    """A bright pixel block lands where the matrix says, for enlarging and shrinking."""
    for size, target in (((60, 90), (128, 128)), ((300, 500), (96, 128))):
        photo = np.zeros((*size, 3), np.uint8)
        y, x = size[0] // 3, size[1] // 2
        half = max(2, size[0] // 40)
        photo[y - half : y + half + 1, x - half : x + half + 1] = 255
        canvas, matrix = letterbox(photo, *target)
        content = (canvas[..., 0].astype(float) - 0) * (canvas[..., 0] != 127)
        rows, columns = np.mgrid[: target[0], : target[1]]
        found = np.array([(content * columns).sum(), (content * rows).sum()]) / content.sum()
        np.testing.assert_allclose(found, apply_affine(matrix, np.array([[x, y]], float))[0], atol=0.1)


def test_letterbox_pads_below_and_right_with_grey() -> None:
    canvas, matrix = letterbox(np.full((50, 100, 3), 200, np.uint8), 64, 64)
    assert canvas.shape == (64, 64, 3)
    assert (canvas[:32] == 200).all()
    assert (canvas[32:] == 127).all()
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) * 0.64)


def test_letterbox_of_extreme_shapes() -> None:
    for shape in ((1, 1), (1, 5000), (5000, 1)):
        canvas, matrix = letterbox(np.zeros((*shape, 3), np.uint8), 64, 96)
        assert canvas.shape == (64, 96, 3)
        assert np.isfinite(matrix).all()
