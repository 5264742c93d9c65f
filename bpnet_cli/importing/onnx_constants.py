"""ONNX operators that are computed while a file is read, if all their inputs are constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Attributes = Mapping[str, Any]
Inputs = Sequence[NDArray[Any] | None]


def _constant(attributes: Attributes, inputs: Inputs) -> NDArray[Any] | None:
    from onnx import numpy_helper

    for name, value in attributes.items():
        if name == "value":
            return np.asarray(numpy_helper.to_array(value))
        if name in ("value_float", "value_int", "value_floats", "value_ints"):
            return np.asarray(value)
    return None


def _dequantised(attributes: Attributes, inputs: Inputs) -> NDArray[Any] | None:
    """scale * (value - zero point), with a scale for each position along one axis, or with one scale for all values."""
    values, scale, zero = (*inputs, None)[:3]
    if values is None or scale is None:
        return None
    axis = int(attributes.get("axis", 1))
    shape = [-1 if place == axis % max(values.ndim, 1) else 1 for place in range(values.ndim)] if scale.ndim else []
    offset = np.zeros(scale.shape, np.float32) if zero is None else zero.astype(np.float32)
    result = (values.astype(np.float32) - offset.reshape(shape)) * scale.astype(np.float32).reshape(shape)
    return np.asarray(result, np.float32)


def _reshape(attributes: Attributes, inputs: Inputs) -> NDArray[Any] | None:
    array, target = inputs
    if array is None or target is None:
        return None
    sizes = [array.shape[place] if size == 0 else size for place, size in enumerate(target.astype(int).tolist())]
    return array.reshape(sizes)


def _squeeze(attributes: Attributes, inputs: Inputs) -> NDArray[Any] | None:
    axes = _axes(attributes, inputs)
    return None if inputs[0] is None else np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(attributes: Attributes, inputs: Inputs) -> NDArray[Any] | None:
    axes = _axes(attributes, inputs)
    return None if inputs[0] is None or axes is None else np.expand_dims(inputs[0], tuple(axes))


def _axes(attributes: Attributes, inputs: Inputs) -> Sequence[int] | None:
    """The axes: until opset 12 they are an attribute, from opset 13 on an input."""
    given = inputs[1] if len(inputs) > 1 else None
    axes: Sequence[int] | None = attributes.get("axes") if given is None else given.astype(int).tolist()
    return axes


# By operator: (the node's attributes, its inputs) -> its value; None if it can't be computed.
FOLDED: Mapping[str, Callable[[Attributes, Inputs], NDArray[Any] | None]] = {
    "Constant": _constant,
    "DequantizeLinear": _dequantised,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
