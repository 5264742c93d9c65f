"""Comparing the maps of two networks."""

from types import SimpleNamespace

import numpy as np
import pytest

from bpnet_cli.inference.compare import map_difference, map_errors


class Fixed:
    """Answers with the same maps, whatever the photo."""

    fixed_size = None
    metadata = SimpleNamespace(input_multiple=8)

    def __init__(self, heat: float, paf: float) -> None:
        self.values = heat, paf

    def maps(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.array([[[[0.0, value]]]], np.float32) for value in self.values)


PHOTO = np.zeros((1, 8, 8, 3), np.uint8)


def test_the_largest_difference_of_either_map() -> None:
    assert map_difference(Fixed(0.5, 0.0), Fixed(0.25, 0.0), PHOTO) == 0.25
    assert map_difference(Fixed(0.5, -1.0), Fixed(0.25, 1.0), PHOTO) == 2.0


def test_the_mean_difference_is_over_all_values_of_both_maps() -> None:
    assert map_errors(Fixed(0.5, -1.0), Fixed(0.25, 1.0), PHOTO) == (2.0, 2.25 / 4)
    assert np.isnan(map_errors(Fixed(0.5, 0.0), Fixed(0.5, np.nan), PHOTO)).all()


@pytest.mark.parametrize("spoilt", [(np.nan, 0.0), (0.0, np.nan)])
def test_a_map_that_is_no_number_is_no_match(spoilt: tuple[float, float], keras_loaded: None) -> None:
    pytest.importorskip("onnx")
    from bpnet_cli.export.onnx import TOLERANCE, largest_difference

    assert largest_difference(Fixed(0.5, 0.0), Fixed(0.5, 0.0)) == 0
    assert not largest_difference(Fixed(0.5, 0.0), Fixed(*spoilt)) <= TOLERANCE
