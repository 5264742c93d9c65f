"""`bpnet spec init --annotations`: a spec and a skeleton file for the labels of a data set."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bpnet_cli.box import NAMES
from bpnet_cli.build import skeleton_of, tell_sides
from bpnet_cli.data.choice import Choice
from bpnet_cli.data.labels import Labels, summarise
from bpnet_cli.data.sources import open_source
from bpnet_cli.data.split import LEAST_PHOTOS, split_file
from bpnet_cli.errors import BpnetError, DataError, SpecError
from bpnet_cli.files import check_folder, check_output, write_text
from bpnet_cli.inspection.proposal import Proposal, propose_skeleton, propose_values
from bpnet_cli.log import say
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS
from bpnet_cli.sides import match_names
from bpnet_cli.spec.dump import Dumper
from bpnet_cli.spec.loader import load_spec, load_spec_text
from bpnet_cli.spec.shipped import schema_uri, shipped_skeletons, shipped_spec
from bpnet_cli.spec.yaml_text import load_yaml
from bpnet_cli.storage import local_path

_WIDTH = 112


@dataclass(frozen=True)
class NewSpec:
    """What to write a spec for.

    images, annotations: photos and labels to train on. folder: for the files. base: the shipped spec to start from;
    None: `finetune` if the labels have COCO's keypoints, else `quickstart`. validation: photos and labels to measure AP
    on; None: one in ten of the photos. categories: names of those to use; empty: see `choose_categories`.
    """

    images: str
    annotations: str
    folder: str
    base: str | None = None
    validation: tuple[str, str] | None = None
    categories: tuple[str, ...] = ()
    overwrite: bool = False


def write_new_spec(request: NewSpec) -> list[str]:
    """Write `skeleton.yaml` and `spec.yaml` into the folder, and labels for training and validation if they are split.

    Returns lines for the user. Raises DataError for labels or photos that can't be used, BpnetError or SpecError for
    files that exist already and for an unknown base.
    """
    folder = local_path(request.folder)
    targets = {name: folder / name for name in ("skeleton.yaml", "spec.yaml", "train.json", "validation.json")}
    if folder.suffix in (".yaml", ".yml") and not folder.is_dir():
        raise BpnetError(f"{folder}: with --annotations, several files are written; give a folder (-o)")
    check_folder(folder)
    if request.base in shipped_skeletons():
        raise SpecError(f"{request.base}: is a skeleton; with --annotations, NAME is the spec to start from")
    if request.base:
        shipped_spec(request.base)  # an unknown name is refused before the photos are opened
    for target in targets.values():
        check_output(target, target.suffix, request.overwrite)
    source = open_source(request.images, request.annotations, Choice(categories=request.categories))
    for line in (*source.notes, *summarise(source.problems)):
        say(line)
    labels = source.labels
    _check_validation(request, labels)
    names = match_names(labels.keypoint_names, BODY_18.keypoints)
    base = request.base or ("finetune" if set(COCO_KEYPOINTS) <= set(names.values()) else "quickstart")
    skeleton = propose_skeleton(labels, _name_of(labels))
    shipped = load_spec(base)
    fitted = propose_values(labels, shipped)
    if shipped.model.pretrained in NAMES:
        renamed = {ours: theirs for ours, theirs in names.items() if ours != theirs}
        fitted.values.update({"model.pretrained_keypoints": renamed} if renamed else {})
    data = _data(request, targets)
    text = _spec_text(base, targets["spec.yaml"], {"skeleton": str(targets["skeleton.yaml"]), "dataset": data}, fitted)
    spec = load_spec_text(text, str(targets["spec.yaml"]))
    write_text(targets["skeleton.yaml"], _skeleton_text(skeleton))
    write_text(targets["spec.yaml"], text)
    if spec.augmentation.flip_probability:
        tell_sides(spec.skeleton, skeleton_of(spec))
    used = [f"{category.name!r} ({category.people} people)" for category in labels.categories if category.used]
    others = "; --category chooses others" if any(not c.used and c.people for c in labels.categories) else ""
    return [f"category: {', '.join(used)}{others}", *_summary(base, targets, skeleton, fitted)]


def _check_validation(request: NewSpec, labels: Labels) -> None:
    """Raise DataError if the labels to validate on can't be used with those to train on."""
    if request.validation is None:
        return
    choice = Choice(labels.keypoint_names, categories=request.categories)
    theirs = open_source(*request.validation, choice).labels
    if not set(labels.keypoint_names) & set(theirs.keypoint_names):
        raise DataError(f"{request.validation[1]}: has none of the keypoints {', '.join(labels.keypoint_names)}")


def _name_of(labels: Labels) -> str:
    used = [category.name for category in labels.categories if category.used]
    return "_".join(used) or "skeleton"


def _data(request: NewSpec, targets: Mapping[str, Path]) -> dict[str, Any]:
    """The section `dataset`. Splits the labels if there are none to validate on."""
    chosen = {"categories": list(request.categories)} if request.categories else {}

    def source(images: str, annotations: str | Path) -> dict[str, Any]:
        return {"images": images, "annotations": str(annotations), **chosen}

    if request.validation:
        return {"train": source(request.images, request.annotations), "validation": source(*request.validation)}
    train, validation = targets["train.json"], targets["validation.json"]
    counts = split_file(request.annotations, train, validation)
    if counts is None:
        say(
            f"validation: none of the photos are held back, because fewer than {LEAST_PHOTOS} have people; without"
            " dataset.validation, training can't measure AP"
        )
        return {"train": source(request.images, request.annotations)}
    say(
        f"validation: {counts[1]} photos, taken from the {sum(counts)} at random. If photos are frames of the same"
        " films, AP will be too high: then split them by film, and give --validation-annotations"
    )
    return {"train": source(request.images, train), "validation": source(request.images, validation)}


def _skeleton_text(skeleton: Proposal) -> str:
    head = [part for line in skeleton.lines for part in _comment(line)]
    return "\n".join([*head, *_yaml(skeleton.values)]) + "\n"


def _spec_text(base: str, path: Path, own: dict[str, Any], fitted: Proposal) -> str:
    """The base's keys, those in `own` and the fitted ones. path: of the spec."""
    name = path.resolve().parent.name
    content = {"name": name, **own}
    content |= {key: value for key, value in load_yaml(shipped_spec(base)).data.items() if key not in content}
    for dotted, value in fitted.values.items():
        *sections, key = dotted.split(".")
        section = content
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    spec = shlex.quote(str(path))
    head = [
        f"# yaml-language-server: $schema={schema_uri()}",
        "#",
        *_comment(f"From the shipped spec {base}. These keys fit the labels: {', '.join(fitted.values)}."),
        f"#   bpnet dataset show -e {spec} -o labels.png      # are the labels right, and are the crops well placed?",
        f"#   bpnet train -e {spec} -r {shlex.quote(f'runs/{name}')}",
    ]
    return "\n".join([*head, *_yaml(content)]) + "\n"


def _yaml(values: Mapping[str, Any]) -> list[str]:
    """A text for each key. Lists and mappings of plain values stand in one line, as far as they fit."""
    return [
        yaml.dump(
            {key: value},
            Dumper=Dumper,
            default_flow_style=None if isinstance(value, list | dict) else False,
            sort_keys=False,
            allow_unicode=True,
            width=_WIDTH,
        ).rstrip("\n")
        for key, value in values.items()
    ]


_SIDES = (
    "First: write the left/right pairs into {}, as in `flip_pairs: [[left name, right name], ...]`, or `flip_pairs: []`"
    " if the keypoints have no sides. Without them, mirrored crops teach the wrong side"
)


def _comment(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _summary(base: str, targets: Mapping[str, Path], skeleton: Proposal, fitted: Proposal) -> list[str]:
    spec, run = targets["spec.yaml"], f"runs/{targets['spec.yaml'].resolve().parent.name}"
    keypoints, limbs, pairs = (len(skeleton.values.get(key, ())) for key in ("keypoints", "limbs", "flip_pairs"))
    about = {
        "finetune": "starts from the model in the box",
        "quickstart": "a tiny network, to see in minutes whether everything works; for photos of people, write"
        " `bpnet spec init finetune --annotations ... -o OTHER`, which starts from the model in the box",
    }
    sides = [] if "flip_pairs" in skeleton.values else [_SIDES.format(targets["skeleton.yaml"])]
    return [
        f"{targets['skeleton.yaml']}: {keypoints} keypoints, {limbs} limbs, {pairs} left/right pairs",
        *(f"  {line}" for line in skeleton.lines),
        f"{spec}: from {base}{f' ({about[base]})' if base in about else ''}",
        *(f"  {line}" for line in fitted.lines),
        *sides,
        f"Next: bpnet dataset show -e {shlex.quote(os.fspath(spec))} -o labels.png",
        f"Then: bpnet train -e {shlex.quote(os.fspath(spec))} -r {shlex.quote(run)}",
    ]
