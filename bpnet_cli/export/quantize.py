"""INT8 with calibration: the ranges of activations come from real photos, preprocessed exactly as in inference."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.explain import Cost, layer_costs
from bpnet_cli.export.layers import convolutions, matching_layers
from bpnet_cli.export.onnx import set_metadata
from bpnet_cli.export.plain import drop_unread_constants, drop_unused, drop_unused_domains, rename_tensors
from bpnet_cli.inference.onnx_layout import OnnxLayout
from bpnet_cli.log import progress, silenced
from bpnet_cli.models.metadata import ModelMetadata

# Values of `export.calibration` -> ONNX Runtime's names of these methods.
METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}


def quantize(
    source: Path,
    target: Path,
    inputs: Sequence[NDArray[np.uint8]],
    layout: OnnxLayout,
    metadata: ModelMetadata,
    *,
    method: str,
    heads: bool,
    float_layers: Sequence[str] = (),
    explained: Sequence[NDArray[np.uint8]] = (),
) -> list[Cost]:
    """Write an INT8 copy of a float32 ONNX file: QDQ, int8 weights with a scale per channel, uint8 activations.

    The normalisation stays float. inputs: (B, H, W, 3) uint8 network inputs; their activations give the ranges.
    layout: of the source file. method: a key of `METHODS`. heads: whether to quantise the last convolutions too.
    float_layers: names of convolutions that stay float, with * for any characters. explained: inputs on which the cost
    of each quantised convolution is measured; returns these costs, nothing if there are no such inputs.
    Raises SpecError for a name that no convolution has, BpnetError if ONNX Runtime can't quantise the network.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded = target.with_name("folded.onnx")
    # This folds the scales and offsets of batch norm into the convolutions. Quantising needs that.
    quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
    model = onnx.load(str(folded))
    graph = model.graph
    excluded = _normalisation(graph) + ([] if heads else _last_convolutions(graph))
    floats = matching_layers(float_layers, [node.name for node in convolutions(graph)])
    reader = _Inputs(inputs, layout)
    try:
        with _quiet():
            quantize_static(
                str(folded),
                str(target),
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded + floats,
                calibrate_method=getattr(CalibrationMethod, METHODS[method]),
                # One photo at a time, because the activations of one photo already need hundreds of megabytes.
                extra_options={
                    "CalibStridedMinMax": 1,
                    "TensorQuantOverrides": _seven_bits(graph, layout.input),
                    "QDQKeepRemovableActivations": bool(floats),
                },
            )
    except (ValueError, RuntimeError) as error:
        raise BpnetError(f"nothing written: ONNX Runtime can't quantise the network: {error}") from None
    reader.close()
    exact, model = model, onnx.load(str(target))
    _read_floats(model.graph, floats)
    costs = layer_costs(model, exact, [{layout.input: layout.feed(images)} for images in explained])
    _compact(model.graph)
    drop_unused_domains(model)
    set_metadata(model, metadata)
    onnx.save(model, str(target))
    return costs


def _seven_bits(graph: Any, image: str) -> dict[str, Any]:
    """ONNX Runtime's option for 7-bit weights in the convolutions that read the photo. image: the input's name.

    Processors without VNNI add two products in 16 bits, and clip larger sums. Bright pixels cause such sums; later
    activations hardly ever do. (OpenVINO's NNCF does the same: its "overflow fix" of the first layer.)
    """
    from onnxruntime.quantization import QuantType

    reached, weights = {image}, {}
    for node in graph.node:
        if reached.isdisjoint(node.input):
            continue
        if node.op_type == "Conv":
            weights[node.input[1]] = [
                {"quant_type": QuantType.QInt8, "axis": 0, "symmetric": True, "reduce_range": True}
            ]
        else:
            reached.update(node.output)
    return weights


def _read_floats(graph: Any, names: Sequence[str]) -> None:
    """Let these convolutions read their input before it is quantised, in place.

    Between quantised tensors, ONNX Runtime would quantise their weights itself, with one scale for all channels. The
    activation functions before the quantisers must still be there.
    """
    makers = {output: node for node in graph.node for output in node.output}
    for node in convolutions(graph):
        maker = makers.get(node.input[0])
        if node.name in names and maker is not None and maker.op_type == "DequantizeLinear":
            node.input[0] = makers[maker.input[0]].input[0]
    drop_unused(graph)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantiser's output, also its advice to preprocess with symbolic shapes, which isn't needed here."""
    logging.disable(logging.WARNING)
    try:
        with silenced():
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Inputs:
    """Network inputs in the form that ONNX Runtime's calibrators read; shows their progress."""

    def __init__(self, inputs: Sequence[NDArray[np.uint8]], layout: OnnxLayout) -> None:
        self.inputs, self.layout = inputs, layout
        self.rest: Iterator[NDArray[np.uint8]] = iter(inputs)
        self._shown = progress(range(len(inputs)), len(inputs), "calibrating")

    def __len__(self) -> int:
        return len(self.inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """The next calls of `get_next` give these inputs."""
        self.rest = iter(self.inputs[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """{input name: the next input}; None after the last input."""
        images = next(self.rest, None)
        if images is None:
            return None
        next(self._shown, None)
        return {self.layout.input: self.layout.feed(images)}

    def close(self) -> None:
        """Finish the progress line."""
        for _ in self._shown:
            pass


def _last_convolutions(graph: Any) -> list[str]:
    """Names of the convolutions that make the outputs."""
    makers = {output: node for node in graph.node for output in node.output}
    found = []
    for output in graph.output:
        node = makers[output.name]
        while node.op_type != "Conv":
            node = makers[node.input[0]]
        found.append(node.name)
    return found


def _normalisation(graph: Any) -> list[str]:
    """Names of the nodes before the first convolution; they normalise the photo."""
    names = []
    for node in graph.node:
        if node.op_type == "Conv":
            break
        names.append(node.name)
    return names


def _compact(graph: Any) -> None:
    """Remove zero points that are zero, and long tensor names. They are about a tenth of a small network's file."""
    import onnx

    del graph.value_info[:]
    zeros = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT32)
        and not onnx.numpy_helper.to_array(tensor).any()
    }
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.name = ""
        if node.op_type == "DequantizeLinear" and node.input[2] in zeros:
            del node.input[2]
    drop_unread_constants(graph)
    _number_tensors(graph)


def _number_tensors(graph: Any) -> None:
    """Give every inner tensor a number as its name."""
    outside = {value.name for value in (*graph.input, *graph.output)}
    inside = dict.fromkeys(name for node in graph.node for name in (*node.input, *node.output) if name)
    rename_tensors(graph, {name: str(i) for i, name in enumerate(name for name in inside if name not in outside)})
