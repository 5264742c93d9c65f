"""People as OpenPose's `--write_json` writes them, for programs that read OpenPose's files.

Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS, Skeleton

Layout = Literal["body_25", "body_18"]

_FEET = ("big_toe", "small_toe", "heel")
# The keypoints of OpenPose's models in OpenPose's order. Its COCO model is body_18.
_ORDERS: dict[Layout, tuple[str, ...]] = {
    "body_25": (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *(f"{side}_{part}" for side in ("left", "right") for part in _FEET),
    ),
    "body_18": BODY_18.keypoints,
}
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}
_EMPTY = (
    *("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"),
    *("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d"),
)


def openpose_frame(persons: Sequence[Person], skeleton: Skeleton, layout: Layout = "body_25") -> dict[str, Any]:
    """One photo or frame in OpenPose's format, version 1.3.

    persons: keypoints in photo pixels. layout: OpenPose's model whose keypoints are written: "body_25", its default,
    or "body_18", which OpenPose calls COCO. Absent keypoints are 0, 0, 0, and so are toes and heels that the skeleton
    does not have. MidHip, and a neck that it does not have, are the middle of both hips or shoulders, with the lower of
    the two scores. Ids are [-1] without tracking.
    Raises BpnetError where the skeleton lacks a keypoint of COCO's 17, also if there is nobody.
    """
    if missing := [name for name in COCO_KEYPOINTS if name not in skeleton.keypoints]:
        raise BpnetError(
            f"skeleton {skeleton.name}: can't be written in OpenPose's format, which needs the keypoints of body_18; "
            f"missing: {', '.join(missing)}"
        )
    people = []
    for person in persons:
        rows = [_point(person.keypoints, name, skeleton) for name in _ORDERS[layout]]
        entry: dict[str, Any] = {"person_id": [-1 if person.id is None else person.id]}
        entry["pose_keypoints_2d"] = [_short(value) for row in rows for value in row]
        people.append(entry | {key: [] for key in _EMPTY})
    return {"version": 1.3, "people": people}


def openpose_text(frame: dict[str, Any]) -> str:
    """The frame as the content of a file: one line without spaces, as OpenPose writes it."""
    return json.dumps(frame, separators=(",", ":")) + "\n"


def openpose_name(name: str, frame: int | None = None) -> str:
    """The file for a photo, `photo_keypoints.json`, or for a frame, `clip_000000000012_keypoints.json`.

    name: path of the photo or video below the inputs' folder, with "/". Its folders stay, its ending goes. So a.jpg and
    a.png have the same file, as with OpenPose. frame: counted from 0.
    """
    path = PurePosixPath(name)
    number = "" if frame is None else f"_{frame:012d}"
    return str(path.with_name(f"{path.stem}{number}_keypoints.json"))


def _point(keypoints: NDArray[np.float32], name: str, skeleton: Skeleton) -> list[float]:
    """x, y and score of a keypoint by its name; zeros where it is absent."""
    if name in skeleton.keypoints:
        point = keypoints[skeleton.keypoints.index(name)]
    elif name in _MIDDLES:
        ends = keypoints[[skeleton.keypoints.index(end) for end in _MIDDLES[name]]]
        point = np.array([*ends[:, :2].mean(axis=0), ends[:, 2].min()])
    else:
        return [0.0, 0.0, 0.0]
    return [0.0, 0.0, 0.0] if np.isnan(point).any() else [float(value) for value in point]


def _short(value: float) -> float:
    """A number with OpenPose's six digits; whole numbers without a point."""
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded
