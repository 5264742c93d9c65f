"""What a model file says about itself, in `.keras` and `.onnx` alike. No Keras needed to read it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpnet_cli.errors import ModelFileError, SpecError
from bpnet_cli.pose.skeleton import Skeleton

FORMAT = 1
# Name of the member of a `.keras` archive and of the entry of ONNX's metadata_props.
KERAS_MEMBER = "bpnet.json"
ONNX_KEY = "bpnet"


@dataclass(frozen=True)
class ModelMetadata:
    """Everything needed to feed a model and to read its maps.

    spec: the resolved experiment spec as plain values. stride: input pixels per map cell, cell j centred on pixel
    stride * j + (stride - 1) / 2. input_multiple: heights and widths must be multiples of it. scale, offset: the
    normalisation inside the graph, pixel * scale + offset per RGB channel. version: of bpnet that wrote the file.
    pruned: the graph has fewer channels than the spec tells.
    """

    spec: Mapping[str, Any]
    skeleton: Skeleton
    stride: int
    input_multiple: int
    scale: float
    offset: tuple[float, float, float]
    version: str
    pruned: bool = False

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
            "pruned": self.pruned,
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
                pruned=bool(values.get("pruned", False)),
            )
        except (ValueError, KeyError, TypeError, SpecError) as error:
            raise ModelFileError(f"{origin}: its bpnet metadata can't be read ({error!r})") from None


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
