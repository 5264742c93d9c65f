"""FP16: weights and arithmetic in half precision; the inputs and outputs keep their types."""

from __future__ import annotations

import warnings
from typing import Any


def to_half(model: Any) -> Any:
    """An FP16 copy of a float32 ONNX model, with the same inputs and outputs.

    The normalisation is in half precision too: pixels and normalised values are exact there, or differ by 0.0005 at
    most.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with warnings.catch_warnings():
        # The warnings say that weights below float16's smallest number become that number. They can be ignored, because
        # the maps are compared afterwards.
        warnings.simplefilter("ignore")
        converted = convert_float_to_float16(copy, keep_io_types=True)
    OnnxModel(converted).topological_sort()
    del converted.graph.value_info[:]
    onnx.checker.check_model(converted)
    return converted
