"""Finds peaks inside an exported file: `pose.peaks.find_peaks` in ONNX operators, with exactly the same rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from bpnet_cli.errors import BpnetError
from bpnet_cli.export.plain import rename_tensors
from bpnet_cli.inference.onnx_layout import PEAKS
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.peaks import FLOOR, PLATEAU_STEPS, STRAIGHT, Peaks, find_peaks, read_peaks

# Prefix of the names of inner nodes and tensors.
_PREFIX = "peaks/"
# Largest allowed differences from `find_peaks`: of positions in network-input pixels, and of scores.
_PIXELS, _SCORES = 0.05, 1e-4
_SEED = 0

# OpenCV 4 takes a constant for Pad only if no other kind of node reads it: hence `framing` and `filler`.
_FIND = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
find (float[batch, rows, columns, {channels}] heatmaps) => (float[batch, {keypoints}, {most}, 3] peaks)
<
  float nought = {{0}}, float half = {{0.5}}, float two = {{2}}, float largest = {{3.4028235e38}},
  float threshold = {{{threshold}}}, float floor = {{{floor}}}, float straight = {{{straight}}},
  float stride = {{{stride}}}, float offset = {{{offset}}}, float outside = {{-1}},
  float framing = {{-1}}, float filler = {{0}},
  int64[1] int_0 = {{0}}, int64[1] int_1 = {{1}}, int64[1] int_2 = {{2}}, int64[1] int_3 = {{3}},
  int64[1] int_4 = {{4}}, int64[1] all = {{9223372036854775807}},
  int64[1] one_less = {{-1}}, int64[1] two_less = {{-2}}, int64[1] most = {{{most}}},
  int64[6] parts = {{{most}, {most}, {most}, {most}, {most}, {most}}},
  int64[8] frame = {{0, 0, 1, 1, 0, 0, 1, 1}}, int64[6] fill = {{0, 0, 0, 0, 0, {most}}}, int64[3] flat = {{0, 0, -1}}
>
{{
  # The background has no peaks; values that are not finite count as 0.
  answers = Slice (heatmaps, int_0, one_less, int_3)
  heights = Transpose <perm = [0, 3, 1, 2]> (answers)
  sizes = Abs (heights)
  finite = LessOrEqual (sizes, largest)
  maps = Where (finite, heights, nought)
  # A peak has no higher neighbour, and no equally high one before it in reading order: a plateau has one peak or none.
  framed = Pad (maps, frame, framing)
  threes = MaxPool <kernel_shape = [1, 3]> (framed)
  above = Slice (threes, int_0, two_less, int_2)
  below = Slice (threes, int_2, all, int_2)
  middle = Slice (framed, int_1, one_less, int_2)
  left = Slice (middle, int_0, two_less, int_3)
  right = Slice (middle, int_2, all, int_3)
  earlier = Max (above, left)
  later = Max (below, right)
  is_above = Greater (maps, threshold)
  is_first = Greater (maps, earlier)
  around = Max (earlier, later)
  not_lower = GreaterOrEqual (maps, around)
  left_0 = Where (not_lower, maps, outside)
  is_left_0 = GreaterOrEqual (left_0, maps)
  {leaning}
  # Take the highest peaks. Zeros at the end fill up maps that have fewer cells than the number of peaks.
  left_tops = Where (is_left_{steps}, maps, nought)
  first_tops = Where (is_first, left_tops, nought)
  tops = Where (is_above, first_tops, nought)
  flat_tops = Reshape (tops, flat)
  enough_tops = Pad (flat_tops, fill, filler)
  score, cell = TopK <axis = 2> (enough_tops, most)
  # Cells of the peaks, and for each peak three cells along x and along y, which give its exact position.
  shape = Shape (maps)
  height = Slice (shape, int_2, int_3)
  width = Slice (shape, int_3, int_4)
  # OpenCV 4 divides integers like floats, so the quotient is rounded down here.
  cell_number = Cast <to = 1> (cell)
  cells_of_row = Cast <to = 1> (width)
  rows_before = Div (cell_number, cells_of_row)
  whole_rows = Floor (rows_before)
  row = Cast <to = 7> (whole_rows)
  row_start = Mul (row, width)
  column = Sub (cell, row_start)
  {neighbours_x}
  {neighbours_y}
  cells = Concat <axis = 2> (x_before, x_centre, x_after, y_before, y_centre, y_after)
  count = Mul (height, width)
  last_cell = Sub (count, int_1)
  cells_from = Max (cells, int_0)
  cells_inside = Min (cells_from, last_cell)
  flat_maps = Reshape (maps, flat)
  values = GatherElements <axis = 2> (flat_maps, cells_inside)
  positive = Max (values, floor)
  logarithms = Log (positive)
  x_log_0, x_log_1, x_log_2, y_log_0, y_log_1, y_log_2 = Split <axis = 2> (logarithms, parts)
  {top_x}
  {top_y}
  x = Unsqueeze (x_pixel, int_3)
  y = Unsqueeze (y_pixel, int_3)
  z = Unsqueeze (score, int_3)
  found = Greater (z, nought)
  rows = Concat <axis = 3> (x, y, z)
  peaks = Where (found, rows, nought)
}}
"""
# (OpenCV 4 has no And: the cells that are left keep their height.)
# A cell is no peak if a neighbour of the same height is no peak, because that neighbour has a higher neighbour itself.
_LEANING = """
  rest_{after} = Where (is_left_{before}, outside, maps)
  framed_{after} = Pad (rest_{after}, frame, framing)
  beside_{after} = MaxPool <kernel_shape = [3, 3]> (framed_{after})
  is_higher_{after} = Greater (maps, beside_{after})
  left_{after} = Where (is_higher_{after}, left_{before}, outside)
  is_left_{after} = GreaterOrEqual (left_{after}, maps)
"""
# Three cells for each peak. The middle one is the peak's cell, or at the map's border its neighbour on the inner side.
_NEIGHBOURS = """
  {axis}_end = Sub ({size}, int_2)
  {axis}_from = Max ({position}, int_1)
  {axis}_middle = Min ({axis}_from, {axis}_end)
  {axis}_inward = Sub ({axis}_middle, {position})
  {times}
  {axis}_centre = Add (cell, {way})
  {axis}_before = Sub ({axis}_centre, {step})
  {axis}_after = Add ({axis}_centre, {step})
"""
# The top of the parabola through the three logarithms, at most half a cell from the peak's cell. If the map has only
# one or two cells along the axis, the peak stays at the centre of its cell.
_TOP = """
  {axis}_slope = Sub ({axis}_log_0, {axis}_log_2)
  {axis}_half_slope = Mul ({axis}_slope, half)
  {axis}_twice = Mul ({axis}_log_1, two)
  {axis}_fall = Sub ({axis}_log_0, {axis}_twice)
  {axis}_bend = Add ({axis}_fall, {axis}_log_2)
  {axis}_curvature = Min ({axis}_bend, straight)
  {axis}_shift = Div ({axis}_half_slope, {axis}_curvature)
  {axis}_start = Cast <to = 1> ({axis}_inward)
  {axis}_top = Add ({axis}_start, {axis}_shift)
  {axis}_wide = Greater ({size}, int_2)
  {axis}_reach = Where ({axis}_wide, half, nought)
  {axis}_back = Neg ({axis}_reach)
  {axis}_not_over = Min ({axis}_top, {axis}_reach)
  {axis}_near = Max ({axis}_not_over, {axis}_back)
  {axis}_whole = Cast <to = 1> ({position})
  {axis}_cell = Add ({axis}_whole, {axis}_near)
  {axis}_scaled = Mul ({axis}_cell, stride)
  {axis}_pixel = Add ({axis}_scaled, offset)
"""
_AXES = {
    "x": {"axis": "x", "position": "column", "size": "width", "step": "int_1", "way": "x_inward", "times": ""},
    "y": {
        "axis": "y",
        "position": "row",
        "size": "height",
        "step": "width",
        "way": "y_way",
        "times": "y_way = Mul (y_inward, width)",
    },
}


def add_peaks(model: Any, metadata: ModelMetadata, options: DecodeOptions) -> None:
    """Add the output `peaks` to an exported model, in place; see `finder_of` for its form.

    This is the last step of an export, so that the peaks are found in float32 also in a file of lower precision.
    Raises BpnetError if ONNX Runtime finds other peaks than `find_peaks`.
    """
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    keypoints = len(metadata.skeleton.keypoints)
    finder = finder_of(keypoints, metadata.stride, options, opset, model.ir_version)
    check_finder(finder, metadata.stride, options)
    _append(model, finder)


def finder_of(keypoints: int, stride: int, options: DecodeOptions, opset: int, ir_version: int) -> Any:
    """An ONNX model with the input `heatmaps` and the output `peaks`. opset, ir_version: of ONNX.

    heatmaps: float32 [batch, rows, columns, keypoints + 1]; the background is the last channel.
    peaks: float32 [batch, keypoints, options.max_peaks, 3]: x and y in network-input pixels, and the score. The peaks
    of each keypoint are sorted, the highest first; unused rows are 0.
    """
    from onnx import checker, parser

    text = _FIND.format(
        ir_version=ir_version,
        opset=opset,
        channels=keypoints + 1,
        keypoints=keypoints,
        most=options.max_peaks,
        threshold=float(options.peak_threshold),
        floor=float(FLOOR),
        straight=float(STRAIGHT),
        stride=stride,
        offset=cell_to_pixel(0.0, stride),
        steps=PLATEAU_STEPS,
        leaning="".join(_LEANING.format(before=step, after=step + 1) for step in range(PLATEAU_STEPS)),
        **{f"neighbours_{axis}": _NEIGHBOURS.format(**names) for axis, names in _AXES.items()},
        **{f"top_{axis}": _TOP.format(**names) for axis, names in _AXES.items()},
    )
    finder = parser.parse_model(text)
    checker.check_model(finder)
    return finder


def check_finder(finder: Any, stride: int, options: DecodeOptions) -> None:
    """Compare ONNX Runtime's peaks with those of `find_peaks`, on seeded maps of two sizes.

    Raises BpnetError if they differ.
    """
    import onnxruntime as ort

    quiet = ort.SessionOptions()
    quiet.log_severity_level = 3
    session = ort.InferenceSession(finder.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    channels = session.get_inputs()[0].shape[3]
    rng = np.random.default_rng(_SEED)
    for shape in ((2, 23, 31, channels), (1, 2, 9, channels)):
        heatmaps = rng.random(shape, np.float32)
        for one, got in zip(heatmaps, session.run([PEAKS], {"heatmaps": heatmaps})[0], strict=True):
            wanted = find_peaks(one, options.peak_threshold, options.max_peaks)
            found = read_peaks(got, stride, options.peak_threshold, options.max_peaks)
            if not _alike(found, wanted, stride):
                raise BpnetError(
                    "nothing written: ONNX Runtime and bpnet find different peaks;"
                    " try another export.opset, or leave out export.with_peaks"
                )


def _alike(one: Peaks, other: Peaks, stride: int) -> bool:
    return (
        np.array_equal(one.counts, other.counts)
        and np.allclose(one.points, other.points, rtol=0, atol=_PIXELS / stride)
        and np.allclose(one.score, other.score, rtol=0, atol=_SCORES)
    )


def _append(model: Any, finder: Any) -> None:
    """Append a finder to a model's output `heatmaps`, in place. The finder is changed too; don't use it afterwards."""
    from onnx import checker

    ends = {"heatmaps", PEAKS}
    names = {name for node in finder.graph.node for name in (*node.input, *node.output)} - ends
    rename_tensors(finder.graph, {name: _PREFIX + name for name in names})
    for node in finder.graph.node:
        node.name = _PREFIX + node.output[0].removeprefix(_PREFIX)
    (heatmaps,) = (value for value in model.graph.output if value.name == "heatmaps")
    (peaks,) = finder.graph.output
    peaks.type.tensor_type.shape.dim[0].CopyFrom(heatmaps.type.tensor_type.shape.dim[0])
    model.graph.node.extend(finder.graph.node)
    model.graph.initializer.extend(finder.graph.initializer)
    model.graph.output.append(peaks)
    checker.check_model(model)
