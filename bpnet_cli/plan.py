"""The spec of a training run, resolved once into plain values. `training` below its workflow gets only these values.

Model files that the spec names are opened twice: here for their metadata, and in the run for their network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

from bpnet_cli.box import box_or_path
from bpnet_cli.build import (
    check_multiple,
    metadata_of,
    network_of,
    read_graph_file,
    read_pretrained_metadata,
    skeleton_of,
)
from bpnet_cli.errors import SpecError
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.network import KEYS_OF_ANY_GRAPH
from bpnet_cli.strides import STRIDE

# Keys of the section `model` that may differ from those of a pruned file.
_NOT_THE_GRAPH = KEYS_OF_ANY_GRAPH | {"initializer"}


@dataclass(frozen=True)
class StartPlan:
    """The network that a run begins with.

    file: path of the `.keras` file with the graph and the weights; None if `fresh` builds the graph with new weights.
    metadata: of the model files that the run writes. backbone, pretrained, renamed: see `load_pretrained`. precision:
    name of Keras' dtype policy. frozen_layers: patterns of layer names. frozen_epochs: number of epochs at the
    beginning in which the backbone's pretrained layers don't learn.
    """

    file: str | None
    fresh: Callable[[], Any]
    metadata: ModelMetadata
    backbone: str
    pretrained: str
    renamed: Mapping[str, str]
    precision: str
    frozen_layers: tuple[str, ...]
    frozen_epochs: int


@dataclass(frozen=True)
class TeacherPlan:
    """Another network to learn from.

    path: of its file. height, width: of its images in pixels. scales, flip: its maps are averaged over these scales
    and, with flip, over the mirrored image.
    """

    path: str
    height: int
    width: int
    scales: tuple[float, ...]
    flip: bool


@dataclass(frozen=True)
class TargetShape:
    """The shape of targets, in input pixels.

    stride: input pixels per map cell. heatmap_sigma_px: sigma of the Gaussians of keypoints. paf_half_width_px: half
    width of limbs.
    """

    stride: int = 8
    heatmap_sigma_px: float = 7.0
    paf_half_width_px: float = 8.0


@dataclass(frozen=True)
class Focal:
    """The constants of `training.focal.focal_factor`."""

    gamma: float
    alpha: float
    beta: float
    threshold: float


@dataclass(frozen=True)
class LossWeights:
    """The factors of the parts of the loss.

    heatmap, paf: factors of the two kinds of maps. l1: factor of sum |kernel|. l2: factor of sum kernel^2.
    teacher: with a teacher, the factor of the error against its maps; the error against labels gets 1 - teacher.
    focal: the focal factor of errors; None: all errors count alike.
    """

    heatmap: float = 1.0
    paf: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    teacher: float = 0.5
    focal: Focal | None = None


@dataclass(frozen=True)
class OptimizerPlan:
    """The optimizer and its schedule.

    momentum, nesterov: of SGD. weight_decay: of AdamW. clip_norm: largest global norm of gradients; None: no clipping.
    multipliers: key of `training.optimizer.MULTIPLIERS`. shape: key of `training.schedule.SHAPES`. shape_values: the
    arguments of the shape except the learning rate.
    """

    name: Literal["sgd", "adamw"]
    learning_rate: float
    clip_norm: float | None
    multipliers: str
    momentum: float
    nesterov: bool
    weight_decay: float
    shape: str
    shape_values: Mapping[str, Any]


@dataclass(frozen=True)
class LoopPlan:
    """The keys of the spec's section `training` that the loop of a run uses, under the same names."""

    epochs: int
    steps_per_epoch: int | None
    min_steps_per_epoch: int
    batch_size: int
    gradient_accumulation: int
    jit_compile: bool
    ema_momentum: float | None
    keep_checkpoints: int
    checkpoint_minutes: float
    validate_every_epochs: int
    workers: int | None
    log_images: int


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that describes a run, except its data."""

    name: str
    skeleton: Skeleton
    start: StartPlan
    teacher: TeacherPlan | None
    targets: TargetShape
    loss: LossWeights
    optimizer: OptimizerPlan
    loop: LoopPlan


def plan_of(spec: ExperimentSpec) -> TrainingPlan:
    """The plan of a spec. Raises BpnetError if a skeleton or a model file doesn't fit."""
    skeleton = skeleton_of(spec)
    loss = spec.loss
    focal = Focal(**loss.focal.model_dump()) if loss.focal else None
    return TrainingPlan(
        name=spec.name,
        skeleton=skeleton,
        start=_start_of(spec, skeleton),
        teacher=_teacher_of(spec),
        targets=TargetShape(STRIDE, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px),
        loss=LossWeights(loss.heatmap_weight, loss.paf_weight, loss.l1, loss.l2, spec.distillation.share, focal),
        optimizer=optimizer_plan(spec.optimizer),
        loop=LoopPlan(**{field.name: getattr(spec.training, field.name) for field in fields(LoopPlan)}),
    )


def optimizer_plan(section: Any) -> OptimizerPlan:
    """The plan of a spec's section `optimizer`."""
    shape = section.schedule.model_dump()
    return OptimizerPlan(
        name=section.name,
        learning_rate=section.learning_rate,
        clip_norm=section.clip_norm,
        multipliers=section.layer_multipliers,
        momentum=getattr(section, "momentum", 0.0),
        nesterov=getattr(section, "nesterov", False),
        weight_decay=getattr(section, "weight_decay", 0.0),
        shape=shape.pop("name"),
        shape_values=shape,
    )


def _teacher_of(spec: ExperimentSpec) -> TeacherPlan | None:
    theirs = spec.distillation
    if theirs.teacher is None:
        return None
    return TeacherPlan(
        box_or_path(theirs.teacher, keras=False),
        spec.model.input_height,
        spec.model.input_width,
        theirs.scales,
        theirs.flip,
    )


def _start_of(spec: ExperimentSpec, skeleton: Skeleton) -> StartPlan:
    """Plan the start. The graph comes from the pretrained file if it is pruned or with `model.graph: file`."""
    model, training = spec.model, spec.training
    path = box_or_path(model.pretrained, keras=True)
    file = None
    if model.graph == "file":
        file, theirs = path, read_graph_file(path)
        check_multiple(spec, theirs.input_multiple, path)
        metadata = metadata_of(spec, skeleton, theirs)
    else:
        metadata = metadata_of(spec, skeleton)
        if path.endswith(".keras") and (pruned := _pruned(spec, skeleton, path)):
            file, metadata = path, replace(metadata, graph=pruned.graph)
    return StartPlan(
        file=file,
        fresh=partial(network_of, spec, skeleton),
        metadata=metadata,
        backbone=model.backbone,
        pretrained=model.pretrained,
        renamed=model.pretrained_keypoints,
        precision=training.precision,
        frozen_layers=training.frozen_layers,
        frozen_epochs=training.freeze_backbone_epochs,
    )


def _pruned(spec: ExperimentSpec, skeleton: Skeleton, path: str) -> ModelMetadata | None:
    """The metadata of a file that holds the spec's network, pruned; None if the file's graph is that of its spec.

    Raises SpecError for any other graph, and for a pruned file of another network.
    """
    metadata = read_pretrained_metadata(path)
    if not metadata.has_own_graph:
        return None
    if metadata.graph != "pruned" or metadata.spec["model"].get("graph") == "file":
        raise SpecError(
            f"model.graph: {spec.model.pretrained} has its own graph ({metadata.graph}), which no keys can"
            " describe: set model.graph: file, and leave out the keys of model that describe a network"
        )
    ours, theirs = spec.model.model_dump(mode="json"), metadata.spec["model"]
    differing = [key for key in ours if key not in _NOT_THE_GRAPH and ours[key] != theirs.get(key)]
    if differing or metadata.skeleton != skeleton:
        listed = "; ".join(f"model.{key}: {theirs.get(key)} -> {ours[key]}" for key in differing) or "skeleton"
        raise SpecError(
            f"model.pretrained: {path} is pruned and trained on as it is, but this spec asks for another network"
            f" ({listed}); use the spec that it was trained with"
        )
    return metadata
