"""TAO's pose config (`bpnet_18joints.json`) as a skeleton."""

from __future__ import annotations

from typing import Any

from bpnet_cli.spec.tao_file import Rules, TaoFile, TaoValueError

# NVIDIA's 18 keypoints, and its 19 limbs as pairs of keypoints (counted from 0), in the order of the channels.
_BODY_18 = (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee"
    " right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
)
_BODY_18_LIMBS = "1-8 8-9 9-10 1-11 11-12 12-13 1-2 2-3 3-4 2-16 1-5 5-6 6-7 5-17 1-0 0-14 0-15 14-16 15-17"


def _categories(file: TaoFile, key: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise TaoValueError("must be a list of one category with keypoints and skeleton")
    category = value[0]
    names = category.get("keypoints")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TaoValueError("needs keypoints: a list of names")
    if category.get("num_joints", len(names)) != len(names):
        raise TaoValueError(f"num_joints must be {len(names)}, the number of its keypoints")
    limbs, note = _limbs(category, names)
    pairs = " ".join(f"{names.index(a)}-{names.index(b)}" for a, b in limbs)
    if (" ".join(names), pairs) == (_BODY_18, _BODY_18_LIMBS):
        return file.maps(key, {"skeleton": "body_18"}, note)
    skeleton: dict[str, Any] = {"name": str(file.get("pose_config_type", "tao")), "keypoints": names, "limbs": limbs}
    # TAO makes these keypoints itself, by their names.
    if {"neck", "left_shoulder", "right_shoulder"} <= set(names):
        skeleton["midpoints"] = {"neck": ["left_shoulder", "right_shoulder"]}
    return file.maps(key, {"skeleton": skeleton}, note)


def _limbs(category: dict[str, Any], names: list[str]) -> tuple[list[list[str]], str]:
    """Pairs of names, and what was assumed about them. Raises TaoValueError."""
    edges: Any = category.get("skeleton_edge_names")
    if edges:
        if not _are_pairs(edges) or not all(end in names for edge in edges for end in edge):
            raise TaoValueError("skeleton_edge_names must be pairs of its keypoints")
        return edges, ""
    edges = category.get("skeleton")
    if not _are_pairs(edges):
        raise TaoValueError("needs skeleton: a list of pairs of keypoints")
    flat = [end for edge in edges for end in edge]
    first = 0 if 0 in flat else 1
    if not all(isinstance(end, int) and first <= end < len(names) + first for end in flat):
        raise TaoValueError(f"skeleton must be numbers of its {len(names)} keypoints")
    return [[names[a - first], names[b - first]] for a, b in edges], f"keypoints of limbs are counted from {first}"


def _are_pairs(edges: Any) -> bool:
    return isinstance(edges, list) and all(isinstance(edge, list) and len(edge) == 2 for edge in edges)


def channels(skeleton: Any) -> tuple[int, int]:
    """Number of heatmaps and PAF channels of a translated skeleton: `body_18`, or its keys."""
    if skeleton == "body_18":
        return len(_BODY_18.split()) + 1, 2 * len(_BODY_18_LIMBS.split())
    return len(skeleton["keypoints"]) + 1, 2 * len(skeleton["limbs"])


POSE_RULES: Rules = {
    "pose_config_type": lambda file, key, value: file.maps(key, {}, "the skeleton's name"),
    "categories": _categories,
}
