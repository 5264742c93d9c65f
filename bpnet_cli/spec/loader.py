"""Reading experiment specs from files, texts and overrides, and writing them as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpnet_cli.errors import SpecError
from bpnet_cli.log import say
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.overrides import override
from bpnet_cli.spec.paths import absent_paths
from bpnet_cli.spec.problems import check
from bpnet_cli.spec.shipped import find_spec
from bpnet_cli.spec.skeleton_file import SkeletonFile
from bpnet_cli.spec.tao import kind_of_tao, spec_of_tao
from bpnet_cli.spec.tao_file import DATASET, INFERENCE, POSE, TRAIN
from bpnet_cli.spec.yaml_text import Document, Place, load_yaml, parse_section

__all__ = ["load_spec", "load_to_check", "load_spec_text", "apply_overrides", "dump_spec", "json_schema"]

_USES_OF_TAO = {
    DATASET: "`evaluate` and `dataset_convert` take it as -d, `bpnet spec import-tao` as --dataset-spec",
    INFERENCE: "`evaluate` and `infer` take it as -i, `bpnet spec import-tao` as --infer-spec",
    POSE: "`bpnet spec import-tao` takes it as --pose-config",
}


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Read a spec file, a shipped spec by its name, or a train spec of NVIDIA TAO's, with a line that says so.

    Paths in the spec stay as written; they are relative to the working directory.
    overrides: changes such as `model.stages=2`, applied to the file in order.
    Raises SpecError with one line per problem: `file:line: dotted.path: what (got ...)`.
    """
    document = _load(path)
    if _is_skeleton(document):
        raise SpecError(f"{path}: is a skeleton file, not a spec; to use it, write `skeleton: {path}` in a spec")
    return _checked(document, overrides)


def load_to_check(path: str | Path, overrides: Sequence[str] = ()) -> tuple[ExperimentSpec | SkeletonFile, list[str]]:
    """Like `load_spec`, but also returns a line for each path in the spec that doesn't exist. Reads skeleton files too.

    Raises SpecError as `load_spec` does.
    """
    document = _load(path)
    if _is_skeleton(document):
        override(document, overrides)
        return check(SkeletonFile, document), []
    spec = _checked(document, overrides)
    return spec, absent_paths(spec, document)


def load_spec_text(text: str, origin: str, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Like `load_spec`, but from YAML or JSON text. origin: the name of the text in messages, in place of a file."""
    return _checked(parse_section(text, origin), overrides)


def apply_overrides(spec: ExperimentSpec, overrides: Sequence[str]) -> ExperimentSpec:
    """A changed copy of a spec, for example of the spec in a model file. Raises SpecError as `load_spec` does."""
    # Defaults are left out. Otherwise `optimizer.name=adamw` would be refused, because of keys that only SGD has.
    data = spec.model_dump(mode="json", exclude_defaults=True)
    return _checked(Document(data, {(): Place(0, "spec")}), overrides)


def json_schema() -> dict[str, Any]:
    """The JSON schema of spec files, which is checked in as specs/schema/experiment.schema.json."""
    schema = ExperimentSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _load(path: str | Path) -> Document:
    """A file as a document of our keys, also if it is TAO's train spec. Raises SpecError."""
    document = load_yaml(find_spec(path))
    if not (kind := kind_of_tao(document)):
        return document
    if kind != TRAIN:
        raise SpecError(f"{path}: is NVIDIA TAO's {kind}, not a spec; {_USES_OF_TAO[kind]}")
    translated, lines = spec_of_tao(path)
    for line in lines:
        say(line)
    return translated


def _is_skeleton(document: Document) -> bool:
    """Whether a file is meant as a skeleton file: it has keypoints or limbs, and no key of a spec except the name."""
    keys = set(document.data)
    return bool(keys & {"keypoints", "limbs"}) and not keys & (ExperimentSpec.model_fields.keys() - {"name"})


def _checked(document: Document, overrides: Sequence[str]) -> ExperimentSpec:
    override(document, overrides)
    return check(ExperimentSpec, document)
