"""The experiment spec: its defaults, its ranges and what its keys demand of each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from bpnet_cli.errors import SpecError
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import json_schema, load_spec_text
from bpnet_cli.spec.training import ConstantSchedule, CosineSchedule, SgdSpec


def refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec_text(text, "spec.yaml")
    return str(caught.value)


def test_defaults_of_bodyposenet() -> None:
    spec = load_spec_text("{}", "spec.yaml")
    assert spec == ExperimentSpec()
    assert (spec.skeleton, spec.model.backbone, spec.model.stages) == ("body_18", "vgg19_strided", 3)
    assert (spec.model.input_height, spec.model.input_width) == (256, 256)
    assert spec.model.initial_stage.kernel_sizes == (3, 3, 3)
    assert spec.model.refinement_stage.kernel_sizes == (7, 7, 7, 7, 7)
    assert (spec.model.initial_stage.head_channels, spec.model.refinement_stage.head_channels) == (512, 128)
    assert isinstance(spec.optimizer, SgdSpec)
    assert (spec.optimizer.learning_rate, spec.optimizer.momentum) == (2e-5, 0.9)
    assert spec.optimizer.schedule == ConstantSchedule()
    assert spec.dataset.train_sources == spec.dataset.validation_sources == ()


def test_spec_is_frozen() -> None:
    with pytest.raises(ValidationError):
        ExperimentSpec().training.epochs = 3


def test_optimizer_and_schedule_default_names() -> None:
    spec = load_spec_text("optimizer: {momentum: 0.8, schedule: {name: cosine}}", "spec.yaml")
    assert spec.optimizer == SgdSpec(momentum=0.8, schedule=CosineSchedule(name="cosine"))
    assert load_spec_text("optimizer: {schedule: {}}", "spec.yaml").optimizer.schedule == ConstantSchedule()


def test_one_source_and_a_list_of_one_are_the_same() -> None:
    one = load_spec_text("dataset: {train: {images: a, annotations: b}}", "spec.yaml")
    assert one == load_spec_text("dataset: {train: [{images: a, annotations: b}]}", "spec.yaml")
    assert len(one.dataset.train_sources) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmentation:\n  scale: [2, 1]", "2: augmentation.scale: must be [low, high] with low <= high (got [2, 1])"),
        ("augmentation: {scale: [0, 1]}", "1: augmentation.scale.0: must be greater than 0 (got 0)"),
        ("augmentation: {scale: [1, 1, 1]}", "1: augmentation.scale: must have at most 2 value(s) (got [1, 1, 1])"),
        ("augmentation: {person_height: 2.5}", "1: augmentation.person_height: must be at most 2 (got 2.5)"),
        ("augmentation: {rotation_deg: -1}", "1: augmentation.rotation_deg: must be at least 0 (got -1)"),
        ("dataset: {train: photos}", "1: dataset.train: must be {images: FOLDER, annotations: FILE}, {records: GLOB} "
                                     "or a list of these (got 'photos')"),
        ("dataset: {validation: []}", "1: dataset.validation: must be {images: FOLDER, annotations: FILE}, "
                                      "{records: GLOB} or a list of these (got [])"),
        ("dataset: {train: {records: 3}}", "1: dataset.train.records: must be text (got 3)"),
        ("dataset: {train: {records: a, images: b}}", "1: dataset.train.images: unknown key; the keys here are "
                                                      "records"),
        ("dataset: {train: [{images: 3, annotations: b}]}", "1: dataset.train.0.images: must be text (got 3)"),
        ("model: {stages: 13}", "1: model.stages: must be at most 12 (got 13)"),
        ("model: {input_height: 24}", "1: model.input_height: must be at least 32 (got 24)"),
        ("model: {initial_stage: {kernel_sizes: []}}", "1: model.initial_stage.kernel_sizes: must have at least 1 "
                                                       "value(s) (got [])"),
        ("model:\n  initial_stage:\n    kernel_sizes:\n    - 4", "4: model.initial_stage.kernel_sizes.0: must be odd, "
                                                                 "so that a kernel has a centre (got 4)"),
        ("model: {pretrained: imagnet}", "1: model.pretrained: must be none, imagenet, box, box-fast or a path to a "
                                         ".npz or .keras file, did you mean 'imagenet'? (got 'imagnet')"),
        ("model: {graph: file}", "1: model.pretrained: must be box, box-fast or a .keras file with graph: file, which "
                                 "takes the graph from it (got 'none', the default)"),
        ("model:\n  graph: file\n  pretrained: box\n  stages: 2",
         "4: model.stages: has no effect with graph: file; leave it out (got 2)"),
        ("loss: {heatmap_weight: 0, paf_weight: 0}", "1: loss: heatmap_weight and paf_weight are both 0: nothing would "
                                                     'be learnt (got {"heatmap_weight": 0, "paf_weight": 0})'),
        ("optimizer: {name: sdg}", "1: optimizer.name: must be one of 'sgd', 'adamw', did you mean 'sgd'? (got 'sdg')"),
        ("optimizer: {clip_norm: 0}", "1: optimizer.clip_norm: must be greater than 0 (got 0)"),
        ("optimizer:\n  schedule:\n    name: soft_start_annealing\n    soft_start: 0.6",
         "4: optimizer.schedule.soft_start: must be less than annealing (0.5) (got 0.6)"),
        ("optimizer:\n  schedule:\n    name: soft_start_annealing\n    annealing: 0.01",
         "2: optimizer.schedule.soft_start: must be less than annealing (0.01) (got 0.05, the default)"),
        ("optimizer: {learning_rate: 0.5, schedule: {name: cosine, min_learning_rate: 1}}",
         "1: optimizer.schedule.min_learning_rate: must not be more than the optimizer's learning_rate (0.5) (got 1)"),
        ("optimizer: {schedule: {name: step, boundaries: [0.5, 0.5]}}",
         "1: optimizer.schedule.boundaries: each must be greater than the one before (got [0.5, 0.5])"),
        ("optimizer: {schedule: {name: step, warmup_fraction: 0.8}}",
         "1: optimizer.schedule.warmup_fraction: must not be more than the first boundary (0.7) (got 0.8)"),
        ("loss: {focal: {gamma: 0.5}}", "1: loss.focal.gamma: must be at least 1 (got 0.5)"),
        ("training: {freeze_backbone_epochs: 2}", "1: training.freeze_backbone_epochs: needs model.pretrained: a "
                                                  "backbone with random weights must not be frozen (got 2)"),
        ("training: {jit_compile: true, deterministic: true}", "1: training.jit_compile: can't be used with "
                                                               "deterministic: true, because XLA lacks deterministic "
                                                               "operations (got true)"),
        ("training: {gradient_accumulation: 0}", "1: training.gradient_accumulation: must be at least 1 (got 0)"),
        ("training: {steps_per_epoch: 0}", "1: training.steps_per_epoch: must be at least 1 (got 0)"),
        ("export: {opset: 12}", "1: export.opset: must be at least 13 (got 12)"),
        ("export: {opset: 19}", "1: export.opset: must be at most 18 (got 19)"),
        ("export: {with_peaks: true, tao_layout: true}", "1: export: with_peaks and tao_layout can't be used together: "
                                                         "NVIDIA's layout has no third output; give only one "
                                                         '(got {"with_peaks": true, "tao_layout": true})'),
        ("skeleton: hand.json", "1: skeleton: must be a shipped skeleton (body_18, animal_17, "
                                "body_18_dense, coco_17, face_68, halpe_26, hand_21) "
                                "or a path to a .yaml file (got 'hand.json')"),
    ],
)  # fmt: skip
def test_refused_values(text: str, message: str) -> None:
    assert refusal(text) == f"spec.yaml:{message}"


@pytest.mark.parametrize("skeleton", ["body_18", "hand.yaml", "skeletons/hand.yml"])
def test_skeletons(skeleton: str) -> None:
    assert load_spec_text(f"skeleton: {skeleton}", "spec.yaml").skeleton == skeleton


@pytest.mark.parametrize("weights", ["none", "imagenet", "box", "weights/vgg19.npz", "run/model.keras"])
def test_pretrained(weights: str) -> None:
    assert load_spec_text(f"model: {{pretrained: {weights}}}", "spec.yaml").model.pretrained == weights


def test_decode_section_mirrors_the_decoder() -> None:
    assert ExperimentSpec().inference.decode.model_dump() == dataclasses.asdict(DecodeOptions())


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{path}.{name}", value
        for name, value in schema.items():
            yield from properties(value, f"{path}.{name}")


def test_schema_describes_every_key_and_is_closed() -> None:
    schema = json_schema()
    assert not [path for path, value in properties(schema) if not value.get("description")]
    sections = [schema, *schema["$defs"].values()]
    assert all(section["additionalProperties"] is False and section["description"] for section in sections)


def test_schema_tells_the_members_of_a_union_apart() -> None:
    """Editors check `oneOf`: a section without a name must fit the default member only."""
    definitions = json_schema()["$defs"]
    named = {name for name, section in definitions.items() if "name" in section.get("required", ())}
    # A skeleton is a name or path, which is text, or a section.
    assert named - {"SkeletonFile"} == {"AdamWSpec", "SoftStartAnnealingSchedule", "CosineSchedule", "StepSchedule"}


def test_the_documented_sections_and_keys_are_known() -> None:
    text = """
name: bodyposenet_vgg19_coco
skeleton: body_18
dataset:
  train: {images: DIR, annotations: FILE}
  validation: {images: DIR, annotations: FILE}
  min_keypoints: 5
  min_area_px: 1024
augmentation: {flip_probability: 0.5, rotation_deg: 40, scale: [0.5, 1.5], translation_px: 40}
targets: {heatmap_sigma_px: 7.0, paf_half_width_px: 8.0}
model: {backbone: vgg19_strided, pretrained: none, branches: shared, stages: 3, input_height: 256, input_width: 256}
loss: {}
optimizer: {name: sgd, learning_rate: 2.0e-5, schedule: {name: soft_start_annealing}}
training: {epochs: 100, steps_per_epoch: null, batch_size: 10, seed: 42, precision: float32, deterministic: false,
           distribution: none, keep_checkpoints: 5, validate_every_epochs: 5}
inference: {input_height: 368, decode: {}}
pruning: {}
export: {}
"""
    spec = load_spec_text(text, "example")
    assert load_spec_text(dump_spec(spec), "dumped") == spec
