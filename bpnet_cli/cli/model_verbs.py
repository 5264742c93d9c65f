"""Verbs for networks: train, evaluate, infer, import, prune, export, info."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bpnet_cli.cli.options import (
    Function,
    model_option,
    model_or_box,
    results_option,
    set_option,
    spec_option,
)
from bpnet_cli.cli.tao_flags import ListFlags, tao_flags
from bpnet_cli.errors import ModelFileError, explained_on
from bpnet_cli.log import shown


@click.command(cls=ListFlags)
@tao_flags("train")
@spec_option()
@results_option()
@set_option
@click.option("--resume/--no-resume", default=True, show_default=True, help="Continue an earlier run, or delete it.")
@explained_on("training")
def train(spec_path: str, results_dir: str, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a network from a spec. After an interruption, run the same line again to continue.

    \b
    Example: bpnet train -e lite_coco -r runs/lite --set training.epochs=20
    """
    from bpnet_cli.spec.loader import load_spec

    spec = load_spec(spec_path, overrides)
    from bpnet_cli.engine import load_keras

    load_keras()
    from bpnet_cli.training.train import train as run

    click.echo(f"model: {run(spec, results_dir, resume)}")


def spec_flag(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """A flag that sets the key of the same name in the spec's export section."""
    key = names[-1].lstrip("-").replace("-", "_")

    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:  # 0 is a value
            from bpnet_cli.spec.overrides import FlagAssignment

            typed = names[-1] if value is True else f"{names[-1]} {value}"
            assignment = FlagAssignment(f"export.{key}={'true' if value is True else value}", typed)
            context.ensure_object(list).append(assignment)

    return click.option(*names, expose_value=False, callback=keep, **settings)


@click.command()
@tao_flags("export")
@model_option(box=True, keras=True)
@click.option("-o", "--output", "output", "--output_file", metavar="OUT", help="File to write.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx", "litert", "openvino", "saved_model"]),
    help="Format of OUT.  [by its ending: .onnx, .tflite, .xml]",
)
@click.option("--triton", metavar="DIR", help="Triton model repository to write to, with or without -o.")
@click.option("--web", metavar="DIR", help="Folder to write a web page to that runs the model, with or without -o.")
@click.option("--metadata-json", is_flag=True, help="Write the metadata too, to OUT.json, for programs in C++.")
@click.option(
    "--deepstream", metavar="DIR", help="Folder to write for DeepStream: --tao-layout, nvinfer's configuration."
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@spec_flag("--precision", type=click.Choice(["fp32", "fp16", "int8"]), help="Precision of the network.  [fp32]")
@click.option("--calibration-images", "calibration", metavar="DIR", help="Photos to calibrate int8 with, 32 or more.")
@spec_flag("--quantize-heads", is_flag=True, help="Use int8 for the last convolutions too.")
@click.option("--explain", is_flag=True, help="Show what each int8 layer costs: candidates for export.float_layers.")
@click.option("--images", metavar="DIR", help="Labelled photos to measure AP on, in fp32 and in the lower precision.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON that goes with --images.")
@click.option(
    "--max-ap-drop",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Write nothing if AP falls by more than X, on --images or on the spec's dataset.validation.",
)
@spec_flag("--height", type=int, metavar="H", help="The only input height of the file. Needs --width.  [any]")
@spec_flag("--width", type=int, metavar="W", help="The only input width of the file. Needs --height.  [any]")
@spec_flag("--batch", type=int, metavar="N", help="The only batch size of the file.  [any]")
@spec_flag("--opset", type=int, metavar="N", help="ONNX operator set, 13 to 18.  [17]")
@spec_flag("--with-peaks", is_flag=True, help="Add an output with the peaks, so that your program only groups them.")
@spec_flag("--tao-layout", is_flag=True, help="Use the names, order and float input of NVIDIA's files, for DeepStream.")
@set_option
@click.pass_context
@explained_on("deploy/index")
def export(
    context: click.Context,
    model_path: str | None,
    output: str | None,
    format_: str | None,
    triton: str | None,
    web: str | None,
    metadata_json: bool,
    deepstream: str | None,
    overwrite: bool,
    calibration: str | None,
    explain: bool,
    images: str | None,
    annotations: str | None,
    max_ap_drop: float | None,
    overrides: tuple[str, ...],
) -> None:
    """Write a .keras model for other programs, with its metadata, after a comparison with the .keras model.

    The format is ONNX, LiteRT (TensorFlow Lite), OpenVINO's, or TensorFlow's SavedModel.

    \b
    Example: bpnet export -m runs/lite/model.keras -o lite.onnx
             bpnet export -m runs/lite/model.keras -o lite_int8.onnx --precision int8 \\
               --calibration-images photos --max-ap-drop 0.01
             bpnet export -m runs/lite/model.keras -o lite.tflite --precision fp16
             bpnet export -m runs/lite/model.keras -o served --format saved_model
    """
    if not (output or triton or web or deepstream):
        raise click.UsageError("give -o OUT, --triton DIR, --web DIR or --deepstream DIR")
    if metadata_json and not output:
        raise click.UsageError("--metadata-json needs -o OUT; the folder of --web has the metadata anyway")
    if (images is None) != (annotations is None):
        raise click.UsageError("--images and --annotations go together")
    from bpnet_cli.export.workflow import ExportRequest, export_model
    from bpnet_cli.spec.overrides import FlagAssignment

    # The page groups peaks, it doesn't find them. DeepStream takes NVIDIA's layout only.
    implied = [FlagAssignment("export.with_peaks=true", "--web")] if web else []
    implied += [FlagAssignment("export.tao_layout=true", f"--deepstream {deepstream}")] if deepstream else []
    changes = (*overrides, *context.ensure_object(list), *implied)
    model = model_or_box(model_path, keras=True)
    target = (output, triton, overwrite, changes)
    measured = (calibration, images, annotations, max_ap_drop)
    folders = (format_, web, metadata_json, deepstream)
    click.echo(export_model(ExportRequest(model, *target, *measured, *folders, explain)))


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(word) for word in value.split(","))
    except ValueError:
        raise click.BadParameter(f"must be one number, or three numbers separated by commas (got {value!r})") from None


@click.command("import")
@click.argument("model_path", metavar="MODEL")
@click.option("-o", "--output", metavar="OUT.keras", required=True, help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "--skeleton", metavar="NAME|FILE", help="Keypoints and limbs in the order of the file's channels.  [body_18]"
)
@click.option(
    "--color", "colour", type=click.Choice(["rgb", "bgr"]), help="Order of colours in the network's input.  [.xml: bgr]"
)
@click.option(
    "--mean", callback=_numbers, metavar="M[,M,M]", help="M in the network's input (pixel - M) * S, 0 to 255."
)
@click.option("--scale", callback=_numbers, metavar="S[,S,S]", help="S in (pixel - M) * S, for example 0.00390625.")
@click.option("--images", metavar="DIR", help="Photos for the comparison of the original and the result.")
@explained_on("import", ModelFileError)
def import_(
    model_path: str,
    output: str,
    overwrite: bool,
    skeleton: str | None,
    colour: str | None,
    mean: tuple[float, ...] | None,
    scale: tuple[float, ...] | None,
    images: str | None,
) -> None:
    """Write a trained network of another tool as a .keras file that you can train, prune and export.

    MODEL is OpenVINO's .xml, or an .onnx file of NVIDIA's TAO, of bpnet, or of an OpenPose-like network from PyTorch.
    The original and the result both run, and their maps are compared before the file is written.

    \b
    Example: bpnet import human-pose-estimation-0001.xml -o start.keras --images photos
             bpnet import pose.onnx -o start.keras --color bgr --mean 128 --scale 0.00390625
             bpnet train -e mine.yaml -r runs/mine --set model.pretrained=start.keras --set model.graph=file
    """
    from bpnet_cli.importing.workflow import ImportRequest, import_model

    click.echo(import_model(ImportRequest(model_path, output, overwrite, skeleton, colour, mean, scale, images)))


@click.command(cls=ListFlags)
@tao_flags("prune")
@model_option(keras=True)
@click.option("-o", "--output", "output", "--output_file", metavar="OUT.keras", required=True, help="File to write.")
@click.option(
    "--threshold",
    "-pth",
    "--pruning_threshold",
    type=click.FloatRange(0, 1),
    help="Remove channels whose weights are smaller than this share of the largest in their layer.",
)
@click.option(
    "--target-macs",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="R",
    help="Remove channels until this share of the multiply-accumulates is left.",
)
@click.option(
    "--refit-images",
    metavar="DIR",
    help="Photos (hundreds, unlabelled) for choosing channels and for refitting the layers that read them.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@set_option
@explained_on("smaller")
def prune(
    model_path: str,
    output: str,
    threshold: float | None,
    target_macs: float | None,
    refit_images: str | None,
    overwrite: bool,
    overrides: tuple[str, ...],
) -> None:
    """Remove the least important channels of a .keras model. Train the result again with model.pretrained.

    \b
    Example: bpnet prune -m runs/lite/model.keras -o small.keras --target-macs 0.5 --refit-images photos
             bpnet train -e lite_coco -r runs/small --set model.pretrained=small.keras
    """
    if (threshold is None) == (target_macs is None):
        raise click.UsageError("give either --threshold or --target-macs")
    from bpnet_cli.pruning.workflow import prune_model

    click.echo(prune_model(model_path, output, threshold, target_macs, overwrite, overrides, refit_images))


@click.command()
@tao_flags("info")
@spec_option(required=False)
@model_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@set_option
def info(spec_path: str | None, model_path: str | None, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Show a network's size, cost, inputs, outputs and skeleton.

    \b
    Example: bpnet info -e bodyposenet_vgg19_coco
             bpnet info -m lite.onnx --json
    """
    if (spec_path is None) == (model_path is None):
        raise click.UsageError("give either -e SPEC or -m MODEL")
    from bpnet_cli.inference.info import describe_model, describe_spec

    if spec_path is not None:
        from bpnet_cli.spec.loader import load_spec

        description = describe_spec(load_spec(spec_path, overrides))
    else:
        description = describe_model(str(model_path), overrides)
    click.echo(description.as_json() if as_json else shown(description.as_text()))
