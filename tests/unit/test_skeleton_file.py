"""Skeleton files: defaults that are found by name, and the exact text of what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bpnet_cli.build import skeleton_of, with_whole_skeleton
from bpnet_cli.errors import SpecError
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.loader import load_spec_text
from bpnet_cli.spec.skeleton_file import load_skeleton_file, skeleton_values

HAND = """\
name: hand
keypoints: [nose, left_hip, right_hip, l_tip, r_tip, paw-left-1, paw-right-1, cleft_a, cright_a, l_alone]
limbs: [[nose, left_hip], [nose, right_hip]]
"""


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "skeleton.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_defaults_are_found_by_name(written: Any) -> None:
    assert skeleton_values(load_skeleton_file(written(HAND))) == {
        "name": "hand",
        "keypoints": [
            "nose", "left_hip", "right_hip", "l_tip", "r_tip", "paw-left-1", "paw-right-1", "cleft_a", "cright_a",
            "l_alone",
        ],
        "limbs": [["nose", "left_hip"], ["nose", "right_hip"]],
        "flip_pairs": [["left_hip", "right_hip"], ["l_tip", "r_tip"], ["paw-left-1", "paw-right-1"]],
        "sigmas": [0.026, 0.107, 0.107, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
        "midpoints": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "sigmas"),
    [
        ("sigmas: 0.1", [0.1] * 10),
        ("sigmas: 1", [1.0] * 10),
        ("sigmas: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("sigmas: {l_tip: 0.2, nose: 1}", [1, 0.107, 0.107, 0.2, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05]),
        ("sigmas: {}", [0.026, 0.107, 0.107, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05]),
    ],
)
def test_sigmas(written: Any, line: str, sigmas: list[float]) -> None:
    assert skeleton_values(load_skeleton_file(written(HAND + line)))["sigmas"] == sigmas


def test_flip_pairs_and_midpoints_as_written(written: Any) -> None:
    values = skeleton_values(
        load_skeleton_file(written(HAND + "flip_pairs: []\nmidpoints: {nose: [left_hip, right_hip]}"))
    )
    assert values["flip_pairs"] == []
    assert values["midpoints"] == {"nose": ["left_hip", "right_hip"]}


def test_body_18_survives_a_file(written: Any) -> None:
    values = BODY_18.to_dict()
    assert Skeleton.from_dict(skeleton_values(load_skeleton_file(written(yaml.safe_dump(values))))) == BODY_18
    shortest = {key: values[key] for key in ("name", "keypoints", "limbs", "midpoints")}
    found = Skeleton.from_dict(skeleton_values(load_skeleton_file(written(yaml.safe_dump(shortest)))))
    assert found.sigmas == BODY_18.sigmas
    assert sorted(found.flip_pairs) == sorted(BODY_18.flip_pairs)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("name: hand", ["1: keypoints: is missing", "1: limbs: is missing"]),
        (HAND + "sigma: 1", ["4: sigma: unknown key, did you mean 'sigmas'?"]),
        (HAND + "sigmas: {nos: 1}", ["4: sigmas.nos: no keypoint has this name, did you mean 'nose'? (got 1)"]),
        (HAND + "sigmas: {nose: -1}", ["4: sigmas.nose: must be greater than 0 (got -1)"]),
        (HAND + "sigmas: [1, 0]", ["4: sigmas.1: must be greater than 0 (got 0)"]),
        (HAND + "sigmas: small", ["4: sigmas: must be a number (got 'small')"]),
        (HAND + "midpoints: {nose: [left_hip]}", ["4: midpoints.nose: has too few values (got [\"left_hip\"])"]),
        (HAND + "flip_pairs: [[a, 3]]", ["4: flip_pairs.0.1: must be text (got 3)"]),
        ("name: a\nkeypoints: []\nlimbs: []", ["2: keypoints: must have at least 1 value(s) (got [])"]),
        ("name: a\nkeypoints: [a, b]\nlimbs: []", ["3: limbs: must join the keypoints, because people are found along "
                                                   "limbs (got [])"]),
        ("name: a\nkeypoints:\n- left_hip\n- right_hip\n- nose\n- left_hip\nlimbs:\n- [nose, left_hipp]\n"
         "- [nose, nose]\n- [nose, left_hip]\n- [nose, left_hip]\nflip_pairs:\n- [left_hip, right_hip]\n"
         "- [right_hip, left_hop]\n"
         "midpoints: {neck: [nose, nosse]}\nsigmas: [1, 2]", [
            "6: keypoints.3: the keypoint 'left_hip' is there twice (got 'left_hip')",
            "8: limbs.0.1: no keypoint has this name, did you mean 'left_hip'? (got 'left_hipp')",
            '9: limbs.1: must be two different keypoints (got ["nose", "nose"])',
            '11: limbs.3: the limb is there twice (got ["nose", "left_hip"])',
            "14: flip_pairs.1.0: is in another pair already (got 'right_hip')",
            "14: flip_pairs.1.1: no keypoint has this name, did you mean 'left_hip'? (got 'left_hop')",
            "15: midpoints.neck.1: no keypoint has this name, did you mean 'nose'? (got 'nosse')",
            '15: midpoints.neck: no keypoint has this name (got ["nose", "nosse"])',
            "16: sigmas: must have 4 values, one for each keypoint (got [1, 2])",
        ]),
        ("name: a\nkeypoints: [a]\nlimbs:\n- [a, b, c]\n- [a]", [
            '4: limbs.0: must have at most 2 value(s) (got ["a", "b", "c"])',
            '5: limbs.1: has too few values (got ["a"])',
        ]),
    ],
)  # fmt: skip
def test_refused_files(written: Any, text: str, messages: list[str]) -> None:
    path = written(text)
    with pytest.raises(SpecError) as caught:
        load_skeleton_file(path)
    assert str(caught.value).split("\n") == [f"{path}:{message}" for message in messages]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        load_skeleton_file(tmp_path / "none.yaml")


def test_a_spec_may_hold_the_skeleton_itself(written: Any) -> None:
    sigmas = "sigmas: {nose: 0.03}\nmidpoints: {l_alone: [left_hip, right_hip]}\n"
    path = written(HAND + sigmas)
    by_path = load_spec_text(f"skeleton: {path}", "spec.yaml")
    inside = with_whole_skeleton(by_path)
    assert skeleton_of(inside) == skeleton_of(by_path)
    again = load_spec_text(dump_spec(inside), "spec.yaml")
    assert again == inside
    path.unlink()
    assert skeleton_of(again).name == "hand"
    assert with_whole_skeleton(again) is again
    with pytest.raises(SpecError, match=r"spec.yaml:1: skeleton.limbs: is missing"):
        load_spec_text("skeleton: {name: hand, keypoints: [a, b]}", "spec.yaml")
    with pytest.raises(SpecError, match=r"spec.yaml:1: skeleton.limbs.0.0: no keypoint has this name \(got 'c'\)"):
        skeleton_of(load_spec_text("skeleton: {name: hand, keypoints: [a, b], limbs: [[c, a]]}", "spec.yaml"))
