"""The verbs of `bpnet benchmark`."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import click

from bpnet_cli.cli.options import engine_option, model_option, model_or_box, set_option, spec_option

if TYPE_CHECKING:
    from bpnet_cli.spec.experiment import ExperimentSpec


@click.group()
def benchmark() -> None:
    """Measure the figures of the documentation on this machine."""


@benchmark.command()
@spec_option(required=False)
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON. Maps are rendered from its labels.")
@click.option("--maps", metavar="FILE", help="Stored maps (.npz) of the same photos, to measure as well.")
@click.option(
    "--size",
    type=(int, int),
    metavar="HEIGHT WIDTH",
    default=(368, 656),
    show_default=True,
    help="Size of rendered inputs.",
)
@click.option("--plot", metavar="FILE", help="Write a plot of time by number of people (SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@set_option
def decode(
    spec_path: str | None,
    annotations: str | None,
    maps: str | None,
    size: tuple[int, int],
    plot: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Measure accuracy and time of the decoder, compared with a x8 cubic upsampling of the same maps in the same run.

    \b
    Example: bpnet benchmark decode --annotations person_keypoints_val2017.json
    """
    if maps and not annotations:
        raise click.UsageError("--maps needs the --annotations of its photos")
    # Times are for one thread. numpy reads this variable when it loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    spec = _spec_or_defaults(spec_path, overrides)
    from bpnet_cli.benchmark.workflow import benchmark_decode

    click.echo(benchmark_decode(spec, annotations, maps, size, plot, as_json))


@benchmark.command()
@spec_option(required=False)
@click.option("--images", metavar="DIR", help="Photos to measure on, instead of the spec's dataset.train.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON of these photos.")
@click.option("--seconds", type=click.FloatRange(min=0), default=30, show_default=True, help="Total time to measure.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="Also tell how many cores feed an accelerator that trains on R images/s.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@set_option
def data(
    spec_path: str | None,
    images: str | None,
    annotations: str | None,
    seconds: float,
    rate: float | None,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Measure images per second of the training pipeline, compared with decoding the same JPEGs alone in the same run.

    \b
    Example: bpnet benchmark data --images train2017 --annotations person_keypoints_train2017.json
    """
    if bool(images) != bool(annotations):
        raise click.UsageError("--images and --annotations go together")
    if images and annotations:
        overrides = (*overrides, f"dataset.train={json.dumps({'images': images, 'annotations': annotations})}")
    spec = _spec_or_defaults(spec_path, overrides)
    from bpnet_cli.engine import load_keras

    load_keras()
    from bpnet_cli.benchmark.workflow import benchmark_samples

    click.echo(benchmark_samples(spec, seconds, as_json, rate))


def _counts(_: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise click.BadParameter(f"must be numbers from 1 on, as in 1,8,64 (got {value!r})", param=parameter)
    return tuple(int(word) for word in words)


@benchmark.command()
@click.option("--images", metavar="DIR", required=True, help="Photos like those of the large run.")
@model_option(box=True)
@click.option("--photos", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="Photos of that run.")
@click.option(
    "--workers", default="1,8,64,512", show_default=True, callback=_counts, help="Numbers of workers of one core."
)
@click.option(
    "--storage",
    type=(click.FloatRange(min=0), click.FloatRange(min=0, min_open=True)),
    default=(0.2, 2000),
    show_default=True,
    metavar="MS MB/S",
    help="Time until a photo's first byte comes, and what all workers together can read in a second.",
)
@click.option("--price", type=click.FloatRange(min=0), help="Price of a core for an hour: adds the cost of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def scale(
    images: str,
    model_path: str | None,
    photos: int,
    workers: tuple[int, ...],
    storage: tuple[float, float],
    price: float | None,
    as_json: bool,
) -> None:
    """Measure what a photo costs one core, and tell what N workers of `infer --shard` or `--ray` bring.

    \b
    Example: bpnet benchmark scale --images photos/ --workers 1,16,256 --storage 20 400 --price 0.04
    """
    from bpnet_cli.benchmark.scale import benchmark_scale

    click.echo(benchmark_scale(model_or_box(model_path), images, storage, workers, photos, price, as_json))


@benchmark.command()
@spec_option()
@click.option(
    "--steps", type=click.IntRange(min=1), default=40, show_default=True, help="Steps of each kind to measure."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@set_option
def train(spec_path: str, steps: int, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Measure the time of a step of bpnet train, compared with the bare Keras step in the same run.

    \b
    Example: bpnet benchmark train -e lite_coco --set training.batch_size=8
    """
    from bpnet_cli.spec.loader import load_spec

    spec = load_spec(spec_path, overrides)
    from bpnet_cli.engine import load_keras

    load_keras()
    from bpnet_cli.benchmark.report import describe_training
    from bpnet_cli.benchmark.train import benchmark_train

    figures = benchmark_train(spec, steps)
    click.echo(json.dumps(figures, indent=2) if as_json else describe_training(figures))


def _spec_or_defaults(path: str | None, overrides: tuple[str, ...]) -> ExperimentSpec:
    """The spec of `-e`, or the default spec without `-e`."""
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.loader import apply_overrides, load_spec

    return load_spec(path, overrides) if path else apply_overrides(ExperimentSpec(), overrides)


def _sizes(context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> list[tuple[int, int]]:
    """Convert `HEIGHTxWIDTH` to (height, width). Raises click.BadParameter for other text."""
    sizes = []
    for word in words:
        match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", word)
        if not match:
            raise click.BadParameter(f"must be HEIGHTxWIDTH in pixels, as in 368x656 (got {word!r})")
        sizes.append((int(match[1]), int(match[2])))
    return sizes


@benchmark.command()
@click.option(
    "-m",
    "--model",
    "--model_filename",
    "models",
    metavar="MODEL",
    multiple=True,
    help="A .keras or .onnx file, OpenVINO's .xml, box or box-fast. May be given several times; ratios are relative to"
    " the first model.  [the model in the box]",
)
@engine_option(several=True)
@click.option(
    "--images", metavar="DIR", help="Photos to measure the time from file to people on. Without: networks alone."
)
@click.option("--video", metavar="FILE", help="A video to measure the pace of infer on; --images does it on photos.")
@click.option(
    "--size",
    "sizes",
    metavar="HxW",
    multiple=True,
    callback=_sizes,
    help="Height and width of the input. May be given several times.  [those of the first model]",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=1),
    metavar="N",
    multiple=True,
    default=(1,),
    help="Photos per run of the network. May be given several times.  [1]",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=100, show_default=True, help="Runs of each kind to measure."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of OpenCV, and threads within an operation of ONNX Runtime, OpenVINO and TensorFlow. TensorFlow then"
    " computes one operation at a time.  [as in infer]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def infer(
    models: tuple[str, ...],
    engines: tuple[str, ...],
    images: str | None,
    video: str | None,
    sizes: list[tuple[int, int]],
    batches: tuple[int, ...],
    repeats: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare the time of models, measured in turn: the network alone, and from photo file to people.

    A model of fixed input size is measured at that size only. The pace of infer, with reading, drawing and writing, is
    that of the first model and engine.

    \b
    Example: bpnet benchmark infer -m lite.keras -m lite.onnx -m lite_int8.onnx --images photos \\
               --size 256x256 --size 368x368 --batch 1 --batch 8
             bpnet benchmark infer --engine onnxruntime --engine openvino
    """
    from bpnet_cli.benchmark.infer import benchmark_infer
    from bpnet_cli.benchmark.report import describe_inference
    from bpnet_cli.box import box_or_path

    models = tuple(box_or_path(model, keras=False) for model in models) or (model_or_box(None),)
    figures = benchmark_infer(models, sizes, batches, repeats, threads, images, engines)
    if images or video:
        from bpnet_cli.benchmark.pace import benchmark_pace

        figures["pace"] = benchmark_pace(models[0], engines[0], images, video)
    click.echo(json.dumps(figures, indent=2) if as_json else describe_inference(figures))
