"""Rules for TAO's inference spec (`infer_spec.yaml`)."""

from __future__ import annotations

from typing import Any

from bpnet_cli.spec.tao_file import Rules, TaoFile, TaoValueError, changed, dropped, number, numbers, truth

# TAO's values for keys that its file leaves out.
INFERENCE_IN_TAO: dict[str, Any] = {"inference.input_height": 256, "inference.scales": [1.0]}


def _shape(file: TaoFile, key: str, value: Any) -> None:
    shape = file.get("input_shape", [256, 256])
    height, width = numbers(shape, 2)
    mode = file.get("keep_aspect_ratio_mode", "adjust_network_input")
    if mode == "pad_image_input":
        return file.maps(key, {"inference.input_height": height, "inference.input_width": width})
    if mode == "adjust_network_input":
        ours = {"inference.input_height": height, "inference.input_width": None}
        reason = "the width follows from each photo; for photos narrower than input_shape, TAO fits the width instead"
        return file.changes(key, ours, reason)
    if mode is None:
        ours = {"inference.input_height": height, "inference.input_width": width}
        return file.changes(key, ours, "photos are letterboxed here, not stretched")
    raise TaoValueError("keep_aspect_ratio_mode must be 'adjust_network_input', 'pad_image_input' or null")


def _scales(file: TaoFile, key: str, value: Any) -> None:
    multiple = truth(file.get("multi_scale_inference"))
    if not multiple and key == "scales":
        return file.drops(key, "multi_scale_inference is False")
    scales = file.get("scales", [1.0])
    if not isinstance(scales, list) or not scales:
        raise TaoValueError("scales must be a list of numbers")
    # Both average the maps on one grid: TAO on that of the largest scale, this product on that of the first.
    ordered = sorted((number(scale) for scale in scales), reverse=True) if multiple else [1.0]
    return file.maps(key, {"inference.scales": ordered}, "the largest first, whose grid counts" if multiple else "")


def _stage(file: TaoFile, key: str, value: Any) -> None:
    if value is None:
        return file.maps(key, {}, "the last one, always here")
    return file.changes(key, {}, "the last stage counts here")


def _model(file: TaoFile, key: str, value: Any) -> None:
    file.changes(key, {}, "give the model to the command: -m MODEL")


INFERENCE_RULES: Rules = {
    "model_path": _model,
    "train_spec": changed("a model file has its spec inside here"),
    "input_shape": _shape,
    "keep_aspect_ratio_mode": _shape,
    "output_stage_to_use": _stage,
    "output_upsampling_factor": changed("maps are not enlarged here; peaks are found between the cells"),
    "heatmap_threshold": dropped("TAO always takes 0.1; here inference.decode.peak_threshold"),
    "paf_threshold": dropped("TAO always takes 0.05; here inference.decode.limb_threshold"),
    "multi_scale_inference": _scales,
    "scales": _scales,
}
