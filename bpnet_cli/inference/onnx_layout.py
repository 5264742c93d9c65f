"""The form in which an ONNX pose network takes photos and gives maps: bpnet's form, or NVIDIA's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bpnet_cli import __version__
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.log import one_line, say
from bpnet_cli.models import names
from bpnet_cli.models.formats import format_of
from bpnet_cli.models.metadata import ONNX_KEY, ModelMetadata
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.strides import STRIDE

# NVIDIA's float input: (pixel - 128) / 256.
TAO_SCALE, TAO_OFFSET = 1 / 256, -0.5
# NVIDIA's trainer draws PAFs for the upper left pixel of each cell (8j), but heatmaps for the cell's centre (8j + 3.5).
TAO_PAF_OFFSET_PX = -(STRIDE - 1) / 2
# Most pixels of a network's input, a square of 8192: its uint8 values alone take 200 MB.
MOST_PIXELS = 1 << 26
_TAKEN = (
    "is not from bpnet, and taken to read RGB as (pixel - 128) / 256, with OpenPose's 18 keypoints; if people come out"
    " wrong, say what it reads: `bpnet docs import`"
)
# Name of an additional output, see `bpnet_cli.export.peaks`.
PEAKS = "peaks"


class Value(NamedTuple):
    """An input or output of a file, as an engine describes it.

    type: numpy's name of the dtype. shape: a fixed axis is an int; a free axis is None or a name.
    """

    name: str
    type: str
    shape: Sequence[Any]


@dataclass(frozen=True)
class MapOutput:
    """An output with maps. channels_first: axes (B, C, h, w) if true, otherwise (B, h, w, C)."""

    name: str
    channels_first: bool

    def read(self, values: Any) -> NDArray[np.float32]:
        """The output's values as (B, h, w, C) float32."""
        maps = np.asarray(values, np.float32)
        return np.ascontiguousarray(maps.transpose(0, 2, 3, 1)) if self.channels_first else maps


@dataclass(frozen=True)
class OnnxLayout:
    """Input and outputs of an ONNX pose network.

    normalised: the input is float (pixel - 128) / 256, as in NVIDIA's files; otherwise it is uint8 pixels 0..255.
    channels_first: the input's axes are (B, 3, H, W) if true, otherwise (B, H, W, 3).
    batch, size: the only batch size and the only (height, width) that the input takes; None: any.
    peaks: number of rows for each keypoint in the output `peaks`; 0 if the file has no such output.
    """

    input: str
    normalised: bool
    channels_first: bool
    batch: int | None
    size: tuple[int, int] | None
    heatmaps: MapOutput
    pafs: MapOutput
    peaks: int = 0

    def feed(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert (B, H, W, 3) uint8 RGB photos to the input's values.

        Raises BpnetError for a size that the file doesn't take.
        """
        if self.size and images.shape[1:3] != self.size:
            height, width = self.size
            raise BpnetError(
                f"the model takes inputs of {height} x {width} only, got {images.shape[1]} x {images.shape[2]};"
                f" keep inference.input_height={height}, inference.input_width={width} and inference.scales=[1.0]"
            )
        values = (
            images.astype(np.float32) * np.float32(TAO_SCALE) + np.float32(TAO_OFFSET) if self.normalised else images
        )
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if self.channels_first else values

    def read(self, heatmaps: Any, pafs: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both outputs as (B, h, w, C) float32 on one grid: PAFs that were repeated to a finer one are thinned."""
        heat, paf = self.heatmaps.read(heatmaps), self.pafs.read(pafs)
        repeats = paf.shape[1] // heat.shape[1]
        return heat, np.ascontiguousarray(paf[:, ::repeats, ::repeats])


def read_layout(
    inputs: Sequence[Value], outputs: Sequence[Value], path: str | Path
) -> tuple[OnnxLayout, ModelMetadata]:
    """The layout and the metadata of an ONNX file. inputs, outputs: as an engine describes them.

    A file without bpnet's metadata must have the form of NVIDIA's BodyPoseNet: float input, body_18's channels,
    stride 8. If its tensors have NVIDIA's names too, its PAFs have NVIDIA's own grid. Otherwise it may be any network
    of this form: PAFs and heatmaps are taken to have the same grid, and a line says what is taken for granted.
    Raises ModelFileError for a file that has neither.
    """
    metadata = format_of(path).metadata(path)
    skeleton = metadata.skeleton if metadata else BODY_18
    layout = _layout(inputs, outputs, skeleton, path, ours=metadata is not None)
    if metadata:
        return layout, metadata
    by_name = is_nvidias(layout.input, [each.name for each in outputs])
    if not by_name:
        say(f"{one_line(str(path))}: {_TAKEN}")
    return layout, _nvidias(layout, by_name, path)


def _layout(
    inputs: Sequence[Value], outputs: Sequence[Value], skeleton: Skeleton, path: str | Path, ours: bool
) -> OnnxLayout:
    if ours:
        # The outputs are found by name, because a skeleton may have equal numbers of heatmaps and PAFs.
        heatmaps, pafs = (_named(outputs, is_heatmap) for is_heatmap in (True, False))
    else:
        heatmaps = _with_channels(outputs, skeleton.heatmap_channels)
        pafs = _with_channels(outputs, skeleton.paf_channels)
    image, *others = inputs or [Value("no input", "", ())]
    types = ("uint8", "float32") if ours else ("float32",)
    fits = image.type in types and len(image.shape) == 4 and 3 in image.shape[1::2]
    if others or not fits or heatmaps is None or pafs is None:
        found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in (image, *others, *outputs))
        if ours:
            raise ModelFileError(
                f"{path}: has bpnet's metadata, but not the one image and the two outputs, heatmaps and PAFs, that go"
                f" with them (got {found}); another program has changed it: export it again"
            )
        raise ModelFileError(
            f"{path}: has no {ONNX_KEY!r} metadata, so bpnet did not export it, and it is not NVIDIA's BodyPoseNet"
            f" either: that has one float input with 3 channels and outputs with {skeleton.paf_channels} and"
            f" {skeleton.heatmap_channels} channels (got {found})"
        )
    first = image.shape[3] != 3
    batch, height, width = (_fixed(image.shape[axis]) for axis in ((0, 2, 3) if first else (0, 1, 2)))
    size = (height, width) if height and width else None
    if (batch or 1) * math.prod(size or (1, 1)) > MOST_PIXELS:
        raise ModelFileError(
            f"{path}: takes inputs of shape {list(image.shape)} only, more than {MOST_PIXELS:,} pixels"
        )
    peaks = next((output.shape[2] for output in outputs if ours and output.name == PEAKS), 0)
    return OnnxLayout(image.name, image.type == "float32", first, batch, size, heatmaps, pafs, peaks)


def _named(outputs: Sequence[Value], is_heatmap: bool) -> MapOutput | None:
    """The output with heatmaps or with PAFs in a file that bpnet exported, in bpnet's or NVIDIA's form.

    None if there is not exactly one.
    """
    maps = [output.name for output in outputs if output.name != PEAKS]
    names = [name for name in maps if ("heatmap" in name) == is_heatmap]
    return MapOutput(names[0], channels_first=False) if len(names) == 1 else None


def _with_channels(outputs: Sequence[Value], channels: int) -> MapOutput | None:
    """The output with this number of channels, at the last axis or after the batch; None if there is none."""
    for axis in (3, 1):
        for output in outputs:
            if len(output.shape) == 4 and output.shape[axis] == channels:
                return MapOutput(output.name, axis == 1)
    return None


def is_nvidias(image: str, outputs: Sequence[str]) -> bool:
    """Whether the names of the input and of the outputs are those in NVIDIA's BodyPoseNet files."""
    maps = (names.output(0, branch, last=True) for branch in (names.HEATMAPS, names.PAFS))
    words = (*maps, "conv2d_transpose_1")
    return image.split(":")[0] == "input_1" and len(outputs) == 2 and all(o.startswith(words) for o in outputs)


def _fixed(axis: Any) -> int | None:
    return axis if isinstance(axis, int) and axis > 0 else None


def _nvidias(layout: OnnxLayout, by_name: bool, path: str | Path) -> ModelMetadata:
    inference = {"input_height": layout.size[0], "input_width": layout.size[1]} if layout.size else {}
    spec = ExperimentSpec.model_validate({"name": Path(path).stem, "inference": inference}).model_dump(mode="json")
    metadata = ModelMetadata(spec, BODY_18, STRIDE, STRIDE, TAO_SCALE, (TAO_OFFSET,) * 3, __version__)
    return replace(metadata, paf_offset_px=TAO_PAF_OFFSET_PX) if by_name else metadata
