"""The metadata of a model file, the same in `.keras` and `.onnx`. Reading it needs no Keras."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bpnet_cli.box import no_such_model
from bpnet_cli.errors import ModelFileError, SpecError
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.untrusted import json_of, member_of

FORMAT = 1
# Most bytes of the metadata; those of the model in the box have 9 kB.
MOST_BYTES = 4 << 20
# Far above those of real networks. _REASON: most characters of a text in a message.
_MOST_STRIDE, _MOST_MULTIPLE, _REASON = 64, 1024, 200
# Name of the metadata: the member of a `.keras` archive, and the entry in ONNX's metadata_props.
KERAS_MEMBER = "bpnet.json"
ONNX_KEY = "bpnet"
# Where a network's graph comes from. spec: built from the spec inside. pruned: the spec's graph with fewer channels.
# imported: from a file of another tool. file: from another bpnet file, by a spec that doesn't describe the graph.
GraphOrigin = Literal["spec", "pruned", "imported", "file"]


@dataclass(frozen=True)
class ModelMetadata:
    """Everything that is needed to give photos to a model and to read its maps.

    spec: the resolved experiment spec as plain values.
    stride: input pixels per map cell; the centre of cell j is at pixel stride * j + (stride - 1) / 2.
    input_multiple: heights and widths of the input must be multiples of this number of pixels.
    scale, offset: the normalisation inside the graph, pixel * scale + offset per RGB channel.
    version: version of bpnet that wrote the file.
    graph: where the graph comes from. A graph that no spec describes can only be taken from the file.
    paf_offset_px: how far the centres of the PAFs' cells are to the right of the heatmaps' centres, and below them, in
    input pixels. It is -3.5 if NVIDIA's trainer made the weights, and 0 for networks trained here. The code that runs
    the network has to correct the offset.
    """

    spec: Mapping[str, Any]
    skeleton: Skeleton
    stride: int
    input_multiple: int
    scale: float
    offset: tuple[float, float, float]
    version: str
    graph: GraphOrigin = "spec"
    paf_offset_px: float = 0.0

    @property
    def has_own_graph(self) -> bool:
        """Whether only the file has the graph, because the spec inside doesn't describe it."""
        return self.graph != "spec"

    def with_spec(self, spec: Mapping[str, Any]) -> ModelMetadata:
        """The same metadata with another resolved spec."""
        return replace(self, spec=spec)

    def to_json(self) -> str:
        """The metadata as JSON text, as model files store it."""
        values = {
            "format": FORMAT,
            "version": self.version,
            "spec": self.spec,
            "skeleton": self.skeleton.to_dict(),
            "stride": self.stride,
            "input_multiple": self.input_multiple,
            "graph": self.graph,
            "paf_offset_px": self.paf_offset_px,
            "normalization": {"scale": self.scale, "offset": list(self.offset), "color": "RGB"},
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes, origin: str | Path) -> ModelMetadata:
        """The inverse of `to_json`. origin: the file, for messages.

        Raises ModelFileError if the text is damaged, or if a newer version of bpnet wrote it.
        """
        try:
            values = json_of(text)
            if values["format"] > FORMAT:
                raise ModelFileError(
                    f"{origin}: a newer version of bpnet wrote this file ({values['version']}); update bpnet to read it"
                )
            normalization = values["normalization"]
            return cls(
                spec=_mapping(values["spec"]),
                skeleton=Skeleton.from_dict(values["skeleton"]),
                stride=_whole(values, "stride", _MOST_STRIDE),
                input_multiple=_whole(values, "input_multiple", _MOST_MULTIPLE),
                scale=float(normalization["scale"]),
                offset=_three(normalization["offset"]),
                version=str(values["version"]),
                graph=_graph_origin(values),
                paf_offset_px=float(values.get("paf_offset_px", 0.0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, SpecError) as error:
            reason = f"{type(error).__name__}: {str(error)[:_REASON]}"
            raise ModelFileError(f"{origin}: the bpnet metadata in this file can't be read ({reason})") from None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"spec: must be a mapping (got {type(value).__name__})")
    return value


def _whole(values: Mapping[str, Any], key: str, most: int) -> int:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{key}: must be a whole number from 1 to {most} (got {str(value)[:_REASON]})")
    return value


def _three(value: Any) -> tuple[float, float, float]:
    red, green, blue = (float(each) for each in value)
    return red, green, blue


def _graph_origin(values: Mapping[str, Any]) -> GraphOrigin:
    """The graph's origin. Files of version 0.1 don't have the key `graph`, they only say whether they are pruned."""
    graph = values.get("graph", "pruned" if values.get("pruned") else "spec")
    if graph not in get_args(GraphOrigin):
        raise ValueError(f"graph: {graph!r}")
    origin: GraphOrigin = graph
    return origin


def read_keras_metadata(path: str | Path) -> ModelMetadata:
    """Metadata of a `.keras` file, read without Keras.

    Raises ModelFileError if there is no such file, if it is damaged, or if bpnet did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise no_such_model(path)
    try:
        text = member_of(path, KERAS_MEMBER, MOST_BYTES)
    except zipfile.BadZipFile:
        raise ModelFileError(f"{path}: not a .keras archive; is the file complete?") from None
    except KeyError:
        raise ModelFileError(f"{path}: has no {KERAS_MEMBER}, so bpnet did not write this file") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return ModelMetadata.from_json(text, path)
