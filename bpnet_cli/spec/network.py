"""Sections about the network: its graph, its loss, pruning and export."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from bpnet_cli import box
from bpnet_cli.spec.base import Model, OnDisk, refusal
from bpnet_cli.strides import INPUT_MULTIPLES, STRIDE


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise refusal("must be odd, so that a kernel has a centre")
    return size


_KernelSizes = Annotated[
    tuple[Annotated[int, Field(ge=1), AfterValidator(_odd)], ...],
    Field(min_length=1, description="kernel size of each hidden convolution, in map cells, odd"),
]
_Channels = Annotated[int, Field(ge=1, description="channels of each hidden convolution")]
_HeadChannels = Annotated[int, Field(ge=1, description="channels of the 1x1 convolution before the stage's outputs")]


class StageSpec(Model):
    """A stage: hidden convolutions, a 1x1 convolution, then the 1x1 outputs."""

    kernel_sizes: _KernelSizes
    channels: _Channels
    head_channels: _HeadChannels


class InitialStageSpec(StageSpec):
    """Stage 1. Its input is the backbone's features."""

    kernel_sizes: _KernelSizes = (3, 3, 3)
    channels: _Channels = 128
    head_channels: _HeadChannels = 512


class RefinementStageSpec(StageSpec):
    """Stages 2 and up. Their input is the features and the maps of the previous stage."""

    kernel_sizes: _KernelSizes = (7, 7, 7, 7, 7)
    channels: _Channels = 128
    head_channels: _HeadChannels = 128


_WEIGHTS = ("none", "imagenet", *box.NAMES)
_BOXES = ", ".join(box.NAMES)


def _known_weights(value: str) -> str:
    if value not in _WEIGHTS and not value.endswith((".npz", ".keras")):
        raise refusal(f"must be none, imagenet, {_BOXES} or a path to a .npz or .keras file", choices=_WEIGHTS)
    return value


# Keys of the section `model` that don't describe the graph.
KEYS_OF_ANY_GRAPH = frozenset({"graph", "pretrained", "pretrained_keypoints", "input_height", "input_width"})


class ModelSpec(Model):
    """The network."""

    graph: Literal["spec", "file"] = Field(
        default="spec",
        description="where the graph comes from: spec (the keys below) or file (graph and weights of pretrained, which "
        "must be a .keras file or box; leave out the keys below, except the input's size)",
    )
    backbone: Literal[
        "vgg19_strided", "vgg19", "efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large", "resnet50", "tiny"
    ] = Field(
        default="vgg19_strided",
        description="feature extractor: vgg19_strided, vgg19, efficientnet_lite0, mobilenet_v2, mobilenet_v3_large, "
        "resnet50 or tiny",
    )
    pretrained: Annotated[str, AfterValidator(_known_weights), OnDisk("file", _WEIGHTS)] = Field(
        default="none",
        description=f"weights to start from: none, imagenet, {_BOXES} (the models in the box), or a path to a .npz or "
        ".keras file relative to the working directory",
    )
    pretrained_keypoints: dict[str, str] = Field(
        default={},
        description="{keypoint of your skeleton: keypoint of the pretrained model's skeleton}: keypoints whose names "
        "differ; the others are matched by their names",
    )
    branches: Literal["shared", "separate"] = Field(
        default="shared",
        description="shared: heatmaps and PAFs have one trunk per stage; separate: one trunk each, as in OpenPose",
    )
    stages: int = Field(
        default=3, ge=1, le=12, description="number of stages, 1 to 12: the initial stage and the refinement stages"
    )
    input_height: int = Field(
        default=256, ge=32, le=8192, multiple_of=STRIDE, description="height of the training input, pixels"
    )
    input_width: int = Field(
        default=256, ge=32, le=8192, multiple_of=STRIDE, description="width of the training input, pixels"
    )
    feature_channels: int = Field(
        default=128, ge=1, description="channels of the features, which are input of every stage"
    )
    convolution: Literal["plain", "separable"] = Field(
        default="plain", description="convolutions of the stages: plain, or separable (depthwise, then 1x1)"
    )
    batch_norm: bool = Field(
        default=False, description="batch normalisation after each hidden convolution of the stages"
    )
    initializer: Literal["he_normal", "random_normal"] = Field(
        default="he_normal",
        description="initial kernels of the stages: he_normal, or random_normal (sigma 0.01, as in BodyPoseNet)",
    )
    initial_stage: InitialStageSpec = Field(default=InitialStageSpec(), description="stage 1")
    refinement_stage: RefinementStageSpec = Field(default=RefinementStageSpec(), description="stages 2 and up")

    @model_validator(mode="after")
    def _backbone_takes_the_size(self) -> ModelSpec:
        multiple = INPUT_MULTIPLES[self.backbone]
        for key in ("input_height", "input_width"):
            if self.graph == "spec" and getattr(self, key) % multiple:
                raise refusal(f"must be a multiple of {multiple} for {self.backbone}", (key,), getattr(self, key))
        return self

    @property
    def _starts_from_a_model(self) -> bool:
        return self.pretrained in box.NAMES or self.pretrained.endswith(".keras")

    @model_validator(mode="after")
    def _keypoints_of_a_model(self) -> ModelSpec:
        if self.pretrained_keypoints and not self._starts_from_a_model:
            raise refusal(
                f"has no effect without a model to start from; set model.pretrained to {_BOXES} or a .keras file",
                ("pretrained_keypoints",),
                self.pretrained_keypoints,
            )
        return self

    @model_validator(mode="after")
    def _graph_of_a_file_is_whole(self) -> ModelSpec:
        if self.graph == "spec":
            return self
        if not self._starts_from_a_model:
            raise refusal(
                f"must be {_BOXES} or a .keras file with graph: file, which takes the graph from it",
                ("pretrained",),
                self.pretrained,
            )
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if key not in KEYS_OF_ANY_GRAPH and value != field.default:
                raise refusal("has no effect with graph: file; leave it out", (key,), value)
        return self


class FocalSpec(Model):
    """Weights of squared errors that grow with the error (the formula is in training/focal.py)."""

    gamma: float = Field(
        default=2.0,
        ge=1,
        description="power of the distance from the right value; larger values focus on larger errors",
    )
    alpha: float = Field(default=0.1, ge=0, description="constant added to the distance where the target is set")
    beta: float = Field(default=0.02, ge=0, description="constant added to the distance in the background")
    threshold: float = Field(
        default=0.01, ge=0, lt=1, description="a target counts as set where its absolute value is above this"
    )


class LossSpec(Model):
    """What training minimises."""

    heatmap_weight: float = Field(default=1.0, ge=0, description="weight of the heatmaps' squared error")
    paf_weight: float = Field(default=1.0, ge=0, description="weight of the PAFs' squared error")
    focal: FocalSpec | None = Field(
        default=None,
        description="give larger errors more weight: {} or {gamma: 2.0, ...}; null: all have the same weight",
    )
    l1: float = Field(default=0.0, ge=0, description="weight of the sum of the absolute values of kernels")
    l2: float = Field(default=0.0, ge=0, description="weight of the sum of the squares of kernels")

    @model_validator(mode="after")
    def _something_is_learnt(self) -> LossSpec:
        if self.heatmap_weight == 0 and self.paf_weight == 0:
            raise refusal("heatmap_weight and paf_weight are both 0: nothing would be learnt")
        return self


class DistillationSpec(Model):
    """Learning from the maps of another network, in addition to the labels."""

    teacher: Annotated[str | None, OnDisk("file", box.NAMES)] = Field(
        default=None,
        description=f"network to learn from, which runs on every crop: {_BOXES} (the models in the box), or a .onnx, "
        ".keras or OpenVINO .xml file; null: only labels",
    )
    share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="weight of the teacher's maps; the labels have the weight 1 - share. 1: the labels are not used",
    )
    flip: bool = Field(
        default=False,
        description="average the teacher's maps with those of the mirrored crop; better maps, twice the time",
    )
    scales: tuple[PositiveFloat, ...] = Field(
        default=(1.0,),
        min_length=1,
        description="the teacher runs at these factors of the crop's size, and its maps are averaged",
    )


class PruningSpec(Model):
    """Channel pruning."""

    criterion: Literal["norm", "effect"] | None = Field(
        default=None,
        description="which channels are removed first: norm (small weights) or effect (those that change the "
        "maps least on photos); null: effect with --refit-images, else norm",
    )
    refit: bool = Field(default=True, description="with --refit-images: refit the layers that read removed channels")
    granularity: int = Field(
        default=8, ge=1, description="the number of channels that stay is a multiple of this in every layer"
    )
    min_channels: int = Field(default=16, ge=1, description="smallest number of channels that stay in a layer")
    min_share: float = Field(
        default=0.25, ge=0, le=1, description="smallest share of a layer's channels that stay, 0 to 1"
    )
    excluded_layers: tuple[str, ...] = Field(
        default=(), description="names of layers that keep all channels, with * and ?, for example [stem_*]"
    )


class ExportSpec(Model):
    """The ONNX file."""

    opset: int = Field(default=17, ge=13, le=18, description="ONNX operator set, 13 to 18 (the newest in tf2onnx)")
    precision: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32", description="precision of the network: fp32, fp16 or int8 (needs calibration photos)"
    )
    calibration: Literal["minmax", "percentile", "entropy"] = Field(
        default="minmax",
        description="how int8 ranges are computed from calibration photos: minmax, percentile or entropy",
    )
    quantize_heads: bool = Field(
        default=False,
        description="use int8 also for the last convolutions, which make the maps; false: they stay float",
    )
    float_layers: tuple[str, ...] = Field(
        default=(), description="names of convolutions that stay float in int8 files; * stands for any characters"
    )
    height: int | None = Field(
        default=None, ge=32, description="the only input height that the file takes, pixels; null: any. Needs width"
    )
    width: int | None = Field(
        default=None, ge=32, description="the only input width that the file takes, pixels; null: any. Needs height"
    )
    batch: int | None = Field(default=None, ge=1, description="the only batch size that the file takes; null: any")
    with_peaks: bool = Field(
        default=False,
        description="add a third output, peaks, found in the graph with inference.decode.peak_threshold and max_peaks",
    )
    tao_layout: bool = Field(
        default=False,
        description="use names, order and float input of NVIDIA's BodyPoseNet files, for example for DeepStream",
    )
    tao_paf_upsampling: Literal[1, 4] = Field(
        default=4, description="with tao_layout, PAFs are this many times as large as heatmaps: 4 (for DeepStream) or 1"
    )

    @model_validator(mode="after")
    def _height_and_width_go_together(self) -> ExportSpec:
        if (self.height is None) != (self.width is None):
            raise refusal("height and width must be given together: give both or neither")
        return self

    @model_validator(mode="after")
    def _nvidias_form_has_no_peaks(self) -> ExportSpec:
        if self.with_peaks and self.tao_layout:
            raise refusal(
                "with_peaks and tao_layout can't be used together: NVIDIA's layout has no third output; give only one"
            )
        return self
