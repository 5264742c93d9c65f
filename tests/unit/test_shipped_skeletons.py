"""The skeletons that come with the package, against facts of their data sets that are written here by hand."""

from __future__ import annotations

import pytest

from bpnet_cli.build import named_skeleton
from bpnet_cli.data.animal import ANIMAL_KEYPOINTS
from bpnet_cli.data.hand import HAND_KEYPOINTS
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS, groups_of
from bpnet_cli.sides import match_names, without_partner
from bpnet_cli.spec.shipped import skeleton_names

# AP-10K's own names, as in its annotation files.
AP_10K = [
    *("L_Eye", "R_Eye", "Nose", "Neck", "Root of tail", "L_Shoulder", "L_Elbow", "L_F_Paw", "R_Shoulder", "R_Elbow"),
    *("R_F_Paw", "L_Hip", "L_Knee", "L_B_Paw", "R_Hip", "R_Knee", "R_B_Paw"),
]


@pytest.mark.parametrize("name", skeleton_names())
def test_sides_and_limbs_are_whole(name: str) -> None:
    skeleton = named_skeleton(name)
    assert skeleton.name == name
    assert str(len(skeleton.keypoints)) in name
    assert without_partner(skeleton.keypoints, skeleton.flip_pairs) == []
    ends = [(int(a), int(b)) for a, b in skeleton.limb_indices]
    assert len(groups_of(len(skeleton.keypoints), ends)) == 1  # no part of a person is left alone
    flip = skeleton.flip_permutation
    assert {frozenset((flip[a], flip[b])) for a, b in ends} == {frozenset(limb) for limb in ends}
    if name != "face_68":  # those of faces were measured for each side
        assert [skeleton.sigmas[i] for i in flip] == list(skeleton.sigmas)


def test_their_order_is_that_of_their_data_sets() -> None:
    assert named_skeleton("coco_17").keypoints == COCO_KEYPOINTS
    assert named_skeleton("halpe_26").keypoints[:20] == (*COCO_KEYPOINTS, "head", "neck", "hip")
    assert named_skeleton("halpe_26").keypoints[20:22] == ("left_big_toe", "right_big_toe")
    assert match_names(AP_10K, named_skeleton("animal_17").keypoints) == dict(
        zip(AP_10K, named_skeleton("animal_17").keypoints, strict=True)
    )
    assert named_skeleton("hand_21").keypoints == HAND_KEYPOINTS
    assert named_skeleton("animal_17").keypoints == ANIMAL_KEYPOINTS


def test_the_dense_body_is_body_18_with_more_limbs() -> None:
    dense = named_skeleton("body_18_dense")
    assert (dense.keypoints, dense.sigmas, dense.midpoints) == (BODY_18.keypoints, BODY_18.sigmas, BODY_18.midpoints)
    assert dense.limbs[: len(BODY_18.limbs)] == BODY_18.limbs
    assert len(dense.limbs) == 23


def test_a_mirrored_face_is_a_face() -> None:
    """In 300-W, the jaw goes from ear to ear, the eyes begin at the outer and at the inner corner."""
    face = named_skeleton("face_68")
    pairs = {(0, 16), (17, 26), (31, 35), (36, 45), (39, 42), (40, 47), (48, 54), (59, 55), (60, 64), (67, 65)}
    assert pairs <= {(int(a), int(b)) for a, b in enumerate(face.flip_permutation)}
    assert [i for i, other in enumerate(face.flip_permutation) if i == other] == [
        *(8, 27, 28, 29, 30, 33, 51, 57, 62, 66)
    ]
