"""The verbs of `bpnet spec`: check, show, schema, list, init, import-tao."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from bpnet_cli.cli.options import set_option, spec_argument
from bpnet_cli.errors import SpecError, explained_on

if TYPE_CHECKING:
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.skeleton_file import SkeletonFile


@click.group()
def spec() -> None:
    """Check, show, list or copy experiment specs.

    \b
    Example: bpnet spec list
             bpnet spec init finetune -o mine.yaml
             bpnet spec check mine.yaml
    """


@spec.command()
@spec_argument
@set_option
@click.option("--paths", is_flag=True, help="Treat files and folders that do not exist as errors.")
def check(spec_path: str, overrides: tuple[str, ...], paths: bool) -> None:
    """Validate a spec or a skeleton file, and report every problem with its line.

    The command also names files and folders of the spec that do not exist.

    \b
    Example: bpnet spec check mine.yaml --paths
    """
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.loader import load_to_check

    loaded, absent = load_to_check(spec_path, overrides)
    if isinstance(loaded, ExperimentSpec):
        _check_spec(loaded, absent, paths)
        if loaded.dataset.train_sources or loaded.dataset.validation_sources:
            command = f"bpnet dataset check -e {shlex.quote(spec_path)}"
            click.echo(f"photos and annotations were not opened; to check them: {command}", err=True)
        click.echo(f"{spec_path}: ok")
    else:
        _check_skeleton(loaded, spec_path)
        click.echo(f"{spec_path}: ok; this is a skeleton file, `skeleton: {spec_path}` in a spec points to it")


@spec.command()
@spec_argument
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of the terminal.")
@set_option
def show(spec_path: str, output: str | None, overrides: tuple[str, ...]) -> None:
    """Print a spec with all defaults and an explanation of each key.

    \b
    Example: bpnet spec show quickstart -o full.yaml
    """
    from bpnet_cli.spec.dump import dump_spec
    from bpnet_cli.spec.loader import load_spec

    _print_or_write(dump_spec(load_spec(spec_path, overrides)), output)


@spec.command()
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of the terminal.")
def schema(output: str | None) -> None:
    """Print the JSON schema of specs, for editors.

    \b
    Example: bpnet spec schema -o experiment.schema.json
    """
    import json

    from bpnet_cli.spec.loader import json_schema

    _print_or_write(json.dumps(json_schema(), indent=2) + "\n", output)


@spec.command("list")
def list_() -> None:
    """List the shipped specs (names for -e) and skeletons (names for `skeleton:` in a spec), with a description.

    \b
    Example: bpnet spec list
    """
    from bpnet_cli.spec.shipped import shipped_skeletons, shipped_specs, summary_of

    specs = {name: summary_of(path) for name, path in shipped_specs().items()}
    skeletons = {"body_18": "The 18 keypoints of BodyPoseNet and of OpenPose's COCO model; the default."}
    skeletons |= {name: summary_of(path) for name, path in shipped_skeletons().items()}
    width = max(map(len, [*specs, *skeletons]))
    for title, texts in (("specs, for -e:", specs), ("skeletons, for `skeleton:` in a spec:", skeletons)):
        click.echo(title)
        for name, text in texts.items():
            click.echo(f"  {name:{width}}  {text}")


@spec.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("-o", "--output", metavar="FILE.yaml|DIR", required=True, help="File to write; a folder for labels.")
@click.option("--annotations", metavar="FILE", help="COCO keypoint JSON file to write a spec and a skeleton for.")
@click.option("--images", metavar="DIR", help="Folder of its photos.")
@click.option("--validation-annotations", metavar="FILE", help="Labels to measure AP on.  [one in ten photos]")
@click.option("--validation-images", metavar="DIR", help="Folder of their photos.  [--images]")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Category to use.  [all that fit]")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def init(
    name: str | None,
    output: str,
    annotations: str | None,
    images: str | None,
    validation_annotations: str | None,
    validation_images: str | None,
    categories: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Copy a shipped spec or skeleton to change it, or write a spec and a skeleton that fit your labels.

    For labels, NAME is the shipped spec to start from (default: finetune for COCO's keypoints, else quickstart).

    \b
    Example: bpnet spec init finetune -o mine.yaml
             bpnet spec init --annotations labels.json --images photos -o mine/
    """
    if annotations or images:
        if not (annotations and images):
            raise click.UsageError("give --annotations and --images together")
        if validation_images and not validation_annotations:
            raise click.UsageError("--validation-images needs --validation-annotations")
        from bpnet_cli.inspection.new_spec import NewSpec, write_new_spec

        validation = (validation_images or images, validation_annotations) if validation_annotations else None
        request = NewSpec(images, annotations, output, name, validation, categories, overwrite)
        click.echo("\n".join(write_new_spec(request)))
    elif validation_annotations or validation_images or categories:
        raise click.UsageError("--validation-annotations, --validation-images and --category need --annotations")
    elif name is None:
        raise click.UsageError("give the NAME of a shipped spec or skeleton (bpnet spec list), or --annotations")
    else:
        _copy_shipped(name, output, overwrite)


def _copy_shipped(name: str, output: str, overwrite: bool) -> None:
    from bpnet_cli.files import check_output, write_text
    from bpnet_cli.spec.loader import load_to_check
    from bpnet_cli.spec.shipped import shipped_skeletons, text_for

    text = text_for(name, output)
    target = check_output(output, ".yaml", overwrite)
    write_text(target, text)
    if name in shipped_skeletons():
        click.echo(f"{target}: the skeleton {name}, to change; `skeleton: {target}` in a spec points to it")
        return
    _, absent = load_to_check(target)
    click.echo(f"{target}: the spec {name}, to change")
    if absent:
        click.echo("\n  ".join(["Next, write the paths of your files at:", *absent]))
    file, run = shlex.quote(str(target)), shlex.quote(f"runs/{target.stem}")
    click.echo(f"Then: bpnet spec check {file} --paths && bpnet train -e {file} -r {run}")


@spec.command("import-tao")
@click.argument("train_spec", metavar="TRAIN.yaml")
@click.option("--dataset-spec", metavar="FILE", help="TAO's dataset spec (coco_spec.json).  [named by TRAIN.yaml]")
@click.option("--infer-spec", metavar="FILE", help="TAO's inference spec (infer_spec.yaml).  [named by TRAIN.yaml]")
@click.option("--pose-config", metavar="FILE", help="TAO's pose config.  [named by TRAIN.yaml]")
@click.option("-o", "--output", metavar="FILE.yaml", required=True, help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@explained_on("tao", SpecError)
def import_tao(
    train_spec: str,
    dataset_spec: str | None,
    infer_spec: str | None,
    pose_config: str | None,
    output: str,
    overwrite: bool,
) -> None:
    """Translate the spec files of NVIDIA TAO's BodyPoseNet into a spec, and list what became of each key.

    \b
    Example: bpnet spec import-tao bpnet_train_m1_coco.yaml --dataset-spec coco_spec.json -o mine.yaml
    """
    from bpnet_cli.files import check_output, write_text
    from bpnet_cli.spec.tao import report, text_of, translate_train
    from bpnet_cli.spec.tao_file import DATASET, INFERENCE, POSE

    others = {DATASET: dataset_spec, INFERENCE: infer_spec, POSE: pose_config}
    result = translate_train(train_spec, others)
    text, loaded = text_of(result, train_spec)
    target = check_output(output, ".yaml", overwrite)
    _check_spec(loaded, [], paths=False)
    write_text(target, text)
    click.echo(f"{report(result)}\n\n{target}: written")


def _check_spec(loaded: ExperimentSpec, absent: list[str], paths: bool) -> None:
    """Checks that need more than the text of a spec: files and folders. Raises SpecError."""
    from bpnet_cli.build import check_input_size, graph_file_of, skeleton_of, tell_gaps, tell_sides
    from bpnet_cli.errors import SpecError
    from bpnet_cli.log import say

    skeleton = skeleton_of(loaded)
    tell_gaps(skeleton)
    if loaded.augmentation.flip_probability:
        tell_sides(loaded.skeleton, skeleton)
    graph_file = graph_file_of(loaded)
    if graph_file is not None and os.path.exists(graph_file):
        check_input_size(loaded)
    if absent and paths:
        raise SpecError("\n".join(absent))
    for line in absent:  # no error: a spec may be checked before its files exist, or for another machine
        say(line)


def _check_skeleton(file: SkeletonFile, path: str) -> None:
    """Check that names in a skeleton file match. Raises SpecError with the file's name."""
    from bpnet_cli.build import tell_gaps, tell_sides
    from bpnet_cli.errors import naming
    from bpnet_cli.pose.skeleton import Skeleton
    from bpnet_cli.spec.skeleton_file import skeleton_values

    with naming(path):
        skeleton = Skeleton.from_dict(skeleton_values(file))
    tell_gaps(skeleton)
    tell_sides(path, skeleton)


def _print_or_write(text: str, output: str | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    from bpnet_cli.files import write_text

    write_text(output, text)
