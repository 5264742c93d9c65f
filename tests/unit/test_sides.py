"""Left and right in names, as the tools of others spell them."""

from __future__ import annotations

import pytest

from bpnet_cli.sides import canonical, match_names, may_have_sides, pairs_by_name, without_partner

PAIRS = [
    ("left_eye", "right_eye"), ("L_Eye", "R_Eye"), ("LHip", "RHip"), ("leftEye", "rightEye"), ("LeftEye", "RightEye"),
    ("Left Eye", "Right Eye"), ("left-eye", "right-eye"), ("eye.l", "eye.r"), ("eye.L", "eye.R"), ("eye_L", "eye_R"),
    ("EyeL", "EyeR"), ("eyeLeft", "eyeRight"), ("L1", "R1"), ("1L", "1R"), ("hand_L1", "hand_R1"), ("p_l_2", "p_r_2"),
    ("Lshoulder", "Rshoulder"), ("lank", "rank"), ("LEAR", "REAR"), ("l_wrist", "r_wrist"),
    ("wrist_left", "wrist_right"),
    ("LEFT_EAR", "RIGHT_EAR"), ("Left front paw", "Right front paw"), ("L_F_Paw", "R_F_Paw"), ("F_L_Paw", "F_R_Paw"),
    ("front-left-1", "front-right-1"), ("lefteye", "righteye"), ("eyeleft", "eyeright"), ("lefthorn2", "righthorn2"),
    ("leftsnarf", "rightsnarf"), ("left", "right"), ("L", "R"), ("mixamo:LeftArm", "mixamo:RightArm"),
    ("L Eye ", "R Eye "), ("Lt. eye", "Rt. eye"), ("eye (left)", "eye (right)"), ("forelegL1", "forelegR1"),
    ("LF_paw", "RF_paw"), ("paw FL", "paw FR"), ("HL", "HR"), ("RL_paw", "RR_paw"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_pairs(left: str, right: str) -> None:
    names = ["nose", right, "tail", left, "L_alone"]
    assert pairs_by_name(names) == [(left, right)]
    assert without_partner(names, pairs_by_name(names)) == ["L_alone"]
    assert canonical(left)[0] == "left" or "snarf" in left
    assert canonical(left)[1:] == canonical(right)[1:] or "snarf" in left


@pytest.mark.parametrize(
    "names",
    [
        ("lateral", "rateral"),
        ("collar", "rollar", "collal"),
        ("cleft_a", "cright_a"),
        ("Lip", "Rip"),
        ("lip", "rip"),
        ("L1", "L2", "L5"),
        ("ulna_r", "ulna_s"),
        ("left",),
        ("left_eye", "right_ear"),
        ("leftover", "light_over"),
        ("bright", "bleft"),
        ("left_a", "right_a", "l_a"),  # the partner is not certain
        ("left_left", "right_right"),
    ],
)
def test_no_pairs(names: tuple[str, ...]) -> None:
    assert pairs_by_name(names) == []


def test_a_letter_in_front_is_a_side_where_a_file_has_the_habit() -> None:
    names = ["Lfoo", "Rfoo", "Lbar", "Rbar", "Lip", "Rip"]
    assert pairs_by_name(names[2:]) == []
    assert pairs_by_name(names) == [("Lfoo", "Rfoo"), ("Lbar", "Rbar"), ("Lip", "Rip")]


def test_markers_of_motion_capture() -> None:
    names = ["C7", "CLAV", "LASI", "RASI", "LPSI", "RPSI", "LTHI", "RTHI", "RBAK"]
    assert pairs_by_name(names) == [("LASI", "RASI"), ("LPSI", "RPSI"), ("LTHI", "RTHI")]
    assert without_partner(names, pairs_by_name(names)) == []


def test_four_legs() -> None:
    names = ["FL", "FR", "RL", "RR", "LF", "RF"]
    assert pairs_by_name(names[:4]) == [("FL", "FR"), ("RL", "RR")]
    assert pairs_by_name([f"{name}_paw" for name in names[2:]]) == [("RL_paw", "RR_paw"), ("LF_paw", "RF_paw")]


def test_pairs_come_in_the_order_of_their_left_names() -> None:
    assert pairs_by_name(["R1", "L2", "L1", "R2"]) == [("L2", "R2"), ("L1", "R1")]


def test_sides_without_a_partner() -> None:
    names = ["nose", "left_eye", "right_eye", "ulna_r", "RHip", "lear", "lateral", "collar", "Lip"]
    assert without_partner(names, pairs_by_name(names)) == ["ulna_r", "RHip"]
    assert without_partner(names, []) == ["left_eye", "right_eye", "ulna_r", "RHip"]


def test_names_match_in_any_spelling() -> None:
    wanted = ["nose", "left_eye", "right_eye", "front_left_paw", "thumb_1"]
    names = ["Nose", "L_Eye", "rightEye", "Left front paw", "thumb1", "tail"]
    assert match_names(names, wanted) == dict(zip(names[:5], wanted, strict=True))
    # The same name counts before another spelling, and what fits twice fits none.
    assert match_names(["L_Eye", "left_eye"], wanted) == {"left_eye": "left_eye"}
    assert match_names(["L_Eye", "LEye"], wanted) == {}


@pytest.mark.parametrize(("left", "right"), [("links", "rechts"), ("gauche", "droite"), ("izq", "der")])
def test_words_of_other_languages(left: str, right: str) -> None:
    names = ["nase", *(f"{part}_{side}" for part in ("auge", "knie") for side in (left, right))]
    assert pairs_by_name(names) == [(f"auge_{left}", f"auge_{right}"), (f"knie_{left}", f"knie_{right}")]


def test_sides_in_a_language_that_is_not_known() -> None:
    names = [f"{part}_{side}" for part in ("oko", "ucho", "kolano") for side in ("lewe", "prawe")]
    assert pairs_by_name(names) == []
    assert may_have_sides(names)
    assert not may_have_sides(names[:4])
    assert not may_have_sides([f"{finger}_{joint}" for finger in ("a", "b", "c", "d") for joint in ("x", "y", "z")])
