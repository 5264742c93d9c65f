"""Skeleton files: keypoints, limbs and flip pairs by name, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, PositiveFloat, Tag, model_validator

from bpnet_cli.errors import did_you_mean
from bpnet_cli.sides import canonical, pairs_by_name
from bpnet_cli.spec.base import Fault, Model, refusal_of
from bpnet_cli.spec.problems import check
from bpnet_cli.spec.yaml_text import load_yaml

_NO_NAME = "no keypoint has this name"
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
    limbs: tuple[_Pair, ...] = Field(
        description="[from, to] pairs of keypoints, in channel order; [] for a skeleton of one keypoint"
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
    def _names_fit(self) -> SkeletonFile:
        if faults := _faults(self):
            raise refusal_of(faults)
        return self


def _faults(file: SkeletonFile) -> list[Fault]:
    """What is wrong with the names in a skeleton file."""
    known = file.keypoints
    twice = [i for i, name in enumerate(known) if name in known[:i]]
    faults = [Fault(f"the keypoint {known[i]!r} is there twice", ("keypoints", i)) for i in twice]
    rows: list[tuple[tuple[str | int, ...], _Pair]] = [(("limbs", i), pair) for i, pair in enumerate(file.limbs)]
    rows += [(("flip_pairs", i), pair) for i, pair in enumerate(file.flip_pairs or ())]
    rows += [(("midpoints", name), pair) for name, pair in file.midpoints.items()]
    for key, pair in rows:
        unknown = [Fault(_NO_NAME, (*key, i), name, known) for i, name in enumerate(pair) if name not in known]
        faults += unknown or [Fault("must be two different keypoints", key)] * (pair[0] == pair[1])
    named = [("sigmas", name) for name in file.sigmas] if isinstance(file.sigmas, dict) else []
    named += [("midpoints", name) for name in file.midpoints]
    faults += [Fault(f"{_NO_NAME}{did_you_mean(name, known)}", (key, name)) for key, name in named if name not in known]
    faults += [
        Fault("the limb is there twice", ("limbs", i))
        for i, limb in enumerate(file.limbs)
        if limb in file.limbs[:i] or limb[::-1] in file.limbs[:i]
    ]
    for i, pair in enumerate(file.flip_pairs or ()):
        before = [name for other in (file.flip_pairs or ())[:i] for name in other]
        faults += [Fault("is in another pair already", ("flip_pairs", i, j)) for j in (0, 1) if pair[j] in before]
    if isinstance(file.sigmas, tuple) and len(file.sigmas) != len(known):
        faults.append(Fault(f"must have {len(known)} values, one for each keypoint", ("sigmas",)))
    if not file.limbs and len(known) > 1:
        faults.append(Fault("must join the keypoints, because people are found along limbs", ("limbs",)))
    return faults


def load_skeleton_file(path: str | Path) -> SkeletonFile:
    """Read a skeleton file. Raises SpecError with one line per problem, as `load_spec` does."""
    return check(SkeletonFile, load_yaml(path))


def keypoint_places(path: str | Path) -> list[str]:
    """File and line of each keypoint in a skeleton file that can be loaded: `hand.yaml:3`."""
    document = load_yaml(path)
    return [document.place_of(("keypoints", i)).label for i in range(len(document.data["keypoints"]))]


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
    return [file.sigmas.get(name, default_sigma(name)) for name in file.keypoints]


def default_sigma(name: str) -> float:
    """The OKS constant of a keypoint that has none in its file: COCO's constant for its name, or else 0.05."""
    words = canonical(name)
    kind = words[1:] if words[:1] in (("left",), ("right",)) else words
    return _COCO_SIGMAS.get(" ".join(kind), _DEFAULT_SIGMA)
