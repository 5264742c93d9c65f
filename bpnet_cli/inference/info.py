"""`bpnet info`: what a network is and costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpnet_cli.build import metadata_of, network_of, skeleton_of
from bpnet_cli.engine import load_keras
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.load import spec_of
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class Description:
    """Plain values, for people and for programs."""

    values: dict[str, Any]

    def as_json(self) -> str:
        """Indented JSON."""
        return json.dumps(self.values, indent=2)

    def as_text(self) -> str:
        """Aligned lines."""
        shown = {key: _shown(value) for key, value in self.values.items()}
        width = max(map(len, shown)) + 2
        return "\n".join(f"{key.replace('_', ' '):<{width}}{text}" for key, text in shown.items())


def describe_spec(spec: ExperimentSpec) -> Description:
    """The network that a spec asks for, at its training size."""
    load_keras()
    skeleton = skeleton_of(spec)
    network = network_of(spec, skeleton)
    return Description(_common(spec, metadata_of(spec, skeleton)) | _costs(network, spec))


def describe_model(path: str, overrides: Sequence[str]) -> Description:
    """A model file: the network inside, whatever its spec says now. Raises BpnetError."""
    if Path(path).suffix == ".onnx":
        from bpnet_cli.inference.backends import OnnxBackend

        backend = OnnxBackend(path)
        metadata, spec = backend.metadata, spec_of(backend.metadata, path, overrides)
        own: dict[str, Any] = {"precision": spec.export.precision, "file_bytes": Path(path).stat().st_size}
        if backend.layout.normalised:
            own |= {"input": f"{backend.layout.input}: float32 RGB, (pixel - 128) / 256; as NVIDIA's"}
            own |= {"outputs": [f"{maps.name}: float32" for maps in (backend.layout.pafs, backend.layout.heatmaps)]}
        common = _common(spec, metadata)
        if backend.layout.peaks:
            rows = f"[batch, {len(metadata.skeleton.keypoints)}, {backend.layout.peaks}, 3]"
            own |= {"outputs": [*common["outputs"], f"peaks: float32 {rows}, x, y in input pixels and score"]}
        return Description(common | own)
    if Path(path).suffix != ".keras":
        raise ModelFileError(f"{path}: must be a .keras or an .onnx file")
    load_keras()
    from bpnet_cli.models.model_file import load_network

    network, metadata = load_network(path)
    spec = spec_of(metadata, path, overrides)
    return Description(_common(spec, metadata) | _costs(network, spec) | {"file_bytes": Path(path).stat().st_size})


def _common(spec: ExperimentSpec, metadata: ModelMetadata) -> dict[str, Any]:
    skeleton, described = metadata.skeleton, spec.model.graph == "spec"
    network = {key: getattr(spec.model, key) for key in ("backbone", "stages", "branches")} if described else {}
    return {
        "name": spec.name,
        "graph": metadata.graph,
        **network,
        "stride": metadata.stride,
        "input": f"image: uint8 RGB [batch, height, width, 3], height and width multiples of {metadata.input_multiple}",
        "outputs": [
            f"heatmaps: float32 [batch, height / {metadata.stride}, width / {metadata.stride}, "
            f"{skeleton.heatmap_channels}]",
            f"pafs: float32 [batch, height / {metadata.stride}, width / {metadata.stride}, {skeleton.paf_channels}]",
        ],
        "skeleton": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "limbs": [f"{a} - {b}" for a, b in skeleton.limbs],
    }


def _costs(network: Any, spec: ExperimentSpec) -> dict[str, Any]:
    from bpnet_cli.models.bodyposenet import count_macs

    height, width = spec.model.input_height, spec.model.input_width
    return {
        "stages": len(network.outputs) // 2,
        "parameters": network.count_params(),
        "gmacs": round(count_macs(network, height, width) / 1e9, 2),
        "gmacs_at": [height, width],
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value)) if all(isinstance(v, int) for v in value) else ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
