"""`bpnet info`: describes a network and its costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bpnet_cli.build import metadata_of, network_of, skeleton_of
from bpnet_cli.engine import load_keras
from bpnet_cli.inference.load import spec_of
from bpnet_cli.inference.onnx_layout import OnnxLayout
from bpnet_cli.models.formats import format_of, size_of
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.spec.experiment import ExperimentSpec


@dataclass(frozen=True)
class Description:
    """A description as plain values, which can be shown as text or as JSON."""

    values: dict[str, Any]

    def as_json(self) -> str:
        """Indented JSON."""
        return json.dumps(self.values, indent=2)

    def as_text(self) -> str:
        """One aligned line for each value."""
        shown = {key: _shown(value) for key, value in self.values.items()}
        width = max(map(len, shown)) + 2
        return "\n".join(f"{key.replace('_', ' '):<{width}}{text}" for key, text in shown.items())


def describe_spec(spec: ExperimentSpec) -> Description:
    """Describe the network of a spec; its costs are those of the spec's training size."""
    load_keras()
    skeleton = skeleton_of(spec)
    network = network_of(spec, skeleton)
    return Description(_common(spec, metadata_of(spec, skeleton)) | _costs(network, spec))


def describe_model(path: str, overrides: Sequence[str]) -> Description:
    """Describe the network inside a model file. overrides: `key=value` changes to the spec in the file.

    Raises BpnetError if the file can't be loaded or the overrides are wrong.
    """
    values = DESCRIBERS[format_of(path).name](path, overrides)
    return Description(values | {"file_bytes": size_of(path)})


def _keras_file(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    load_keras()
    from bpnet_cli.models.model_file import load_network

    network, metadata = load_network(path)
    spec = spec_of(metadata, path, overrides)
    return _common(spec, metadata) | _costs(network, spec)


def _file_at_work(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Describe a file with the help of the engine that runs it."""
    from bpnet_cli.inference.backends import OnnxBackend, load_backend

    backend = load_backend(path)
    spec = spec_of(backend.metadata, path, overrides)
    common = _common(spec, backend.metadata)
    if isinstance(backend, OnnxBackend):
        return common | {"precision": spec.export.precision} | _of_layout(backend.layout, common, backend.metadata)
    skeleton, stride = backend.metadata.skeleton, backend.metadata.stride
    maps = {"heatmaps": skeleton.heatmap_channels, "pafs": skeleton.paf_channels}
    outputs = [f"{name}: [batch, {count}, height / {stride}, width / {stride}]" for name, count in maps.items()]
    return common | {"input": "BGR, 0..255 [batch, 3, height, width]", "outputs": outputs}


def _of_layout(layout: OnnxLayout, common: dict[str, Any], metadata: ModelMetadata) -> dict[str, Any]:
    """The values that differ from bpnet's usual form: NVIDIA's input and outputs, or the output `peaks`."""
    if layout.normalised:
        outputs = [f"{maps.name}: float32" for maps in (layout.pafs, layout.heatmaps)]
        return {"input": f"{layout.input}: float32 RGB, (pixel - 128) / 256; as NVIDIA's", "outputs": outputs}
    if layout.peaks:
        rows = f"[batch, {len(metadata.skeleton.keypoints)}, {layout.peaks}, 3]"
        return {"outputs": [*common["outputs"], f"peaks: float32 {rows}, x, y in input pixels and score"]}
    return {}


# By format: (file, overrides) -> values.
DESCRIBERS: dict[str, Callable[[str, Sequence[str]], dict[str, Any]]] = {
    "keras": _keras_file,
    "onnx": _file_at_work,
    "openvino": _file_at_work,
    "litert": _file_at_work,
    "saved_model": _file_at_work,
}


def _common(spec: ExperimentSpec, metadata: ModelMetadata) -> dict[str, Any]:
    skeleton = metadata.skeleton
    described = spec.model.graph == "spec" and metadata.graph != "imported"
    network = {key: getattr(spec.model, key) for key in ("backbone", "stages", "branches")} if described else {}
    return {
        "name": spec.name,
        "graph": metadata.graph,
        **network,
        "stride": metadata.stride,
        **({"paf_offset_px": metadata.paf_offset_px} if metadata.paf_offset_px else {}),
        "input": f"image: uint8 RGB [batch, height, width, 3], height and width multiples of {metadata.input_multiple}",
        "outputs": [
            f"heatmaps: float32 [batch, height / {metadata.stride}, width / {metadata.stride}, "
            f"{skeleton.heatmap_channels}]",
            f"pafs: float32 [batch, height / {metadata.stride}, width / {metadata.stride}, {skeleton.paf_channels}]",
        ],
        "skeleton": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "limbs": [f"{a} - {b}" for a, b in skeleton.limbs],
        "flip_pairs": [list(pair) for pair in skeleton.flip_pairs],
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
        value = [" - ".join(item) if isinstance(item, list) else item for item in value]
        return " x ".join(map(str, value)) if all(isinstance(v, int) for v in value) else ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
