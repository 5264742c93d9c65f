"""Rules for the sections `model`, `optimizer` and `loss` of TAO's train spec."""

from __future__ import annotations

from typing import Any

from bpnet_cli.spec.tao_file import (
    Rule,
    Rules,
    TaoFile,
    TaoValueError,
    dropped,
    fixed,
    number,
    only,
    plain,
    same,
    truth,
)
from bpnet_cli.spec.tao_pose import channels

# TAO's values for keys that its file leaves out.
NETWORK_IN_TAO: dict[str, Any] = {
    "model.backbone": "vgg19_strided",
    "model.stages": 6,
    "model.initializer": "random_normal",
    "optimizer.name": "sgd",
}


def _model(file: TaoFile, key: str, value: Any) -> None:
    branches = {"BpNetLiteModel": "shared", "BpNetModel": "separate"}
    if value not in [*branches]:
        raise TaoValueError("must be 'BpNetLiteModel' or 'BpNetModel'")
    file.maps(key, {"model.branches": branches[value]})


def _architecture(file: TaoFile, key: str, value: Any) -> None:
    if value != "vgg":
        raise TaoValueError("only TAO's 'vgg' exists here; write a spec with another model.backbone instead")
    file.maps(key, {"model.backbone": "vgg19_strided"})


def _layers(file: TaoFile, key: str, value: Any) -> None:
    if value != 19:
        raise TaoValueError("must be 19, the only VGG that TAO's bpnet has")
    file.maps(key, {}, "vgg19_strided")


def _channels(which: int) -> Rule:
    def rule(file: TaoFile, key: str, value: Any) -> None:
        skeleton = file.result.document.data["skeleton"]
        right = channels(skeleton)[which]
        if value != right:
            name = skeleton if isinstance(skeleton, str) else skeleton["name"]
            raise TaoValueError(f"must be {right} for the skeleton {name}")
        file.maps(key, {}, "follows from the skeleton here")

    return rule


def _kernels(ours: str) -> Rule:
    def rule(file: TaoFile, key: str, value: Any) -> None:
        if file.get("model.__class_name__") == "BpNetModel":
            return file.drops(key, "only BpNetLiteModel has it")
        return file.maps(key, {ours: value})

    return rule


def _regularization(file: TaoFile, key: str, value: Any) -> None:
    kinds = {"l1": ("l1",), "l2": ("l2",), "l1_l2": ("l1", "l2")}
    kind = file.get("model.regularization_type", "l1")
    if kind not in [*kinds]:
        raise TaoValueError("regularization_type must be 'l1', 'l2' or 'l1_l2'")
    factor = file.get("model.kernel_regularization_factor", 0)
    file.maps(key, {f"loss.{name}": factor for name in kinds[kind]})


def _initializer(file: TaoFile, key: str, value: Any) -> None:
    if value == "random_normal":
        return file.maps(key, {"model.initializer": "random_normal"})
    if value != "xavier":
        raise TaoValueError("must be 'random_normal' or 'xavier'")
    return file.changes(key, {"model.initializer": "he_normal"}, "the nearest here; also random_normal, sigma 0.01")


def _learning_rate_multipliers(file: TaoFile, key: str, value: Any) -> None:
    file.maps(key, {"optimizer.layer_multipliers": "bodyposenet" if truth(value) else "none"})


_RATE = "optimizer.learning_rate_schedule"


def _schedule(file: TaoFile, key: str, value: Any) -> None:
    if isinstance(value, str) and value.startswith("SoftstartAnnealing"):
        return file.maps(key, {"optimizer.schedule.name": "soft_start_annealing"})
    if value != "BpNetExponentialDecayLRSchedule":
        raise TaoValueError("must be 'SoftstartAnnealingLearningRateSchedule' or 'BpNetExponentialDecayLRSchedule'")
    boundaries = _boundaries(file)
    reason = "falls in steps here" + ("" if file.get(f"{_RATE}.staircase") else ", continuously there")
    if not boundaries:
        return file.changes(key, {"optimizer.schedule.name": "constant"}, "no step falls into the run")
    ours = {"optimizer.schedule.name": "step", "optimizer.schedule.boundaries": boundaries}
    return file.changes(key, ours, f"{reason}; as shares of the run")


def _boundaries(file: TaoFile) -> list[float]:
    """Shares of the run at which the rate falls: every `decay_epochs`, as long as it stays above the minimum."""
    epochs, every = number(file.get("num_epoch", 100)), number(_rate_value(file, "decay_epochs", 1))
    base, factor = number(_rate_value(file, "learning_rate", 1)), number(_rate_value(file, "decay_rate", 0.1))
    lowest = number(_rate_value(file, "min_learning_rate", 0))
    if every <= 0 or not 0 < factor < 1:
        raise TaoValueError("needs decay_epochs above 0 and a decay rate between 0 and 1")
    count = int(epochs / every - 1e-9)
    # A margin, because the minimum is often a rounded power of the factor.
    return [plain(k * every / epochs) for k in range(1, count + 1) if base * factor**k >= lowest * (1 - 1e-4)]


# Both spellings of the schedules' keys.
_SPELLINGS = {
    "learning_rate": ("learning_rate", "base_learning_rate", "lr", "base"),
    "min_learning_rate": ("min_learning_rate", "min"),
    "decay_rate": ("decay_rate", "rate"),
    "decay_epochs": ("decay_epochs",),
}


def _rate_value(file: TaoFile, name: str, default: float) -> Any:
    given = (file.get(f"{_RATE}.{spelling}") for spelling in _SPELLINGS[name])
    return next((value for value in given if value is not None), default)


def _decays(file: TaoFile) -> bool:
    return bool(file.get(f"{_RATE}.__class_name__") == "BpNetExponentialDecayLRSchedule")


def _minimum(file: TaoFile, key: str, value: Any) -> None:
    if _decays(file):
        return file.changes(key, {}, "no step goes below it; the boundaries end there")
    return file.maps(key, {"optimizer.schedule.min_learning_rate": value})


def _decay_rate(file: TaoFile, key: str, value: Any) -> None:
    if _boundaries(file):
        return file.maps(key, {"optimizer.schedule.factor": value})
    return file.changes(key, {}, "no step falls into the run")


def _decay_epochs(file: TaoFile, key: str, value: Any) -> None:
    file.changes(key, {}, "k * decay_epochs / num_epoch are the boundaries here")


def _focal(name: str, factor: float = 1) -> Rule:
    def rule(file: TaoFile, key: str, value: Any) -> None:
        if not truth(file.get("loss.focal_loss_params.use_focal_loss")):
            return file.drops(key, "use_focal_loss is False")
        if factor == 1:
            return file.maps(key, {f"loss.focal.{name}": value})
        reason = "the factor scales squared errors here, errors before they are squared there"
        return file.changes(key, {f"loss.focal.{name}": factor * number(value)}, reason)

    return rule


def _use_focal(file: TaoFile, key: str, value: Any) -> None:
    if not truth(value):
        return file.maps(key, {"loss.focal": None})
    return file.maps(key, {} if file.result.has("loss.focal") else {"loss.focal": {}}, "section loss.focal")


NETWORK_RULES: Rules = {
    "model.__class_name__": _model,
    "model.backbone_attributes.architecture": _architecture,
    "model.backbone_attributes.mtype": only("default"),
    "model.backbone_attributes.use_bias": fixed(
        False, note="none here either", otherwise="batch norm follows each convolution, which makes a bias useless"
    ),
    "model.backbone_attributes.nlayers": _layers,
    "model.backbone_attributes.use_batch_norm": fixed(
        True, note="always here", otherwise="vgg19_strided always has batch norm"
    ),
    "model.backbone_attributes.add_final_c128_conv": dropped("the convolution is always there"),
    "model.stages": same("model.stages"),
    "model.heat_channels": _channels(0),
    "model.paf_channels": _channels(1),
    "model.stage1_kernel_sizes": _kernels("model.initial_stage.kernel_sizes"),
    "model.stageT_kernel_sizes": _kernels("model.refinement_stage.kernel_sizes"),
    "model.use_self_attention": fixed(False, note="none here either", otherwise="there is no self-attention here"),
    "model.data_format": fixed("channels_last", note="always here", otherwise="channels are always last here"),
    "model.use_bias": fixed(True, note="always here", otherwise="the stages' convolutions always have a bias here"),
    "model.regularization_type": _regularization,
    "model.kernel_regularization_factor": _regularization,
    "model.bias_regularization_factor": fixed(0, note="never here", otherwise="biases are never regularised here"),
    "model.kernel_initializer": _initializer,
    "use_stagewise_lr_multipliers": _learning_rate_multipliers,
    "optimizer.__class_name__": only(
        "WeightedMomentumOptimizer", then=lambda file, key, value: file.maps(key, {"optimizer.name": "sgd"})
    ),
    "optimizer.momentum": same("optimizer.momentum"),
    "optimizer.use_nesterov": same("optimizer.nesterov"),
    "optimizer.grad_weights_dict": fixed(
        None, {}, note="optimizer.layer_multipliers", otherwise="optimizer.layer_multipliers has fixed factors here"
    ),
    "optimizer.weight_default_value": fixed(
        1, note="always here", otherwise="optimizer.layer_multipliers has fixed factors here"
    ),
    f"{_RATE}.__class_name__": _schedule,
    f"{_RATE}.soft_start": same("optimizer.schedule.soft_start"),
    f"{_RATE}.annealing": same("optimizer.schedule.annealing"),
    **{f"{_RATE}.{name}": same("optimizer.learning_rate") for name in _SPELLINGS["learning_rate"]},
    **{f"{_RATE}.{name}": _minimum for name in _SPELLINGS["min_learning_rate"]},
    **{f"{_RATE}.{name}": _decay_rate for name in _SPELLINGS["decay_rate"]},
    f"{_RATE}.decay_epochs": _decay_epochs,
    f"{_RATE}.staircase": fixed(True, note="falls in steps here", otherwise="falls in steps here"),
    f"{_RATE}.last_step": dropped("TAO overwrites it with the length of the run"),
    "loss.__class_name__": only("BpNetLoss"),
    "loss.focal_loss_params.use_focal_loss": _use_focal,
    "loss.focal_loss_params.alpha": _focal("alpha"),
    "loss.focal_loss_params.beta": _focal("beta"),
    "loss.focal_loss_params.bkg_thresh": _focal("threshold"),
    "loss.focal_loss_params.gamma": _focal("gamma", 2),
}
