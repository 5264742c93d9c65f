"""The verb evaluate."""

from __future__ import annotations

from typing import Any

import click

from bpnet_cli.cli.options import engine_option, model_option, model_or_box, results_option, set_option, spec_option
from bpnet_cli.cli.ray_options import ray_options
from bpnet_cli.cli.tao_flags import tao_flags


@click.command()
@tao_flags("evaluate")
@spec_option(required=False)
@model_option(box=True)
@click.option("--images", metavar="DIR", help="Folder of photos to use instead of the spec's dataset.validation.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON that goes with --images.")
@results_option()
@engine_option()
@set_option
@ray_options
def evaluate(
    spec_path: str | None,
    model_path: str | None,
    images: str | None,
    annotations: str | None,
    results_dir: str,
    engine: str,
    overrides: tuple[str, ...],
    share: Any,
    cores: int,
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
    from bpnet_cli.storage import place

    model, results = model_or_box(model_path), place(results_dir)
    click.echo(evaluate_model(model, spec, overrides, images, annotations, results, engine, share, cores))
