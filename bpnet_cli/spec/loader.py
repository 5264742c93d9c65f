"""Experiment specs from files, texts and overrides, and back to text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.overrides import override
from bpnet_cli.spec.problems import check
from bpnet_cli.spec.yaml_text import Document, Place, load_yaml, parse_section

__all__ = ["load_spec", "load_spec_text", "apply_overrides", "dump_spec", "json_schema"]


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Read a spec file. Paths in it stay as written; they mean the working directory at use.

    overrides: `model.stages=2` and the like, applied in order on top of the file.
    Raises SpecError with one line per problem: `file:line: dotted.path: what (got ...)`.
    """
    return _checked(load_yaml(path), overrides)


def load_spec_text(text: str, origin: str, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Like `load_spec`, from YAML or JSON text; origin stands for the file in messages."""
    return _checked(parse_section(text, origin), overrides)


def apply_overrides(spec: ExperimentSpec, overrides: Sequence[str]) -> ExperimentSpec:
    """A changed copy of a spec, say of one that a model file holds. Raises SpecError as `load_spec` does."""
    # Without the defaults, so that `optimizer.name=adamw` doesn't meet keys that only SGD has.
    data = spec.model_dump(mode="json", exclude_defaults=True)
    return _checked(Document(data, {(): Place(0, "spec")}), overrides)


def json_schema() -> dict[str, Any]:
    """JSON schema of spec files, as checked in at specs/schema/experiment.schema.json."""
    schema = ExperimentSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _checked(document: Document, overrides: Sequence[str]) -> ExperimentSpec:
    override(document, overrides)
    return check(ExperimentSpec, document)
