"""Spec files, overrides and dumps: what is read, and the exact text of what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpnet_cli.errors import SpecError
from bpnet_cli.spec.loader import apply_overrides, dump_spec, json_schema, load_spec, load_spec_text

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "specs" / "schema" / "experiment.schema.json"


def refusal(text: str, *overrides: str) -> list[str]:
    """The lines of the error that a spec text and overrides give."""
    with pytest.raises(SpecError) as caught:
        load_spec_text(text, "spec.yaml", overrides)
    return str(caught.value).split("\n")


WRONG = """\
model:
  stage: 2
  branches: seperate
  stages: 2.5
  stages: 3
  input_width: 100
optimizer:
  learning_rate: 0
  schedule: {name: soft_start}
epochs: 3
dataset:
  train: {images: yes}
  validation:
  - images: 2020-01-01
    annotations: labels.json
  - 3
augmentation: {scale: [2], hue_deg: .nan, crop: 3}
skeleton: body18
"""


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    assert refusal(WRONG, "training.workers=0", "model.stages=x") == [
        "spec.yaml:2: model.stage: unknown key, did you mean 'stages'?",
        "spec.yaml:3: model.branches: must be 'shared' or 'separate', did you mean 'separate'? (got 'seperate')",
        "spec.yaml:5: model.stages: is given twice, first at spec.yaml:4",
        "spec.yaml:6: model.input_width: must be a multiple of 8 (got 100)",
        "spec.yaml:8: optimizer.learning_rate: must be greater than 0 (got 0)",
        "spec.yaml:9: optimizer.schedule.name: must be one of 'constant', 'soft_start_annealing', 'cosine', 'step', "
        "did you mean 'soft_start_annealing'? (got 'soft_start')",
        "spec.yaml:10: epochs: unknown key, did you mean 'training.epochs'?",
        "spec.yaml:12: dataset.train.annotations: is missing",
        "spec.yaml:16: dataset.validation.1: must be a section of keys (got 3)",
        "spec.yaml:17: augmentation.crop: must be 'person', 'photo' or 'random' (got 3)",
        "spec.yaml:17: augmentation.hue_deg: must be a finite number (got NaN)",
        "spec.yaml:17: augmentation.scale: has too few values (got [2])",
        "spec.yaml:18: skeleton: must be a shipped skeleton (body_18, animal_17, body_18_dense, coco_17, face_68, "
        "halpe_26, hand_21) or a path to a .yaml file, "
        "did you mean 'body_18'? (got 'body18')",
        "--set training.workers=0: training.workers: must be at least 1 (got 0)",
        "--set model.stages=x: model.stages: must be a whole number (got 'x')",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "spec.yaml: is empty; it needs at least one key, such as `name: experiment`"),
        ("# a comment\n", "spec.yaml: is empty; it needs at least one key, such as `name: experiment`"),
        ("- a", "spec.yaml: must be a mapping of keys to values (got [\"a\"])"),
        ("word", "spec.yaml: must be a mapping of keys to values (got 'word')"),
        ("name: a: b", "spec.yaml:1: is not valid YAML: mapping values are not allowed here"),
        (
            "name: a\nmodel: [1",
            "spec.yaml:2: is not valid YAML: while parsing a flow sequence expected ',' or ']', "
            "but got '<stream end>'",
        ),
        ("name: a\nloss: '\x00'", "spec.yaml:2: is not valid YAML: the character 0 is not allowed in YAML"),
        (
            "name: a\n---\nname: b",
            "spec.yaml:2: is not valid YAML: expected a single document in the stream but found another document",
        ),
        ("? [name]\n: b", "spec.yaml:1: has a key that is not a plain word"),
        ("name: a\nloss: &again {l1: *again}", "spec.yaml:2: loss.l1: holds an alias of itself"),
        ("name: !!python/name:os.system ''", "spec.yaml:1: name: has the tag !!python/name:os.system, which is not"),
        ('name: "\\ud83d"', "spec.yaml:1: name: is not a valid str (got '\\ud83d')"),
        ("training: {seed: !!int many}", "spec.yaml:1: training.seed: is not a valid int (got 'many')"),
        (
            "name: a\nmodel:\n  backbone: resnet50\n  input_height: 360",
            "spec.yaml:4: model.input_height: must be a multiple of 16 for resnet50 (got 360)",
        ),
        ("optimizer: [3]", "spec.yaml:1: optimizer: must be a section of keys (got [3])"),
        ("model: null", "spec.yaml:1: model: must be a section of keys (got null)"),
        ("inference:\n  max_aspect_ratio: wide", "spec.yaml:2: inference.max_aspect_ratio: must be a number"),
        ("training: {epochs: true}", "spec.yaml:1: training.epochs: must be a whole number (got true)"),
        ("training: {epochs: 1.0}", "spec.yaml:1: training.epochs: must be a whole number (got 1.0)"),
        ("name: 3", "spec.yaml:1: name: must be text (got 3)"),
        ("name: ''", "spec.yaml:1: name: must not be empty (got '')"),
        ("loss: {l1: .inf}", "spec.yaml:1: loss.l1: must be a finite number (got Infinity)"),
        ("model: {batch_norm: yes}", "spec.yaml:1: model.batch_norm: must be true or false (got 'yes')"),
        (
            "optimizer: {name: adamw, momentum: 0.9}",
            "spec.yaml:1: optimizer.momentum: unknown key; the keys here are name, learning_rate, clip_norm, "
            "layer_multipliers, schedule, weight_decay",
        ),
        (f"name: [{'x' * 99}]", f'spec.yaml:1: name: must be text (got ["{"x" * 55}...)'),
    ],
)  # fmt: skip
def test_refused_text(text: str, message: str) -> None:
    assert refusal(text)[0].startswith(message)


@pytest.mark.parametrize("value", ["yes", "no", "on", "Off", "y", "2024-01-01", "1_000", "12:30:00", "0x1F", "1e", "."])
def test_plain_words_are_text(value: str) -> None:
    assert load_spec_text(f"name: {value}", "spec.yaml").name == value


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-4", 1e-4), ("2.0e-5", 2e-5), ("1E3", 1000), ("+.5", 0.5), ("7.", 7), ("3", 3), ("010", 10), ("1e+1", 10)],
)
def test_numbers(written: str, value: float) -> None:
    l1 = load_spec_text(f"loss: {{l1: {written}}}", "spec.yaml").loss.l1
    assert l1 == value
    assert isinstance(l1, float)


def test_files_that_are_no_specs(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: Zoë".encode("latin-1"))
    for path, message in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "is a folder, not a YAML file"),
        (latin, "is not UTF-8 text (byte 8)"),
    ]:
        with pytest.raises(SpecError) as caught:
            load_spec(path)
        assert str(caught.value) == f"{path}: {message}"


def aliases(depth: int) -> str:
    """Lines of ten aliases of the line before each: 10 ** (depth + 1) values."""
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]" for i in range(1, depth + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text", [aliases(9), "a:\n" + "- 1\n" * 20_000, "{" + ",".join(f"k{i}: 1" for i in range(10_001))]
)
def test_more_values_than_any_spec_has(text: str) -> None:
    (message,) = refusal(text)
    assert "more than 20,000 values, counting those of aliases; is it the right file?" in message


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "{b: " * 5000, "- " * 5000])
def test_deeper_than_any_spec(text: str) -> None:
    assert refusal(text) == ["spec.yaml:1: lists or mappings are nested too deeply; is it the right file?"]


def test_aliases_of_everyday_use_are_fine() -> None:
    spec = load_spec_text("dataset: {train: &d {images: a, annotations: b.json}, validation: *d}", "spec.yaml")
    assert spec.dataset.validation == spec.dataset.train


def test_file_with_byte_order_mark_and_its_path_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("name: Zoë\n", encoding="utf-8-sig")
    assert load_spec(path).name == "Zoë"
    path.write_text("name: a\n\nmodle: {}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value) == f"{path}:3: modle: unknown key, did you mean 'model'?"


def test_overrides_change_create_and_append() -> None:
    text = "model: {stages: 2}\ndataset: {train: [{images: a, annotations: b}]}"
    overrides = [
        "model.stages=4",
        "model.stages=5",
        "training.precision=mixed_bfloat16",
        "inference.decode.peak_threshold=5e-2",
        "dataset.train.0.images=c=d",
        "dataset.train.1={images: e, annotations: f}",
        "dataset.validation.0.images=g",
        "dataset.validation.0.annotations=yes",
        "optimizer={name: adamw}",
    ]
    spec = load_spec_text(text, "spec.yaml", overrides)
    assert spec.model.stages == 5
    assert spec.training.precision == "mixed_bfloat16"
    assert spec.inference.decode.peak_threshold == 0.05
    assert [(source.images, source.annotations) for source in spec.dataset.train_sources] == [("c=d", "b"), ("e", "f")]
    assert [(source.images, source.annotations) for source in spec.dataset.validation_sources] == [("g", "yes")]
    assert spec.optimizer.name == "adamw"


def test_override_replaces_a_wrong_value_and_mends_a_section() -> None:
    assert load_spec_text("model: {stages: x}", "spec.yaml", ["model.stages=2"]).model.stages == 2
    assert load_spec_text("model: null", "spec.yaml", ["model.stages=2"]).model.stages == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.stages", "needs KEY=VALUE, such as model.stages=2"),
        ("=2", "needs KEY=VALUE, such as model.stages=2"),
        ("model..stages=2", "needs KEY=VALUE, such as model.stages=2"),
        ("model.stages=[2", "is not valid YAML: while parsing a flow sequence expected ',' or ']', but got "
                            "'<stream end>'"),
        ("model.stages=", "model.stages: must be a whole number (got null)"),
        ("model.stages.x=2", "model.stages: is not a section (got 2)"),
        ("model.stage=2", "model.stage: unknown key, did you mean 'stages'?"),
        ("loss={l1: 0, l1: 1}", "loss.l1: is given twice, first at --set loss={l1: 0, l1: 1}"),
        ("dataset.train.images=a", "dataset.train: is a list; name an item by its index, as in dataset.train.0.images"),
        ("dataset.train.3.images=a", "dataset.train: has no item 3; its length is 1, indices begin at 0"),
        ("dataset.train.1.images=a", "dataset.train.1.annotations: is missing"),
        ("dataset.validation.images=a", "dataset.validation.annotations: is missing"),
    ],
)  # fmt: skip
def test_refused_override(override: str, message: str) -> None:
    text = "model: {stages: 2}\ndataset: {train: [{images: a, annotations: b}]}"
    assert refusal(text, override) == [f"--set {override}: {message}"]


def test_overrides_of_a_loaded_spec() -> None:
    spec = load_spec_text("dataset: {train: {images: a, annotations: b}}\nmodel: {stages: 2}", "spec.yaml")
    assert apply_overrides(spec, []) == spec
    changed = apply_overrides(spec, ["dataset.train.0.images=c", "optimizer.name=adamw"])
    assert changed.dataset.train_sources[0].images == "c"
    assert (changed.optimizer.name, changed.model.stages, spec.optimizer.name) == ("adamw", 2, "sgd")
    with pytest.raises(SpecError, match=r"^--set model\.stages=0: model\.stages: must be at least 1 \(got 0\)$"):
        apply_overrides(spec, ["model.stages=0"])


FULL = """\
name: "2024-01-01"
skeleton: 'hand: left # 1.yaml'
dataset:
  train:
    - {images: "1e-4", annotations: "null"}
    - {images: Zoë 😀, annotations: "a\\nb\\t"}
  validation: {images: "yes", annotations: " padded "}
model: {initial_stage: {kernel_sizes: [1, 5]}}
optimizer:
  name: adamw
  clip_norm: 1
  schedule: {name: soft_start_annealing, min_learning_rate: 1e-9}
"""


@pytest.mark.parametrize("text", ["{}", FULL])
def test_dump_loads_back_to_the_equal_spec(text: str) -> None:
    spec = load_spec_text(text, "spec.yaml")
    dumped = dump_spec(spec)
    assert load_spec_text(dumped, "dump") == spec
    assert dump_spec(load_spec_text(dumped, "dump")) == dumped
    assert load_spec_text(spec.model_dump_json(), "json") == spec
    assert load_spec_text(json.dumps(spec.model_dump(mode="json")), "json") == spec


def test_dump_holds_every_key_under_its_description() -> None:
    lines = dump_spec(load_spec_text(FULL, "spec.yaml")).split("\n")
    at = lines.index("  train:")
    assert lines[at - 1 : at + 5] == [
        "  # photos to train on: {images: FOLDER, annotations: FILE}, {records: GLOB} or a list of these",
        "  train:",
        "    - # folder of photos, relative to the working directory, or a URL (s3://...)",
        "      images: '1e-4'",
        "      # COCO keypoint JSON file, relative to the working directory, or a URL",
        "      annotations: 'null'",
    ]
    keys = [number for number, line in enumerate(lines) if line and not line.lstrip(" -").startswith("#")]
    assert all(lines[number - 1].lstrip(" -").startswith("# ") for number in keys)
    assert {"  min_area_px: 1024.0", "    kernel_sizes: [1, 5]", "    min_learning_rate: 1.0e-09"} <= set(lines)


def test_checked_in_schema_is_current() -> None:
    stored = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert stored == json_schema(), "run: bpnet spec schema -o specs/schema/experiment.schema.json"


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_spec_loads_and_points_editors_to_the_schema(path: Path) -> None:
    load_spec(path)
    first_line = path.read_text(encoding="utf-8").split("\n")[0]
    assert first_line == "# yaml-language-server: $schema=schema/experiment.schema.json"


def test_reading_specs_loads_nothing_heavy() -> None:
    code = "import sys, bpnet_cli.spec.loader, bpnet_cli.spec.skeleton_file; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "cv2", "numpy", "bpnet_cli.pose"} & set(run.stdout.split())
