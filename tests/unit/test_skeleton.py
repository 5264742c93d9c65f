import numpy as np
import pytest

from bpnet_cli import BODY_18, Skeleton
from bpnet_cli.errors import SpecError


def test_body_18_is_bodyposenets() -> None:
    assert BODY_18.heatmap_channels == 19
    assert BODY_18.paf_channels == 38
    pairs = "1-8 8-9 9-10 1-11 11-12 12-13 1-2 2-3 3-4 2-16 1-5 5-6 6-7 5-17 1-0 0-14 0-15 14-16 15-17"
    assert " ".join(f"{a}-{b}" for a, b in BODY_18.limb_indices) == pairs
    assert BODY_18.flip_permutation.tolist() == [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]


def test_flip_is_an_involution_that_swaps_sides() -> None:
    flip = BODY_18.flip_permutation
    assert (flip[flip] == np.arange(18)).all()
    for i, name in enumerate(BODY_18.keypoints):
        swapped = name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        assert BODY_18.keypoints[flip[i]] == swapped


def test_limbs_mirror_onto_limbs() -> None:
    flip, limbs = BODY_18.flip_permutation, {tuple(limb) for limb in BODY_18.limb_indices}
    assert {(flip[a], flip[b]) for a, b in limbs} == limbs


def test_round_trip() -> None:
    assert Skeleton.from_dict(BODY_18.to_dict()) == BODY_18


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limbs": [["a", "x"]]}, "limbs \\['a', 'x'\\]: 'x' is not one of its keypoints"),
        ({"limbs": [["a", "a"]]}, "the keypoints must be different"),
        ({"limbs": [["a", "b"], ["a", "b"]]}, r"has the limb \('a', 'b'\) twice"),
        ({"keypoints": ["a", "a"], "sigmas": [0.1, 0.1], "limbs": []}, "has the keypoint a twice"),
        ({"sigmas": [0.1]}, "has 1 sigmas, but 2 keypoints"),
        ({"sigmas": [0.1, 0.0]}, "sigmas must be positive"),
        ({"flip_pairs": [["a", "b"], ["b", "a"]]}, "is in two pairs"),
        ({"keypoints": [], "limbs": [], "sigmas": []}, "has no keypoints"),
    ],
)
def test_refuses_what_does_not_fit(change: dict, message: str) -> None:
    base = {"name": "s", "keypoints": ["a", "b"], "limbs": [["a", "b"]], "flip_pairs": [], "sigmas": [0.1, 0.1]}
    with pytest.raises(SpecError, match=message):
        Skeleton.from_dict(base | change)
