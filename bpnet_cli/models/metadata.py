"""What a model file says about itself, in `.keras` and `.onnx` alike. No Keras needed to read it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from bpnet_cli.errors import ModelFileError, SpecError
from bpnet_cli.pose.skeleton import Skeleton

FORMAT = 1
# Name of the member of a `.keras` archive and of the entry of ONNX's metadata_props.
KERAS_MEMBER = "bpnet.json"
ONNX_KEY = "bpnet"
# Where a network's graph comes from: built by the spec inside; that graph with fewer channels; another tool's file; or
# another file of this product, taken over by a spec that doesn't describe it.
GraphOrigin = Literal["spec", "pruned", "imported", "file"]


@dataclass(frozen=True)
class ModelMetadata:
    """Everything needed to feed a model and to read its maps.

    spec: the resolved experiment spec as plain values. stride: input pixels per map cell, cell j centred on pixel
    stride * j + (stride - 1) / 2. input_multiple: heights and widths must be multiples of it. scale, offset: the
    normalisation inside the graph, pixel * scale + offset per RGB channel. version: of bpnet that wrote the file.
    graph: where the graph comes from. One that no spec describes can only be taken from the file. paf_offset_px: by how
    much the centres of the PAFs' cells lie right of and below those of the heatmaps', input pixels: -3.5 where NVIDIA's
    trainer made the weights, 0 for networks trained here. Whoever runs the network corrects it.
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
        """Whether the graph is the file's own: the spec inside doesn't describe it."""
        return self.graph != "spec"

    def with_spec(self, spec: Mapping[str, Any]) -> ModelMetadata:
        """The same with another resolved spec."""
        return replace(self, spec=spec)

    def to_json(self) -> str:
        """As stored in model files."""
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
        """Inverse of `to_json`; `origin` names the file in errors. Raises ModelFileError."""
        try:
            values = json.loads(text)
            if values["format"] > FORMAT:
                raise ModelFileError(
                    f"{origin}: written by a newer bpnet ({values['version']}); update bpnet to read it"
                )
            normalization = values["normalization"]
            return cls(
                spec=values["spec"],
                skeleton=Skeleton.from_dict(values["skeleton"]),
                stride=int(values["stride"]),
                input_multiple=int(values["input_multiple"]),
                scale=float(normalization["scale"]),
                offset=tuple(normalization["offset"]),
                version=str(values["version"]),
                graph=_graph_origin(values),
                paf_offset_px=float(values.get("paf_offset_px", 0.0)),
            )
        except (ValueError, KeyError, TypeError, SpecError) as error:
            raise ModelFileError(f"{origin}: its bpnet metadata can't be read ({error!r})") from None


def _graph_origin(values: Mapping[str, Any]) -> GraphOrigin:
    """Files of version 0.1 only say whether they are pruned."""
    graph = values.get("graph", "pruned" if values.get("pruned") else "spec")
    if graph not in get_args(GraphOrigin):
        raise ValueError(f"graph: {graph!r}")
    origin: GraphOrigin = graph
    return origin


def read_keras_metadata(path: str | Path) -> ModelMetadata:
    """Metadata of a `.keras` file, without loading Keras. Raises ModelFileError."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(KERAS_MEMBER)
    except zipfile.BadZipFile:
        raise ModelFileError(f"{path}: not a .keras archive; is the file complete?") from None
    except KeyError:
        raise ModelFileError(f"{path}: has no {KERAS_MEMBER}: it was not written by bpnet") from None
    return ModelMetadata.from_json(text, path)
