"""The experiment spec: all settings of a run, in one file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from bpnet_cli.spec.base import Model, refusal
from bpnet_cli.spec.dataset import AugmentationSpec, DatasetSpec, TargetsSpec
from bpnet_cli.spec.inference import InferenceSpec
from bpnet_cli.spec.network import DistillationSpec, ExportSpec, LossSpec, ModelSpec, PruningSpec
from bpnet_cli.spec.shipped import skeleton_names
from bpnet_cli.spec.skeleton_file import SkeletonFile
from bpnet_cli.spec.training import Optimizer, SgdSpec, TrainingSpec


def _known_skeleton(value: str) -> str:
    names = skeleton_names()
    if value not in names and not value.endswith((".yaml", ".yml")):
        raise refusal(f"must be a shipped skeleton ({', '.join(names)}) or a path to a .yaml file", choices=names)
    return value


def _kind_of_skeleton(value: Any) -> str:
    return "whole" if isinstance(value, dict | SkeletonFile) else "named"


class ExperimentSpec(Model):
    """A bpnet experiment."""

    name: str = Field(
        default="experiment", min_length=1, description="name of the experiment in reports and model files"
    )
    skeleton: Annotated[
        Annotated[str, AfterValidator(_known_skeleton), Tag("named")] | Annotated[SkeletonFile, Tag("whole")],
        Discriminator(_kind_of_skeleton),
    ] = Field(
        default="body_18",
        description="a shipped skeleton (see `bpnet spec list`), a path to a skeleton .yaml file (relative to the "
        "working directory), or the keys of such a file: name, keypoints, limbs",
    )
    dataset: DatasetSpec = Field(default=DatasetSpec(), description="photos, and which people get a training crop")
    augmentation: AugmentationSpec = Field(default=AugmentationSpec(), description="random changes of training crops")
    targets: TargetsSpec = Field(default=TargetsSpec(), description="the maps that the network learns")
    model: ModelSpec = Field(default=ModelSpec(), description="the network")
    loss: LossSpec = Field(default=LossSpec(), description="what training minimises")
    distillation: DistillationSpec = Field(
        default=DistillationSpec(), description="learning from the maps of another network, in addition to the labels"
    )
    optimizer: Optimizer = Field(default=SgdSpec(), description="how training minimises the loss: sgd or adamw")
    training: TrainingSpec = Field(default=TrainingSpec(), description="how long to train, and what to keep")
    inference: InferenceSpec = Field(
        default=InferenceSpec(), description="how photos become network inputs, and how maps become people"
    )
    pruning: PruningSpec = Field(default=PruningSpec(), description="channel pruning")
    export: ExportSpec = Field(default=ExportSpec(), description="the ONNX file")

    @model_validator(mode="after")
    def _what_is_frozen_has_learnt_something(self) -> ExperimentSpec:
        if self.training.freeze_backbone_epochs and self.model.pretrained == "none":
            text = "needs model.pretrained: a backbone with random weights must not be frozen"
            raise refusal(text, ("training", "freeze_backbone_epochs"), self.training.freeze_backbone_epochs)
        return self
