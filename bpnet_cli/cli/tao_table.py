"""The table of TAO's flags: what each does on our verbs.

A flag sets a parameter of the verb or a key of the spec, or it is ignored, for a reason. Flags whose effect would be
another one than in TAO are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from bpnet_cli.cli.tao_files import dataset_of, listed_photos, settings_of

if TYPE_CHECKING:
    from bpnet_cli.spec.overrides import FlagAssignment


@dataclass
class Call:
    """A call of a verb with flags of TAO's.

    parameters: of the verb, by name. given: values of TAO's flags, by the last of each flag's names. assignments:
    changes to the spec, in the format of `--set`. ignored: flags without effect, by the reason.
    """

    parameters: dict[str, Any]
    given: dict[str, Any]
    assignments: list[FlagAssignment] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)

    def assign(self, key: str, value: Any, typed: str) -> None:
        """Set a key of the spec."""
        from bpnet_cli.spec.overrides import FlagAssignment

        self.assignments.append(FlagAssignment(f"{key}={json.dumps(value)}", typed))

    def offer(self, parameter: str, value: Any) -> None:
        """Set a parameter of the verb that the user left out."""
        if not self.parameters.get(parameter):
            self.parameters[parameter] = value

    def ignore(self, flag: str, reason: str) -> None:
        """Say why a flag has no effect."""
        self.ignored.setdefault(reason, []).append(flag)


Apply = Callable[[Call, Any], None]


@dataclass(frozen=True)
class Flag:
    """A flag of TAO's: its names, what it does, and how click reads it."""

    names: tuple[str, ...]
    apply: Apply
    settings: dict[str, Any]

    @property
    def parameter(self) -> str:
        """The name under which click gives the value."""
        return "tao_" + self.names[-1].lstrip("-")


def _flag(*names: str, apply: Apply, **settings: Any) -> Flag:
    return Flag(names, apply, settings)


def _ignored(*names: str, why: str, **settings: Any) -> Flag:
    return Flag(names, lambda call, value: call.ignore(names[-1], why), settings)


def _silent(*names: str, **settings: Any) -> Flag:
    """A flag whose allowed values say what is always so here."""
    return Flag(names, lambda call, value: None, settings)


def _sets(*names: str, key: str, **settings: Any) -> Flag:
    """A flag with the value of a key of the spec."""
    return Flag(names, lambda call, value: call.assign(key, value, f"{names[-1]} {value}"), settings)


def _gpus_of_train(call: Call, count: int) -> None:
    if count < 2:
        return
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    call.assign("training.distribution", "devices", f"--gpus {count}")
    text = "--gpus: the GPUs share each batch of training.batch_size; in TAO, each has a batch of its own"
    click.echo(text, err=True)


def _gpus(call: Call, count: int) -> None:
    if count > 1:
        call.ignore("--gpus", "only train uses several GPUs")


def _gpu_index(call: Call, indices: Sequence[int]) -> None:
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, indices))


def _inference_spec(call: Call, path: str) -> None:
    settings, model = settings_of(path)
    for key, value in settings.items():
        call.assign(key, value, f"--inference_spec {path}")
    if model:
        call.offer("model_path", model)
    elif not call.parameters["model_path"]:
        raise click.UsageError(
            f"{path}: its model_path is no file that can be read here; give -m MODEL (.keras, .onnx)"
        )
    shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    click.echo(f"{path}: NVIDIA TAO's inference spec sets {shown}", err=True)


def _test_data(call: Call, path: str) -> None:
    if call.parameters["images"] is None and call.parameters["annotations"] is None:
        images, annotations = dataset_of(path, "test")
        call.parameters.update(images=images, annotations=annotations)


def _input(call: Call, path: str) -> None:
    root = call.given.get("--image_root_path") or ""
    photos = listed_photos(path, root) if call.given.get("--input_type") == "json" else [path]
    call.parameters["inputs"] = (*call.parameters["inputs"], *photos)


def _normalizer(call: Call, value: str) -> None:
    if value == "L2":
        raise click.UsageError("--normalizer L2: here, thresholds are shares of the largest weight of a layer (max)")


def _equalization(call: Call, value: str) -> None:
    if value != "union":
        call.ignore("--equalization_criterion", "of channels that stay or go together, the strongest counts (union)")


def _excluded_layers(call: Call, names: Sequence[str]) -> None:
    own = [name.replace("/", "_") for name in names]
    call.assign("pruning.excluded_layers", own, f"--excluded_layers {' '.join(names)}")


def _backend(call: Call, value: str) -> None:
    if value == "uff":
        raise click.UsageError("--backend uff: only ONNX is written here, which TensorRT reads too")


def _data_format(call: Call, value: str) -> None:
    if value == "channels_first":
        raise click.UsageError("--data_format channels_first: the input has its channels last here")


def _input_dims(call: Call, value: str) -> None:
    sides = value.split(",")
    if len(sides) != 3 or not all(side.strip().isdecimal() for side in sides) or int(sides[2]) != 3:
        raise click.UsageError(f"--input_dims: must be HEIGHT,WIDTH,3 (got {value!r})")
    for key, side in zip(("height", "width"), sides, strict=False):
        call.assign(f"export.{key}", int(side), f"--input_dims {value}")


def _upsample_ratio(call: Call, value: int) -> None:
    if not call.given.get("--sdk_compatible_model"):
        return call.ignore("--upsample_ratio", "only with --sdk_compatible_model")
    return call.assign("export.tao_paf_upsampling", value, f"--upsample_ratio {value}")


def _static_batch(call: Call, value: int) -> None:
    if value > 0:
        call.assign("export.batch", value, f"--static_batch_size {value}")


_NO_LEVELS = "there are no levels of messages here"
_NO_ENGINE = "no TensorRT engine is built here; trtexec --onnx=OUT.onnx builds one"
_NO_FILE = "nothing is written but the file of -o"
_KEY = _ignored("-k", "--key", why="files are not encrypted here")
_COMMON = (
    _KEY,
    _flag("--gpu_index", apply=_gpu_index, type=int, multiple=True),
    _ignored("-np", "--num_processes", why="there are no MPI processes here", type=int),
    _ignored("--log_file", why="messages go to the terminal; `2> FILE` keeps them"),
)
_TASK = (*_COMMON, _flag("--gpus", apply=_gpus, type=click.IntRange(min=1)))
_LEVEL = _ignored("-ll", "--log_level", why=_NO_LEVELS)
_VERBOSE = _ignored("-v", "--verbose", why=_NO_LEVELS, is_flag=True)
_NO_RESULTS = _ignored("-r", "--results_dir", why=_NO_FILE)
_INFERENCE = _flag("-i", "--inference_spec", apply=_inference_spec)

FLAGS: dict[str, tuple[Flag, ...]] = {
    "info": (_KEY,),
    "train": (
        *_COMMON,
        _flag("--gpus", apply=_gpus_of_train, type=click.IntRange(min=1)),
        _LEVEL,
        _flag(
            "--use_amp",
            apply=lambda call, value: call.assign("training.precision", "mixed_float16", "--use_amp"),
            is_flag=True,
        ),
    ),
    "evaluate": (
        *_TASK,
        _LEVEL,
        _INFERENCE,
        _flag("-d", "--dataset_spec", apply=_test_data),
        _silent("--dataset", type=click.Choice(["coco"])),
    ),
    "infer": (
        *_TASK,
        _LEVEL,
        _INFERENCE,
        _flag("--input", apply=_input),
        _silent("--input_type", type=click.Choice(["image", "dir", "json"])),
        _silent("--image_root_path"),
        _ignored("--dump_visualizations", why="pictures are always written; --no-annotate: none", is_flag=True),
    ),
    "prune": (
        *_TASK,
        _VERBOSE,
        _NO_RESULTS,
        _flag("-n", "--normalizer", apply=_normalizer, type=click.Choice(["max", "L2"])),
        _flag("-eq", "--equalization_criterion", apply=_equalization),
        _sets("-pg", "--pruning_granularity", key="pruning.granularity", type=int),
        _sets("-nf", "--min_num_filters", key="pruning.min_channels", type=int),
        _flag("-el", "--excluded_layers", apply=_excluded_layers, multiple=True),
    ),
    "export": (
        *_TASK,
        _VERBOSE,
        _NO_RESULTS,
        _ignored("-e", "--experiment_spec", why="the model file has its spec inside"),
        _flag("-t", "--backend", apply=_backend, type=click.Choice(["onnx", "tfonnx", "uff"])),
        _flag("-d", "--input_dims", apply=_input_dims),
        _flag("-i", "--data_format", apply=_data_format, type=click.Choice(["channels_last", "channels_first"])),
        _flag(
            "--sdk_compatible_model",
            apply=lambda call, value: call.assign("export.tao_layout", True, "--sdk_compatible_model"),
            is_flag=True,
        ),
        _flag("-u", "--upsample_ratio", apply=_upsample_ratio, type=int),
        _sets("--data_type", key="export.precision", type=click.Choice(["fp32", "fp16", "int8"])),
        _flag("--cal_image_dir", apply=lambda call, value: call.offer("calibration", value)),
        _flag("--static_batch_size", apply=_static_batch, type=int),
        *(
            _ignored(name, why=_NO_ENGINE)
            for name in ("--engine_file", "--max_workspace_size", "--max_batch_size", "--opt_batch_size")
        ),
        _ignored("-s", "--strict_type_constraints", why=_NO_ENGINE, is_flag=True),
        *(
            _ignored(name, why="int8 is calibrated on all photos of --cal_image_dir, and its ranges are in the file")
            for name in ("--cal_data_file", "--cal_cache_file", "--batches", "--batch_size")
        ),
        _ignored("--force_ptq", why="int8 is always computed after training here", is_flag=True),
    ),
    "dataset_convert": (
        *_TASK,
        _flag("-d", "--dataset_spec", apply=lambda call, value: call.offer("dataset_spec", value)),
        _flag("-m", "--mode", apply=lambda call, value: call.offer("mode", value)),
        _flag("-s", "--num_shards", apply=lambda call, value: call.parameters.update(shards=value or 1), type=int),
        _ignored("-p", "--num_partitions", why="the parts of a data set are its shards here (--shards)", type=int),
        _ignored("--generate_masks", why="masks are made from the labels, without files", is_flag=True),
        _ignored("--check_files", why="files are always checked", is_flag=True),
        _ignored("-r", "--results_dir", why="everything goes to the folder of -o"),
    ),
}
