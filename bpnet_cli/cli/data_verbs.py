"""Verbs for data sets: dataset, dataset_convert."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from bpnet_cli.cli.label_verbs import import_labels
from bpnet_cli.cli.options import set_option, spec_option
from bpnet_cli.cli.ray_options import ray_options
from bpnet_cli.cli.tao_files import dataset_of
from bpnet_cli.cli.tao_flags import tao_flags
from bpnet_cli.log import shown

if TYPE_CHECKING:
    from bpnet_cli.pose.skeleton import Skeleton


@click.group()
def dataset() -> None:
    """Make, check and show data sets."""


dataset.add_command(import_labels)


@dataset.command()
@click.option("-o", "--output", "output", metavar="DIR", required=True, help="Folder for the data set or film.")
@click.option("--images", type=click.IntRange(min=1), help="Number of photos.  [default: 100]")
@click.option("--people", type=(int, int), default=(1, 4), show_default=True, help="Fewest and most people.")
@click.option(
    "--skeleton", metavar="NAME", help="What to draw: coco_17, hand_21, animal_17 or a skeleton file.  [people]"
)
@click.option("--size", type=(int, int), help="Height and width in pixels.  [default: 256 256; of a film 360 640]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same photos."
)
@click.option("--video", is_flag=True, help="Draw a film of people who walk, and its truth with their ids.")
@click.option("--seconds", type=float, help="Length of the film.  [default: 20]")
@click.option("--overwrite", is_flag=True, help="Replace an existing data set or film.")
def synthetic(
    output: str,
    images: int | None,
    people: tuple[int, int],
    skeleton: str | None,
    size: tuple[int, int] | None,
    seed: int,
    video: bool,
    seconds: float | None,
    overwrite: bool,
) -> None:
    """Draw photos of people, hands or animals with exactly known keypoints, in COCO format, or a film of people.

    \b
    Example: bpnet dataset synthetic -o data/train --images 600 --people 1 4
             bpnet dataset synthetic -o hands --images 600 --skeleton hand_21
             bpnet dataset synthetic -o film --video --seconds 20 --people 2 10
    """
    if video and images is not None:
        raise click.UsageError("--images is for photos; the length of a film is --seconds")
    if not video and seconds is not None:
        raise click.UsageError("--seconds is for films; add --video")
    if video and skeleton is not None:
        raise click.UsageError("--skeleton is for photos; films show people")
    from bpnet_cli.data.synthetic import generate
    from bpnet_cli.data.synthetic_video import generate_video

    height, width = size or ((360, 640) if video else (256, 256))
    draw = (
        partial(generate_video, output, 20 if seconds is None else seconds)
        if video
        else partial(generate, output, images or 100, skeleton=_skeleton(skeleton))
    )
    path = draw(people=people, height=height, width=width, seed=seed, overwrite=overwrite)
    click.echo(f"film and its truth: {path}" if video else f"{images or 100} photos: {path}")


def _skeleton(given: str | None) -> Skeleton | None:
    from bpnet_cli.build import named_skeleton

    return None if given is None else named_skeleton(given)


@dataset.command("check")
@spec_option(required=False)
@click.option("--images", metavar="DIR", help="Folder of photos, to check without a spec.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON file, to check without a spec.")
@set_option
def check_data(spec_path: str | None, images: str | None, annotations: str | None, overrides: tuple[str, ...]) -> None:
    """Open all photos and labels once, and say what is there, what is used, and what looks wrong.

    \b
    Example: bpnet dataset check -e mine.yaml
             bpnet dataset check --images photos --annotations labels.json
    """
    if bool(spec_path) == bool(images and annotations):
        raise click.UsageError("give a spec (-e), or --images and --annotations")
    from bpnet_cli.inspection.check import check_files, check_spec

    if spec_path is None:
        reports, refused = check_files(str(images), str(annotations))
    else:
        from bpnet_cli.spec.loader import load_spec

        reports, refused = check_spec(load_spec(spec_path, overrides))
    click.echo(shown("\n\n".join(reports)))
    if refused:
        raise click.exceptions.Exit(1)


@dataset.command("show")
@spec_option()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="sheet.png",
    show_default=True,
    help="PNG to write; an existing one is replaced.",
)
@click.option("--count", type=click.IntRange(1, 400), default=12, show_default=True, help="Number of samples.")
@click.option("--columns", type=click.IntRange(min=1), default=4, show_default=True, help="Samples in a row.")
@set_option
def show_samples(spec_path: str, output: str, count: int, columns: int, overrides: tuple[str, ...]) -> None:
    """Draw training samples as the network sees them: crops, labels, ignored areas, targets.

    \b
    Example: bpnet dataset show -e quickstart -o sheet.png
    """
    from bpnet_cli.spec.loader import load_spec

    loaded = load_spec(spec_path, overrides)
    from bpnet_cli.engine import load_keras

    load_keras()
    from bpnet_cli.inspection.sheet import show_samples as draw

    click.echo(f"{count} samples: {draw(loaded, output, count, columns)}")


@click.command("dataset_convert")
@tao_flags("dataset_convert")
@spec_option(required=False)
@click.option(
    "-o",
    "--output",
    "output",
    "--output_filename",
    metavar="DIR",
    required=True,
    help="Folder for the shards and summary.json.",
)
@click.option("--shards", type=click.IntRange(1, 99_999), default=16, show_default=True, help="Shards per data set.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Photos read in parallel.  [default: CPU cores]"
)
@click.option("--overwrite", is_flag=True, help="Replace shards of other photos or labels.")
@set_option
@ray_options
def dataset_convert(
    spec_path: str | None,
    output: str,
    shards: int,
    workers: int | None,
    overwrite: bool,
    overrides: tuple[str, ...],
    share: Any,
    cores: int,
    dataset_spec: str | None = None,
    mode: str = "train",
) -> None:
    """Write a spec's photos and labels as TFRecord shards. Training reads them as {records: GLOB}.

    After an interruption, run the same line again to continue.

    \b
    Example: bpnet dataset_convert -e lite_coco -o shards --shards 32
    """
    if (spec_path is None) == (dataset_spec is None):
        raise click.UsageError("give either -e SPEC, or TAO's dataset spec with -d FILE")
    if dataset_spec is not None:
        from bpnet_cli.data.choice import ANYTHING

        sets = {"train" if mode == "train" else "validation": [(*dataset_of(dataset_spec, mode), ANYTHING)]}
        origin = dataset_spec
    else:
        from bpnet_cli.build import coco_sets_of
        from bpnet_cli.spec.loader import load_spec

        sets, origin = coco_sets_of(load_spec(str(spec_path), overrides)), "dataset.train, dataset.validation"
    from bpnet_cli.data.convert import convert
    from bpnet_cli.errors import hinting

    with hinting(f"{origin}; paths are relative to the working directory"):
        workers = workers or (cores if share else None)
        summary = convert(sets, output, shards=shards, workers=workers, overwrite=overwrite, share=share)
    for name, entry in summary.items():
        glob = f"{output}/{name}-*-of-{entry['shards']:05d}.tfrecord"
        size = f"{entry['photos']['kept']} photos, {entry['people']['kept']} people, {entry['bytes'] / 1e6:.1f} MB"
        click.echo(f"{name}: {size}: {glob}")
