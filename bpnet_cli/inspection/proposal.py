"""A skeleton, and settings of a spec, that fit the labels of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Labels
from bpnet_cli.data.plausible import photo_sizes
from bpnet_cli.errors import DataError
from bpnet_cli.inspection.limbs import Pair, mean_distances, spanning_limbs
from bpnet_cli.inspection.sigmas import measured_sigmas
from bpnet_cli.pose.skeleton import groups_of
from bpnet_cli.sides import lacks_pairs, pairs_by_name
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.skeleton_file import default_sigma

# Of all people, at most this share gets no crop because of too few keypoints, and as many because of their size.
_FEW = 0.1
# The input's height is made for people of this quantile of the sizes.
_MIDDLE = 0.5
# Crops hold this share of the people from side to side.
_WIDE = 0.75
# So many keypoints with the same sigma are not named one by one.
_MANY_SIGMAS = 6
_SIGMAS = "sigmas (how exact a keypoint must be for AP)"
# Limits of the input's height, pixels, and its step.
_LEAST_INPUT, _MOST_INPUT, _INPUT_STEP = 160, 640, 32
# With fewer keypoints than this, a person's sum of scores must be smaller than usual.
_MANY_KEYPOINTS = 5


class Proposal(NamedTuple):
    """values: keys of a skeleton file, or dotted keys of a spec. lines: what the user should know of them."""

    values: dict[str, Any]
    lines: list[str]


def propose_skeleton(labels: Labels, name: str) -> Proposal:
    """A skeleton with the keypoints of the labels, called `name`.

    Limbs are those of the file. Where they don't join all keypoints, limbs of a minimum spanning tree of the labels'
    mean distances are added. The OKS constants are measured where people are labelled twice; the others are the
    defaults of skeleton files. Raises DataError if keypoints can't be joined, because no person has two of them.
    """
    names = labels.keypoint_names
    pairs = pairs_by_name(names)
    people = labels.people.keypoints[labels.people.labelled]
    given = [limb for limb in dict.fromkeys(labels.limbs) if limb[0] != limb[1]]
    added = spanning_limbs(mean_distances(people, _flip(names, pairs)), given)
    if len(names) > 1 and not given and not added:
        raise DataError(f"{labels.path}: no person has two labelled keypoints, so no limb can be learnt")
    measured, twice = measured_sigmas(labels)
    sigmas = {name: measured.get(name, default_sigma(name)) for name in names}
    values = {
        "name": name,
        "keypoints": list(names),
        "limbs": [[names[a], names[b]] for a, b in (*given, *added)],
        "flip_pairs": [list(pair) for pair in pairs],
        "sigmas": sigmas,
    }
    if lacks_pairs(names):
        del values["flip_pairs"]  # an empty list would say that the keypoints have no sides
    lines = [*_limb_lines(names, given, added), *_sigma_lines(sigmas, measured, twice)]
    if unlabelled := [name for k, name in enumerate(names) if not (people[:, k, 2] > 0).any()]:
        lines.append(f"keypoints that nobody has: {', '.join(unlabelled)}; the network can't learn them")
    return Proposal(values, lines)


def propose_values(labels: Labels, base: ExperimentSpec) -> Proposal:
    """Keys of a spec like `base` that must be other ones to fit the labels."""
    people = labels.people[labels.people.labelled]
    counts = (people.keypoints[..., 2] > 0).sum(axis=1)
    values: dict[str, Any] = {
        "dataset.min_keypoints": max(1, min(base.dataset.min_keypoints, int(np.quantile(counts, _FEW)))),
        "dataset.min_area_px": min(base.dataset.min_area_px, float(np.floor(np.quantile(people.known_areas, _FEW)))),
    }
    if len(labels.keypoint_names) < _MANY_KEYPOINTS:
        threshold = round(0.1 * len(labels.keypoint_names), 1)
        values["inference.decode.person_threshold"] = min(base.inference.decode.person_threshold, threshold)
    lines = []
    if base.augmentation.crop == "person":
        sizes = photo_sizes(labels)[labels.people.labelled]
        values |= _sizes(people.boxes[:, 2:], sizes, base)
        lines = [f"photos are scaled to a height of {values['inference.input_height']} pixels (inference.input_height)"]
    return Proposal(values, lines)


def _sizes(boxes: NDArray[np.float64], photos: NDArray[np.float64], base: ExperimentSpec) -> dict[str, Any]:
    """The share of a crop that a person fills, and the height of the input at which people have the size of crops.

    boxes, photos: (P, 2) width and height in pixels.
    """
    usable = (boxes > 0).all(axis=1)
    wide = float(np.quantile(boxes[usable, 0] / boxes[usable, 1], _WIDE))
    person_height = round(base.augmentation.person_height / max(1.0, wide), 2)
    low, high = base.augmentation.scale
    crop = base.model.input_height * person_height * np.sqrt(low * high)
    share = float(np.quantile(boxes[usable, 1] / photos[usable, 1], _MIDDLE))
    height = int(np.clip(crop / share, _LEAST_INPUT, _MOST_INPUT) / _INPUT_STEP + 0.5) * _INPUT_STEP
    return {"augmentation.person_height": person_height, "inference.input_height": height}


def _flip(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> NDArray[np.intp]:
    flip = np.arange(len(names))
    for left, right in pairs:
        a, b = names.index(left), names.index(right)
        flip[a], flip[b] = b, a
    return flip


def _limb_lines(names: Sequence[str], given: Sequence[Pair], added: Sequence[Pair]) -> list[str]:
    tree = "join keypoints that are near to each other (a minimum spanning tree of the mean distances)"
    shown = ", ".join(f"{names[a]} - {names[b]}" for a, b in added)
    if not given:
        lines = [f"limbs: the file has none; {len(added)} {tree}"] if added else []
    elif added:
        lines = [f"limbs: {len(given)} from the file's `skeleton`; {len(added)} more {tree}: {shown}"]
    else:
        lines = [f"limbs: {len(given)}, from the file's `skeleton`"]
    for group in groups_of(len(names), (*given, *added))[1:]:
        alone = ", ".join(names[k] for k in group)
        lines.append(f"no limb joins {alone} to the others, because nobody has both: they will be people of their own")
    return lines


def _sigma_lines(sigmas: dict[str, float], measured: dict[str, float], twice: int) -> list[str]:
    lines = []
    if measured:
        lines.append(f"{_SIGMAS}: measured on {twice} people who are labelled twice, for {', '.join(measured)}")
    groups: dict[float, list[str]] = {}
    for name, sigma in sigmas.items():
        if name not in measured:
            groups.setdefault(sigma, []).append(name)
    if groups:
        texts = {sigma: ", ".join(names) for sigma, names in groups.items()}
        largest = max(groups, key=lambda sigma: len(groups[sigma]))
        if (many := len(groups[largest])) >= _MANY_SIGMAS:  # the file has them all
            del texts[largest]
            texts[largest] = f"{'the other' if many < len(sigmas) else 'all'} {many}"
        defaults = "; ".join(f"{sigma:g} for {text}" for sigma, text in texts.items())
        lines.append(f"{_SIGMAS}, not measured but COCO's for the name, or else 0.05: {defaults}")
    return lines
