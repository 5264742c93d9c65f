"""Rules for `dataloader.augmentation_config` of TAO's train spec: how crops are made."""

from __future__ import annotations

from typing import Any

from bpnet_cli.spec.tao_file import Rule, Rules, TaoFile, TaoValueError, fixed, number, plain, same, truth

_SECTION = "dataloader.augmentation_config"
_PARAMS = f"{_SECTION}.spatial_aug_params"

# TAO's values for keys that its file leaves out, and what TAO never changes: it has no colour augmentation.
CROPS_IN_TAO: dict[str, Any] = {
    "augmentation.crop": "person",
    "augmentation.person_height": 0.6,
    "augmentation.flip_probability": 0,
    "augmentation.rotation_deg": 0,
    "augmentation.scale": [1.0, 1.0],
    "augmentation.translation_px": 0,
    "augmentation.brightness": 0,
    "augmentation.contrast": 0,
    "augmentation.saturation": 0,
    "augmentation.hue_deg": 0,
}


def _mode(file: TaoFile, key: str, value: Any) -> None:
    if value == "person_centric":
        return file.maps(key, {"augmentation.crop": "person"})
    if value == "standard":
        return file.maps(key, {"augmentation.crop": "photo"})
    if value == "standard_with_fixed_aspect_ratio":
        return file.changes(key, {"augmentation.crop": "photo"}, "photos are letterboxed here, not stretched")
    raise TaoValueError("must be 'person_centric', 'standard' or 'standard_with_fixed_aspect_ratio'")


def _flip_tb(file: TaoFile, key: str, value: Any) -> None:
    if number(value):
        return file.changes(key, {}, "no crop is turned upside down here, except by augmentation.rotation_deg: 180")
    return file.maps(key, {}, "never here")


def _rotation(file: TaoFile, key: str, value: Any) -> None:
    high = number(file.get(f"{_PARAMS}.rotate_deg_max", 0))
    low = file.get(f"{_PARAMS}.rotate_deg_min")
    low = -high if low is None else number(low)
    ours = {"augmentation.rotation_deg": max(abs(low), abs(high))}
    if low == -high:
        return file.maps(key, ours)
    return file.changes(key, ours, f"as far in both directions here, {low:g} to {high:g} degrees there")


def _zoom(file: TaoFile, key: str, value: Any) -> None:
    probability = number(file.get(f"{_PARAMS}.zoom_prob", 0))
    low, high = (number(file.get(f"{_PARAMS}.zoom_ratio_{end}", 1)) for end in ("min", "max"))
    if not probability:
        if key.endswith("zoom_prob"):
            return file.maps(key, {"augmentation.scale": [1.0, 1.0]})
        return file.drops(key, "zoom_prob is 0")
    if not 0 < low <= high:
        raise TaoValueError("needs 0 < zoom_ratio_min <= zoom_ratio_max")
    reason = "a zoom above 1 makes people smaller there, a scale above 1 makes them larger here"
    if probability < 1:
        reason += f"; for each crop here, for {probability:.0%} of the crops there"
    return file.changes(key, {"augmentation.scale": [plain(1 / high), plain(1 / low)]}, reason)


def _translation(of_ratio: bool) -> Rule:
    """The rule for translate_ratio_* (of_ratio) or translate_*, of which TAO uses the one or the other."""
    names = ("ratio_min", "ratio_max") if of_ratio else ("min_x", "max_x", "min_y", "max_y")
    reason = "input pixels here, photo pixels there"
    if of_ratio:
        reason = "input pixels here; there a share of the image"

    def rule(file: TaoFile, key: str, value: Any) -> None:
        use_ratio = truth(file.get(f"{_PARAMS}.use_translate_ratio"))
        if use_ratio != of_ratio:
            return file.drops(key, f"use_translate_ratio is {use_ratio}")
        ends = [number(file.get(f"{_PARAMS}.translate_{name}", 0)) for name in names]
        largest = length = max(map(abs, ends))
        if of_ratio:
            sides = [number(file.get(f"dataloader.image_config.image_dims.{side}", 256)) for side in _SIDES]
            length = plain(largest * max(sides))
        pairs = zip(ends[::2], ends[1::2], strict=True)
        one_range = all(low == -high and abs(high) == largest for low, high in pairs)
        more = "" if one_range else "; as far in all directions here"
        return file.changes(key, {"augmentation.translation_px": length}, reason + more)

    return rule


_SIDES = ("height", "width")
_PIXELS, _RATIO = _translation(of_ratio=False), _translation(of_ratio=True)

CROP_RULES: Rules = {
    f"{_SECTION}.spatial_augmentation_mode": _mode,
    f"{_SECTION}.identity_spatial_aug_params": fixed(None, note="none here either", otherwise="not used here"),
    f"{_PARAMS}.flip_lr_prob": same("augmentation.flip_probability"),
    f"{_PARAMS}.flip_tb_prob": _flip_tb,
    f"{_PARAMS}.rotate_deg_min": _rotation,
    f"{_PARAMS}.rotate_deg_max": _rotation,
    f"{_PARAMS}.zoom_prob": _zoom,
    f"{_PARAMS}.zoom_ratio_min": _zoom,
    f"{_PARAMS}.zoom_ratio_max": _zoom,
    f"{_PARAMS}.translate_min_x": _PIXELS,
    f"{_PARAMS}.translate_max_x": _PIXELS,
    f"{_PARAMS}.translate_min_y": _PIXELS,
    f"{_PARAMS}.translate_max_y": _PIXELS,
    f"{_PARAMS}.use_translate_ratio": fixed(
        False, note="a length, always here", otherwise="a length here, not a share: augmentation.translation_px"
    ),
    f"{_PARAMS}.translate_ratio_min": _RATIO,
    f"{_PARAMS}.translate_ratio_max": _RATIO,
    f"{_PARAMS}.target_person_scale": same("augmentation.person_height"),
}
