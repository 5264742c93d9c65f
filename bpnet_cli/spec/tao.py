"""NVIDIA TAO's spec files of `bpnet` as specs of this product.

TAO has a train spec (YAML), a dataset spec (`coco_spec.json`), an inference spec (YAML) and a pose config
(`bpnet_18joints.json`). Each has a table of rules in a module of its own; every key of TAO's has a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bpnet_cli.errors import SpecError
from bpnet_cli.spec.dump import Dumper
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.network import KEYS_OF_ANY_GRAPH
from bpnet_cli.spec.problems import check
from bpnet_cli.spec.tao_data import DATASET_RULES
from bpnet_cli.spec.tao_file import DATASET, INFERENCE, POSE, TRAIN, Rules, TaoFile, Translation, translate_keys
from bpnet_cli.spec.tao_infer import INFERENCE_IN_TAO, INFERENCE_RULES
from bpnet_cli.spec.tao_pose import POSE_RULES
from bpnet_cli.spec.tao_train import IN_TAO, TRAIN_RULES
from bpnet_cli.spec.yaml_text import Document, Problem, load_yaml, shown

# Keys that only one of TAO's files has, none of which is a key of our specs.
_TYPICAL: dict[str, frozenset[str]] = {
    TRAIN: frozenset({"__class_name__", "dataloader", "num_epoch", "checkpoint_n_epoch", "finetuning_config"}),
    DATASET: frozenset({"root_directory_path", "train_data", "test_data", "data_filtering_params"}),
    INFERENCE: frozenset({"train_spec", "input_shape", "keep_aspect_ratio_mode", "multi_scale_inference"}),
    POSE: frozenset({"pose_config_type"}),
}
_RULES: dict[str, Rules] = {
    TRAIN: TRAIN_RULES,
    DATASET: DATASET_RULES,
    INFERENCE: INFERENCE_RULES,
    POSE: POSE_RULES,
}
_DEFAULTS: dict[str, Mapping[str, Any]] = {TRAIN: IN_TAO, INFERENCE: INFERENCE_IN_TAO}
# In which order a train spec's other files are read, the key that names each, its option of `import-tao`, and what is
# assumed without it.
_OTHERS = (
    (POSE, "dataloader.pose_config.pose_config_path", "--pose-config", "skeleton body_18 is assumed"),
    (DATASET, "dataloader.dataset_config.dataset_specs", "--dataset-spec", "the spec names no photos"),
    (INFERENCE, "inference_spec", "--infer-spec", "photos are scaled to a height of 368"),
)


def kind_of_tao(document: Document) -> str | None:
    """Which of TAO's files a document is: `TRAIN`, `DATASET`, `INFERENCE` or `POSE`; None for any other."""
    return next((kind for kind, keys in _TYPICAL.items() if keys & document.data.keys()), None)


def translate(document: Document, kind: str) -> Translation:
    """One of TAO's files by itself. Raises SpecError for unknown keys and values that can't be translated."""
    result = _empty(document)
    _add(result, document, kind)
    _raise_problems(result)
    return result


def translate_train(path: str | Path, others: Mapping[str, str | None] | None = None) -> Translation:
    """A train spec with the files that it names.

    others: paths of the dataset spec, inference spec and pose config, by kind; for absent ones, the train spec's own
    are taken where they exist. A file that the train spec names may also lie beside the train spec.
    Raises SpecError with one line per problem.
    """
    document = load_yaml(path)
    if (kind := kind_of_tao(document)) != TRAIN:
        raise SpecError(f"{path}: is not TAO's train spec{f', but its {kind}' if kind else ''}")
    result = _empty(document)
    result.document.data["name"] = Path(path).stem
    result.document.data["skeleton"] = "body_18"
    train = TaoFile(document, result, TRAIN)
    for kind, key, option, assumed in _OTHERS:
        given = (others or {}).get(kind)
        named = train.get(key)
        if isinstance(named, dict):  # of each data set
            named, *more = list(named.values()) or [None]
            result.missing += [f"TAO's {kind}: {path}: not read; add its photos to section dataset" for path in more]
        found = given or (_find(named, Path(path).parent) if isinstance(named, str) else None)
        if found:
            _add(result, load_yaml(found), kind)
        else:
            what = f"{named}: there is no such file" if named else f"{key} names no file"
            result.missing.append(f"TAO's {kind}: {what}: {assumed}; give it with {option}")
    _add(result, document, TRAIN)
    _keep_what_a_graph_allows(result)
    _raise_problems(result)
    return result


def spec_of_tao(path: str | Path) -> tuple[Document, list[str]]:
    """A train spec of TAO's as a document of our keys, and lines for the user. Raises SpecError."""
    result = translate_train(path)
    line = (
        f"{path}: this is NVIDIA TAO's train spec, translated while it is read ({len(result.changed)} keys mean"
        f" something else here); to see how and to keep it: bpnet spec import-tao {path} -o spec.yaml"
    )
    return result.document, [line, *result.missing]


def text_of(result: Translation, origin: str) -> tuple[str, ExperimentSpec]:
    """A translation as the text of a spec, with what changed in its comments, and the spec. Raises SpecError."""
    spec = check(ExperimentSpec, result.document)
    head = [f"From {origin}, a train spec of NVIDIA TAO's BodyPoseNet, by `bpnet spec import-tao`."]
    if result.changed:
        head += ["", "What changed:", *result.changed]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head)
    data = {key: result.document.data[key] for key in ExperimentSpec.model_fields if key in result.document.data}
    text = yaml.dump(data, Dumper=Dumper, default_flow_style=None, allow_unicode=True, width=110, sort_keys=False)
    return comment + text, spec


def report(result: Translation) -> str:
    """What became of each key of TAO's, in three lists, and which files were missing."""
    lists = (
        ("mapped, with the same meaning", result.mapped),
        ("dropped, because TAO itself ignores them", result.dropped),
        ("changed, with the reason", result.changed),
        ("missing", result.missing),
    )
    blocks = ["\n  ".join([f"{title} ({len(lines)}):", *lines]) for title, lines in lists if lines]
    return "\n\n".join(blocks)


def _empty(document: Document) -> Translation:
    return Translation(Document({}, {(): document.places[()]}))


def _add(result: Translation, document: Document, kind: str) -> None:
    """Translate one file into `result`, TAO's values for absent keys included."""
    found = kind_of_tao(document)
    if found != kind:
        text = f"is not TAO's {kind}{f', but its {found}' if found else ''}"
        result.document.problems.append(Problem(document.places[()], text))
        return
    translate_keys(TaoFile(document, result, kind), _RULES[kind])
    for key, value in _DEFAULTS.get(kind, {}).items():
        if not result.has(key):
            result.put(key, value, document.places[()])
            result.mapped.append(f"(TAO's own value, without a key in its {kind}) -> {key}: {shown(value)}")


def _find(named: str, folder: Path) -> Path | None:
    """The file as named, or the file of that name in a folder."""
    return next((path for path in (Path(named), folder / named, folder / Path(named).name) if path.is_file()), None)


def _keep_what_a_graph_allows(result: Translation) -> None:
    """With the graph of a file, leave out the keys that describe a network."""
    model = result.document.data["model"]
    if model.get("graph") != "file":
        return
    for key in model.keys() - KEYS_OF_ANY_GRAPH:
        del model[key]
        for lines in (result.mapped, result.changed):
            for line in [line for line in lines if f" -> model.{key}" in line]:
                lines.remove(line)
                if not line.startswith("("):  # a key of TAO's
                    result.changed.append(f"{line.split(' -> ')[0]} (the graph is that of the file)")


def _raise_problems(result: Translation) -> None:
    if problems := sorted(result.document.problems):
        raise SpecError("\n".join(dict.fromkeys(map(str, problems))))
