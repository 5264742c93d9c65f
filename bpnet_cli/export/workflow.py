"""`bpnet export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import check_output
from bpnet_cli.inference.load import spec_of
from bpnet_cli.models.metadata import read_keras_metadata


def export_model(model_path: str, output: str, overwrite: bool, overrides: Sequence[str]) -> str:
    """Export a `.keras` file to ONNX and describe the result.

    overrides: changes to the spec inside the file; they travel in the ONNX file. Raises BpnetError before the network
    is loaded when the output's name or an existing file forbids it.
    """
    target = check_output(output, ".onnx", overwrite)
    if Path(model_path).suffix != ".keras":
        raise BpnetError(f"{model_path}: export needs a .keras file")
    metadata = read_keras_metadata(model_path)
    spec = spec_of(metadata, model_path, overrides)
    load_keras()
    from bpnet_cli.export.onnx import export_onnx
    from bpnet_cli.models.model_file import load_network

    network, _ = load_network(model_path)
    exported = export_onnx(network, metadata.with_spec(spec.model_dump(mode="json")), target, spec.export.opset)
    lines = [f"{exported.path}: {exported.bytes / 1e6:.2f} MB, opset {spec.export.opset}"]
    lines += [f"input   {name}: {text}" for name, text in exported.inputs.items()]
    lines += [f"output  {name}: {text}" for name, text in exported.outputs.items()]
    lines.append(f"largest difference to Keras: {exported.difference:.1e}")
    return "\n".join(lines)
