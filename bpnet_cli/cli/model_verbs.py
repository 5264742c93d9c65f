"""Verbs around a network: train, evaluate, infer, export, info."""

from __future__ import annotations

from pathlib import Path

import click

from bpnet_cli.cli.options import model_option, results_option, set_option, spec_option

EXIT_PARTIAL = 3


@click.command()
@spec_option()
@results_option()
@set_option
@click.option("--resume/--no-resume", default=True, show_default=True, help="Go on with an earlier run, or delete it.")
def train(spec_path: str, results_dir: str, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a network by a spec; rerunning the same line goes on where it stopped.

    \b
    Example: bpnet train -e specs/lite_coco.yaml -r runs/lite --set training.epochs=20
    """
    from bpnet_cli.spec.loader import load_spec

    spec = load_spec(spec_path, overrides)
    from bpnet_cli.engine import load_keras

    load_keras()
    from bpnet_cli.training.train import train as run

    click.echo(f"model: {run(spec, results_dir, resume)}")


@click.command()
@spec_option(required=False)
@model_option()
@click.option("--images", metavar="DIR", help="Folder of photos, instead of the spec's dataset.validation.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON that goes with --images.")
@results_option()
@set_option
def evaluate(
    spec_path: str | None,
    model_path: str,
    images: str | None,
    annotations: str | None,
    results_dir: str,
    overrides: tuple[str, ...],
) -> None:
    """Measure COCO keypoint AP and AR of a model on labelled photos.

    \b
    Example: bpnet evaluate -m runs/lite/model.keras --images val2017 \\
               --annotations person_keypoints_val2017.json -r runs/lite/evaluation
    """
    if (images is None) != (annotations is None):
        raise click.UsageError("--images and --annotations go together")
    from bpnet_cli.spec.loader import load_spec

    spec = load_spec(spec_path, overrides) if spec_path else None
    from bpnet_cli.evaluation.workflow import evaluate_model

    click.echo(evaluate_model(model_path, spec, overrides, images, annotations, Path(results_dir)))


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...", required=True)
@model_option()
@results_option(default="results")
@set_option
@click.option("--annotate/--no-annotate", default=True, show_default=True, help="Draw people on copies of the photos.")
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop each video or camera after N frames.")
def infer(
    inputs: tuple[str, ...],
    model_path: str,
    results_dir: str,
    overrides: tuple[str, ...],
    annotate: bool,
    max_frames: int | None,
) -> None:
    """Find people in photos, folders (recursive), globs, videos or a camera (camera:0).

    \b
    Example: bpnet infer photos/ holiday.mp4 -m runs/lite/model.onnx -r results
    """
    from bpnet_cli.inference.workflow import infer_inputs

    summary = infer_inputs(inputs, model_path, Path(results_dir), overrides, annotate, max_frames)
    click.echo(summary.text)
    if summary.failed:
        raise click.exceptions.Exit(EXIT_PARTIAL)


@click.command()
@model_option()
@click.option("-o", "--output", "output", "--output_file", metavar="OUT.onnx", required=True, help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@set_option
def export(model_path: str, output: str, overwrite: bool, overrides: tuple[str, ...]) -> None:
    """Write a .keras model as ONNX, checked against it, with its metadata inside.

    \b
    Example: bpnet export -m runs/lite/model.keras -o lite.onnx
    """
    from bpnet_cli.export.workflow import export_model

    click.echo(export_model(model_path, output, overwrite, overrides))


@click.command()
@model_option()
@click.option("-o", "--output", "output", "--output_file", metavar="OUT.keras", required=True, help="File to write.")
@click.option(
    "--threshold",
    "-pth",
    "--pruning_threshold",
    type=click.FloatRange(0, 1),
    help="Remove channels whose weights are smaller than this share of their layer's largest.",
)
@click.option(
    "--target-macs",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="R",
    help="Remove as many channels as it takes to leave this share of the multiply-accumulates.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@set_option
def prune(
    model_path: str,
    output: str,
    threshold: float | None,
    target_macs: float | None,
    overwrite: bool,
    overrides: tuple[str, ...],
) -> None:
    """Remove the channels of a .keras model that matter least; train the result again with model.pretrained.

    \b
    Example: bpnet prune -m runs/lite/model.keras -o small.keras --target-macs 0.5
             bpnet train -e specs/lite_coco.yaml -r runs/small --set model.pretrained=small.keras
    """
    if (threshold is None) == (target_macs is None):
        raise click.UsageError("give either --threshold or --target-macs")
    from bpnet_cli.pruning.workflow import prune_model

    click.echo(prune_model(model_path, output, threshold, target_macs, overwrite, overrides))


@click.command()
@spec_option(required=False)
@model_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@set_option
def info(spec_path: str | None, model_path: str | None, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Show a network's size, cost, inputs, outputs and skeleton.

    \b
    Example: bpnet info -e specs/bodyposenet_vgg19_coco.yaml
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
    click.echo(description.as_json() if as_json else description.as_text())
