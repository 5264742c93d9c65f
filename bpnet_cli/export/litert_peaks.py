"""Finds peaks inside a LiteRT file: `pose.peaks.find_peaks` in TensorFlow operators, with exactly the same rules."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from bpnet_cli.export.litert import converted
from bpnet_cli.inference.onnx_layout import PEAKS
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.peaks import FLOOR, PLATEAU_STEPS, STRAIGHT

_LARGEST = np.finfo(np.float32).max
# What lies around the map: lower than all heights.
_OUTSIDE = -1.0
_PREFIX = "peaks/"
# Runtimes read weights in blocks of so many bytes.
_ALIGNMENT = 16


def add_peaks(model: bytes, keypoints: int, stride: int, options: DecodeOptions) -> bytes:
    """The LiteRT file with a third output, `peaks`, see `finder_of`. They are found in float32, whatever its precision.

    model: with an output `heatmaps` in its signature.
    """
    return _joined(model, finder_of(_axes(model), keypoints, stride, options))


def finder_of(axes: tuple[int | None, ...], keypoints: int, stride: int, options: DecodeOptions) -> bytes:
    """A LiteRT file with the input `heatmaps` and the output `peaks`.

    axes: fixed (batch, rows, columns); None for a free axis. heatmaps: float32 (batch, rows, columns, keypoints + 1);
    the background is the last channel. peaks: float32 (batch, keypoints, options.max_peaks, 3): x and y in
    network-input pixels, and the score. The peaks of each keypoint are sorted, the highest first; unused rows are 0.
    """
    signature = [tf.TensorSpec((*axes, keypoints + 1), tf.float32, name="heatmaps")]

    def find(heatmaps: Any) -> Any:
        heights = heatmaps[..., :-1]
        maps = tf.where(tf.abs(heights) <= _LARGEST, heights, 0.0)
        score, cell = _highest(maps, _tops(maps, options.peak_threshold), options.max_peaks)
        x, y = _positions(maps, cell)
        offset = cell_to_pixel(0.0, stride)
        rows = tf.stack([x * float(stride) + offset, y * float(stride) + offset, score], axis=3)
        return tf.where(score[..., None] > 0, rows, 0.0)

    function = tf.function(find, input_signature=signature)
    module = tf.Module()
    module.find = function
    return converted(tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module))


def _tops(maps: Any, threshold: float) -> Any:
    """The maps with all cells that are no peaks set to 0; a plateau has one peak, at its first cell, or none."""
    framed = _framed(maps)
    threes = tf.nn.max_pool2d(framed, (1, 3), 1, "VALID")
    middle = framed[:, 1:-1]
    earlier = tf.maximum(threes[:, :-2], middle[:, :, :-2])
    later = tf.maximum(threes[:, 2:], middle[:, :, 2:])
    left = maps >= tf.maximum(earlier, later)
    # A cell is no peak if a neighbour of the same height is no peak: that neighbour has a higher neighbour itself.
    for _ in range(PLATEAU_STEPS):
        beside = tf.nn.max_pool2d(_framed(tf.where(left, _OUTSIDE, maps)), 3, 1, "VALID")
        left = tf.logical_and(left, maps > beside)
    peak = tf.logical_and(tf.logical_and(left, maps > earlier), maps > float(threshold))
    return tf.where(peak, maps, 0.0)


def _framed(maps: Any) -> Any:
    return tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=_OUTSIDE)


def _highest(maps: Any, tops: Any, most: int) -> tuple[Any, Any]:
    """(B, K, most) scores, the highest first, and the flat indices of their cells; 0 for unused rows."""
    size = tf.shape(maps)
    flat = tf.reshape(tf.transpose(tops, [0, 3, 1, 2]), [size[0], maps.shape[3], size[1] * size[2]])
    # Zeros at the end fill up maps that have fewer cells than `most`.
    score, cell = tf.math.top_k(tf.pad(flat, [[0, 0], [0, 0], [0, most]]), most)
    return score, tf.where(score > 0, cell, 0)


def _positions(maps: Any, cell: Any) -> tuple[Any, Any]:
    """(B, K, P) x and y in cells: the tops of the parabolas through the logarithms of three cells in a row."""
    size = tf.shape(maps)
    height, width = size[1], size[2]
    flat = tf.reshape(tf.transpose(maps, [0, 3, 1, 2]), [size[0], maps.shape[3], height * width])
    row = cell // width
    column = cell - row * width
    return _top(flat, cell, column, width, 1), _top(flat, cell, row, height, width)


def _top(flat: Any, cell: Any, position: Any, length: Any, step: Any) -> Any:
    """Along one axis. At the map's border, the highest cell is the first or the last of the three."""
    inward = tf.minimum(tf.maximum(position, 1), length - 2) - position
    centre = cell + inward * step
    last = tf.shape(flat)[2] - 1

    def logarithm(cells: Any) -> Any:
        inside = tf.minimum(tf.maximum(cells, 0), last)
        return tf.math.log(tf.maximum(tf.gather(flat, inside, axis=2, batch_dims=2), FLOOR))

    before, middle, after = (logarithm(centre + way * step) for way in (-1, 0, 1))
    curvature = tf.minimum(before - 2 * middle + after, STRAIGHT)
    top = tf.cast(inward, tf.float32) + 0.5 * (before - after) / curvature
    # Along an axis of one or two cells no three cells are in a row: there a peak is at its cell's centre.
    reach = tf.where(length > 2, 0.5, 0.0)
    return tf.cast(position, tf.float32) + tf.minimum(tf.maximum(top, -reach), reach)


def _axes(model: bytes) -> tuple[int | None, ...]:
    graph, heatmaps = _heatmaps(schema.ModelT.InitFromPackedBuf(model, 0))
    tensor = graph.tensors[heatmaps]
    axes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return tuple(int(axis) if axis > 0 else None for axis in axes[:3])


def _heatmaps(model: Any) -> tuple[Any, int]:
    """The graph of a file, and the index of the tensor that its signature names `heatmaps`."""
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    (index,) = (each.tensorIndex for each in signature.outputs if each.name == b"heatmaps")
    return graph, index


def _joined(first: bytes, second: bytes) -> bytes:
    """Both graphs as one: the second one, with one input and one output, reads the first one's `heatmaps`."""
    model, finder = (schema.ModelT.InitFromPackedBuf(data, 0) for data in (first, second))
    (graph, heatmaps), (found,) = _heatmaps(model), finder.subgraphs
    codes, buffers, tensors = len(model.operatorCodes), len(model.buffers), len(graph.tensors)
    (image,), (peaks,) = found.inputs.tolist(), found.outputs.tolist()

    def moved(indices: Any) -> Any:
        """Tensor indices in the joined graph; -1 is a missing input."""
        return np.array([i if i < 0 else heatmaps if i == image else i + tensors for i in indices], np.int32)

    for tensor in found.tensors:
        tensor.buffer += buffers
        tensor.name = _PREFIX.encode() + tensor.name
    for operator in found.operators:
        operator.opcodeIndex += codes
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
    model.operatorCodes += finder.operatorCodes
    model.buffers += finder.buffers
    graph.tensors += found.tensors
    graph.operators += found.operators
    graph.outputs = np.append(graph.outputs, moved([peaks])).astype(np.int32)
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = PEAKS, int(graph.outputs[-1])
    model.signatureDefs[0].outputs.append(entry)
    return _packed(model)


class _Aligned(schema.BufferT):  # type: ignore[misc]
    """A buffer that is aligned in the file: the generated code doesn't do what the schema asks for."""

    def Pack(self, builder: Any) -> Any:
        values = None if self.data is None else np.ascontiguousarray(self.data, np.uint8).tobytes()
        if values:
            builder.StartVector(1, len(values), _ALIGNMENT)
            builder.head = builder.Head() - len(values)
            builder.Bytes[builder.Head() : builder.Head() + len(values)] = values
            place = builder.EndVector()
        schema.BufferStart(builder)
        if values:
            schema.BufferAddData(builder, place)
        return schema.BufferEnd(builder)


def _packed(model: Any) -> bytes:
    for buffer in model.buffers:
        buffer.__class__ = _Aligned
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
