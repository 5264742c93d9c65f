"""Rules for TAO's train spec: the trainer's own keys and the section `dataloader`."""

from __future__ import annotations

from typing import Any

from bpnet_cli.spec.tao_crops import CROP_RULES, CROPS_IN_TAO
from bpnet_cli.spec.tao_data import joined
from bpnet_cli.spec.tao_file import (
    Rule,
    Rules,
    TaoFile,
    TaoValueError,
    changed,
    dropped,
    fixed,
    number,
    numbers,
    only,
    plain,
    same,
    truth,
)
from bpnet_cli.spec.tao_network import NETWORK_IN_TAO, NETWORK_RULES
from bpnet_cli.strides import STRIDE

# Pretrained files that the spec's own model.pretrained takes.
_READABLE = (".keras", ".npz")


def _pretrained(file: TaoFile, key: str, value: Any) -> None:
    if not value:
        return file.maps(key, {"model.pretrained": "none"})
    if not isinstance(value, str):
        raise TaoValueError("must be a path")
    if value.endswith(_READABLE):
        return file.maps(key, {"model.pretrained": value})
    first = "" if value.endswith(".onnx") else "TAO's own files can't be read; export it with TAO to .onnx, then "
    return file.changes(key, {}, f"{first}`bpnet import FILE.onnx -o start.keras`, model.pretrained: start.keras")


def _load_graph(file: TaoFile, key: str, value: Any) -> None:
    if not truth(value):
        return file.maps(key, {"model.graph": "spec"})
    if str(file.get("pretrained_weights")).endswith(".keras"):
        return file.changes(
            key, {"model.graph": "file"}, "regularisation and layer-wise rates stay; TAO loses them then"
        )
    return file.changes(key, {}, "model.graph: file, as soon as model.pretrained is a .keras file")


def _finetuning(file: TaoFile, key: str, value: Any) -> None:
    if not truth(file.get("finetuning_config.is_finetune_exp")):
        if key.endswith("is_finetune_exp"):
            return file.maps(key, {}, "off here too")
        return file.drops(key, "is_finetune_exp is False")
    return file.changes(key, {}, "TAO's .ckzip can't be read; set model.pretrained to an imported network")


def _target_shape(file: TaoFile, key: str, value: Any) -> None:
    dims = [number(file.get(f"dataloader.image_config.image_dims.{side}", 0)) for side in ("height", "width")]
    if [STRIDE * cells for cells in numbers(value, 2)] != dims:
        want = [int(side) // STRIDE for side in dims]
        raise TaoValueError(f"must be {want}, image_dims by {STRIDE}: other strides don't exist here")
    file.maps(key, {}, f"the stride is always {STRIDE} here")


def _same_numbers(right: float, count: int, note: str, otherwise: str) -> Rule:
    """A rule: a list of `count` times the number `right` is always so here."""

    def rule(file: TaoFile, key: str, value: Any) -> None:
        if numbers(value, count) == [right] * count:
            return file.maps(key, {}, note)
        return file.changes(key, {}, otherwise)

    return rule


def _root(file: TaoFile, key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise TaoValueError("must be a path")
    if folder := file.result.train_images:
        return file.maps(key, {"dataset.train.images": joined(value, folder)})
    return file.maps(key, {}, "the beginning of the photos' paths")


def _one_kind(file: TaoFile, key: str, value: Any) -> None:
    file.maps(key, {}, "the section has one kind here")


def _half_width(file: TaoFile, key: str, value: Any) -> None:
    file.maps(key, {"targets.paf_half_width_px": plain(STRIDE * number(value))}, f"cells of {STRIDE} pixels there")


_LOADER = "dataloader"
_DATA = f"{_LOADER}.dataset_config"
_NORMAL = f"{_LOADER}.normalization_params"
_NORMALISED = "always (pixel - 128) / 256 here"
_NO_RECORDS = "the photos and labels of the dataset spec are read directly; `bpnet dataset_convert` makes other records"
_NEVER_READ = "TAO doesn't validate while it trains"
_CLASSES = (
    f"{_LOADER}",
    f"{_LOADER}.pose_config",
    f"{_LOADER}.image_config",
    _DATA,
    _NORMAL,
    f"{_LOADER}.augmentation_config",
    f"{_LOADER}.label_processor_config",
    "model.backbone_attributes",
)

# TAO's values for keys that its file leaves out.
IN_TAO: dict[str, Any] = {**CROPS_IN_TAO, **NETWORK_IN_TAO}

TRAIN_RULES: Rules = {
    "__class_name__": only("BpNetTrainer"),
    "checkpoint_dir": changed("give it to the command: bpnet train -r DIR"),
    "log_every_n_secs": changed("progress is shown all the time; there is no key"),
    "checkpoint_n_epoch": changed("a checkpoint after each epoch here; training.checkpoint_minutes adds more"),
    "num_epoch": same("training.epochs"),
    "summary_every_n_steps": changed("TensorBoard and history.csv get a value each epoch here"),
    "infrequent_summary_every_n_steps": dropped("TAO passes 0, whatever is set"),
    "validation_every_n_epoch": lambda file, key, value: file.changes(
        key, {"training.validate_every_epochs": value}, "TAO ignores it; here AP is measured so often"
    ),
    "max_ckpt_to_keep": dropped("TAO keeps all; training.keep_checkpoints here"),
    "random_seed": same("training.seed"),
    "pretrained_weights": _pretrained,
    "load_graph": _load_graph,
    "finetuning_config.is_finetune_exp": _finetuning,
    "finetuning_config.checkpoint_path": _finetuning,
    "finetuning_config.ckpt_epoch_num": _finetuning,
    "inference_spec": lambda file, key, value: file.maps(key, {}, "section inference"),
    "key": changed("files are not encrypted here"),
    "evaluator": fixed(None, note="none here either", otherwise="`bpnet evaluate` is a command of its own"),
    "final_model_name": changed("the model is called model.keras, in the folder of train -r"),
    **{f"{section}.__class_name__": _one_kind for section in _CLASSES},
    f"{_LOADER}.batch_size": lambda file, key, value: file.changes(
        key, {"training.batch_size": value}, "for all devices together here, for each GPU there"
    ),
    f"{_LOADER}.pose_config.target_shape": _target_shape,
    f"{_LOADER}.pose_config.pose_config_path": lambda file, key, value: file.maps(key, {}, "skeleton"),
    f"{_LOADER}.image_config.image_dims.height": same("model.input_height"),
    f"{_LOADER}.image_config.image_dims.width": same("model.input_width"),
    f"{_LOADER}.image_config.image_dims.channels": only(3),
    f"{_LOADER}.image_config.image_encoding": changed("photos are recognised by their content here"),
    f"{_DATA}.root_data_path": _root,
    f"{_DATA}.train_records_folder_path": changed(_NO_RECORDS),
    f"{_DATA}.train_records_path": changed(_NO_RECORDS),
    f"{_DATA}.val_records_folder_path": dropped(_NEVER_READ),
    f"{_DATA}.val_records_path": dropped(_NEVER_READ),
    f"{_DATA}.dataset_specs": lambda file, key, value: file.maps(key, {}, "section dataset"),
    f"{_NORMAL}.image_scale": _same_numbers(256, 3, _NORMALISED, _NORMALISED),
    f"{_NORMAL}.image_offset": _same_numbers(0.5, 3, _NORMALISED, _NORMALISED),
    f"{_NORMAL}.mask_scale": _same_numbers(255, 1, "masks are 0 or 1 here", "masks are 0 or 1 here"),
    f"{_NORMAL}.mask_offset": _same_numbers(0, 1, "masks are 0 or 1 here", "masks are 0 or 1 here"),
    f"{_LOADER}.label_processor_config.heatmap_gaussian_sigma": same("targets.heatmap_sigma_px"),
    f"{_LOADER}.label_processor_config.paf_gaussian_sigma": dropped("TAO never uses it"),
    f"{_LOADER}.label_processor_config.paf_ortho_dist_thresh": _half_width,
    f"{_LOADER}.shuffle_buffer_size": changed("all crops of an epoch are shuffled here"),
    **CROP_RULES,
    **NETWORK_RULES,
}
