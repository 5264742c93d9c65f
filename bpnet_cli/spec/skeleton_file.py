"""Skeleton files: keypoints, limbs and flip pairs by name, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, PositiveFloat, Tag, model_validator

from bpnet_cli.sides import canonical, pairs_by_name
from bpnet_cli.spec.base import Model, refusal
from bpnet_cli.spec.problems import check
from bpnet_cli.spec.yaml_text import load_yaml

_DEFAULT_SIGMA = 0.05
# COCO's OKS constants (pycocotools, cocoeval.py) by name of the keypoint without its side. COCO has no neck: it gets
# the constant of the shoulders.
_COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "neck": 0.079,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}


def _kind_of_sigmas(value: Any) -> str:
    if isinstance(value, dict):
        return "by_name"
    return "listed" if isinstance(value, list | tuple) else "one"


_Name = Annotated[str, Field(min_length=1)]
_Pair = tuple[_Name, _Name]
_Sigmas = Annotated[
    Annotated[dict[str, PositiveFloat], Tag("by_name")]
    | Annotated[tuple[PositiveFloat, ...], Tag("listed")]
    | Annotated[PositiveFloat, Tag("one")],
    Discriminator(_kind_of_sigmas),
]


class SkeletonFile(Model):
    """The keys of a skeleton file."""

    name: _Name = Field(description="name of the skeleton in specs and result files")
    keypoints: Annotated[tuple[_Name, ...], Field(min_length=1)] = Field(
        description="names of the keypoints, in channel order"
    )
    limbs: Annotated[tuple[_Pair, ...], Field(min_length=1)] = Field(
        description="[from, to] pairs of keypoints, in channel order"
    )
    flip_pairs: tuple[_Pair, ...] | None = Field(
        default=None,
        description="[left, right] pairs of keypoints that swap in a mirrored photo; null: found by name (left_hip, "
        "LHip, leftHip, hip.l and the like); []: there are none",
    )
    sigmas: _Sigmas = Field(
        default={},
        description="OKS constants, in COCO's unit: one for all, a list in keypoint order, or {keypoint: value}; "
        "keypoints without a value have COCO's constant for that name, or 0.05",
    )
    midpoints: dict[str, _Pair] = Field(
        default={}, description="{keypoint: [a, b]}: the keypoint is halfway between a and b, where both are labelled"
    )

    @model_validator(mode="after")
    def _sigmas_fit(self) -> SkeletonFile:
        if isinstance(self.sigmas, dict):
            for name in self.sigmas:
                if name not in self.keypoints:
                    raise refusal("no keypoint has this name", ("sigmas", name))
        return self


def load_skeleton_file(path: str | Path) -> SkeletonFile:
    """Read a skeleton file. Raises SpecError with one line per problem, as `load_spec` does."""
    return check(SkeletonFile, load_yaml(path))


def skeleton_values(file: SkeletonFile) -> dict[str, Any]:
    """The keys of a skeleton file with its defaults filled in.

    Returns what `Skeleton.from_dict` takes: name, keypoints (K names), limbs ([from, to] each), flip_pairs ([left,
    right] each), sigmas (K floats), midpoints ({keypoint: [a, b]}). `Skeleton` checks whether the names match.
    """
    pairs = pairs_by_name(file.keypoints) if file.flip_pairs is None else file.flip_pairs
    return {
        "name": file.name,
        "keypoints": list(file.keypoints),
        "limbs": [list(limb) for limb in file.limbs],
        "flip_pairs": [list(pair) for pair in pairs],
        "sigmas": _sigmas(file),
        "midpoints": {keypoint: list(ends) for keypoint, ends in file.midpoints.items()},
    }


def _sigmas(file: SkeletonFile) -> list[float]:
    if isinstance(file.sigmas, tuple):
        return list(file.sigmas)
    if isinstance(file.sigmas, float):
        return [file.sigmas] * len(file.keypoints)
    return [file.sigmas.get(name, _coco_sigma(name)) for name in file.keypoints]


def _coco_sigma(name: str) -> float:
    words = canonical(name)
    kind = words[1:] if words[:1] in (("left",), ("right",)) else words
    return _COCO_SIGMAS.get(" ".join(kind), _DEFAULT_SIGMA)
