"""The verb for labels of other tools: dataset import."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from bpnet_cli.cli.infer_verb import EXIT_PARTIAL
from bpnet_cli.errors import DataError, explained_on
from bpnet_cli.log import shown

if TYPE_CHECKING:
    from bpnet_cli.labelling.workflow import Imported

# Photos that are left out are listed up to this number.
_LISTED = 20


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("-o", "--output", metavar="DIR", required=True, help="Folder for annotations/person_keypoints.json.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "cvat", "label-studio", "labelme", "yolo-pose", "deeplabcut", "sleap"]),
    default="auto",
    show_default=True,
    help="The tool's format; auto: by content.",
)
@click.option("--images", metavar="DIR", help="Folder of the photos or videos.  [default: beside the labels]")
@click.option(
    "--names", metavar="FILE|A,B,C", help="Keypoints in the order that you want, or names where there are none."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing annotation file.")
@explained_on("labels", DataError)
def import_labels(
    source: str, output: str, format_: str, images: str | None, names: str | None, overwrite: bool
) -> None:
    """Turn keypoints that were labelled in another tool into a COCO file, which `dataset check` and `train` read.

    SOURCE is a file or folder of CVAT, Label Studio, labelme, YOLO-pose, DeepLabCut or SLEAP. Photos stay where they
    are; frames of videos are written to DIR/images. `bpnet docs labels` says which export to use.

    \b
    Example: bpnet dataset import cvat/annotations.xml -o mine
             bpnet dataset import project-1.json --images photos -o mine --names nose,left_eye,right_eye
    """
    from bpnet_cli.labelling.workflow import import_labels as run

    result = run(source, output, format=format_, images=images, names=names, overwrite=overwrite)
    click.echo(shown("\n".join(_summary(result))))
    if result.problems:
        raise click.exceptions.Exit(EXIT_PARTIAL)


def _summary(result: Imported) -> list[str]:
    """Lines on an `Imported`: what is there, what was left out, and what to do next."""
    lines = [f"{result.format}: {result.photos} photos, {result.people} people with keypoints: {result.annotations}"]
    lines += [f"{label}: {', '.join(names)}" for label, names in result.keypoints.items()]
    lines += [f"photos: {result.images}"]
    lines += [f"left out: {count} {what}" for what, count in result.left_out.items()]
    if result.problems:
        lines.append(f"photos left out: {len(result.problems)}")
        lines += [f"  {name}: {why}" for name, why in result.problems[:_LISTED]]
        lines += [f"  and {len(result.problems) - _LISTED} more"] if len(result.problems) > _LISTED else []
    places = f"--images {_quoted(result.images)} --annotations {_quoted(result.annotations)}"
    lines.append(f"next: bpnet dataset check {places}")
    lines.append(
        f"      bpnet spec init --annotations {_quoted(result.annotations)} --images {_quoted(result.images)}"
        f" -o {_quoted(result.annotations.parents[1] / 'spec')}"
    )
    return lines


def _quoted(path: object) -> str:
    return shlex.quote(str(path))
