"""The verb infer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import click

from bpnet_cli.cli.options import engine_option, model_option, model_or_box, results_option, set_option
from bpnet_cli.cli.ray_options import ray_options
from bpnet_cli.cli.tao_flags import tao_flags
from bpnet_cli.errors import DataError, explained_on
from bpnet_cli.inference.options import FORMATS, InferOptions, InferRequest
from bpnet_cli.log import shown

if TYPE_CHECKING:
    from bpnet_cli.inference.summary import Summary

EXIT_PARTIAL = 3


def _formats(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
    unknown = [word for word in words if word not in FORMATS]
    if unknown or not words:
        raise click.BadParameter(f"must be one or more of {', '.join(FORMATS)} (got {value!r})", param=parameter)
    return words


def _shard(_: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """I/N as two numbers."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", value)
    if not match or int(match[1]) >= int(match[2]):
        raise click.BadParameter(f"must be I/N with I from 0 to N-1, as in 0/4 (got {value!r})", param=parameter)
    return int(match[1]), int(match[2])


def _seconds(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Seconds, or minutes and hours before a colon: 90, 1:30, 0:01:30.5."""
    if value is None:
        return None
    try:
        seconds = 0.0
        for part in value.split(":"):
            seconds = 60 * seconds + float(part)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise click.BadParameter(f"must be seconds or h:mm:ss, as in 90 or 1:30 (got {value!r})", param=parameter)
    return seconds


@click.command()
@tao_flags("infer")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@model_option(box=True)
@results_option(default="results")
@engine_option()
@set_option
@click.option(
    "--format",
    "formats",
    metavar="LIST",
    default="json,coco",
    show_default=True,
    callback=_formats,
    help="Result files, one or more of json,coco,openpose,csv,parquet.",
)
@click.option("--track", is_flag=True, help="Videos: give each person an id that lasts.")
@click.option("--smooth", is_flag=True, help="Videos: smooth the keypoints over time. Includes --track.")
@click.option("--max-people", type=click.IntRange(min=1), metavar="N", help="Keep at most N people of each picture.")
@click.option(
    "--keep",
    type=click.Choice(["surest", "largest"]),
    default="surest",
    show_default=True,
    help="Which people --max-people keeps.",
)
@click.option("--every", type=click.IntRange(min=1), default=1, metavar="N", help="Videos: look at every N-th frame.")
@click.option("--start", metavar="TIME", callback=_seconds, help="Videos: begin at this time, as in 90 or 1:30.")
@click.option("--end", metavar="TIME", callback=_seconds, help="Videos: end before this time.")
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop each video or camera after N frames.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Photos or frames of one size that run through the network at once. Helps on GPUs.",
)
@click.option("--annotate/--no-annotate", default=True, show_default=True, help="Write pictures and videos.")
@click.option(
    "--draw",
    type=click.Choice(["photo", "skeleton", "none"]),
    default="photo",
    show_default=True,
    help="In pictures: people on their photo, people alone on black, or no people (with --blur-faces).",
)
@click.option("--transparent", is_flag=True, help="With --draw skeleton: transparent instead of black, for photos.")
@click.option(
    "--colour",
    "--color",
    type=click.Choice(["side", "person"]),
    help="Colours by left and right side, or by person.  [side; with --track: person]",
)
@click.option(
    "--label",
    type=click.Choice(["none", "id", "score", "both"]),
    help="Text beside each person.  [none; with --track: id]",
)
@click.option("--blur-faces", is_flag=True, help="Make all faces in pictures unrecognisable.")
@click.option("--show", is_flag=True, help="Show the pictures in a window; q ends.")
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Take part I (0 to N-1) of N of the inputs, for job arrays; --merge joins the results.",
)
@click.option("--merge", is_flag=True, help="Join the results of all shards in the folder -r; takes no INPUT.")
@ray_options
@explained_on("infer", DataError)
def infer(
    inputs: tuple[str, ...],
    model_path: str | None,
    results_dir: str,
    engine: str,
    shard: tuple[int, int] | None,
    merge: bool,
    share: Any,
    cores: int,
    **flags: Any,
) -> None:
    """Find people in photos, folders (recursive), globs, videos, cameras (camera:0) or streams (rtsp://, http://).

    @LIST.txt takes the inputs from a file, and - takes them from standard input, one a line.

    \b
    Example: bpnet infer photo.jpg
             bpnet infer photos/ holiday.mp4 -m runs/lite/model.onnx -r results
             bpnet infer match.mp4 --track --smooth --format json,csv
             bpnet infer photos/ --shard 3/10 -r results
    """
    if sum((shard is not None, merge, share is not None)) > 1:
        raise click.UsageError("--shard, --merge and --ray exclude each other")
    overrides = flags.pop("overrides")
    options = _options(**flags)
    from bpnet_cli.storage import place

    results = place(results_dir)
    if merge:
        from bpnet_cli.inference.merge import merge_parts

        if inputs:
            raise click.UsageError("--merge takes no INPUT: it joins what is in the folder -r")
        _report(merge_parts(results))
        return
    request = InferRequest(inputs, model_or_box(model_path), results, overrides, options, engine)
    if shard is not None:
        from bpnet_cli.inference.part_run import infer_shard

        summary = infer_shard(request, shard)
    elif share is not None:
        from bpnet_cli.inference.part_run import infer_shared

        summary = infer_shared(request, cores, share)
    else:
        from bpnet_cli.inference.workflow import infer_inputs

        summary = infer_inputs(request)
    _report(summary)


def _report(summary: Summary) -> None:
    """Print the summary; the exit code is 1 for a run that was stopped, 3 where an input failed."""
    if summary.text:
        click.echo(shown(summary.text))
    if summary.stopped:
        raise click.exceptions.Exit(1)
    if summary.failed:
        raise click.exceptions.Exit(EXIT_PARTIAL)


def _options(
    draw: Literal["photo", "skeleton", "none"],
    colour: Literal["side", "person"] | None,
    label: str | None,
    **flags: Any,
) -> InferOptions:
    """The flags as `InferOptions`. Raises click.UsageError for flags that don't go together."""
    if flags["start"] is not None and flags["end"] is not None and flags["end"] <= flags["start"]:
        raise click.UsageError(f"--end ({flags['end']:g} s) must be after --start ({flags['start']:g} s)")
    if flags["transparent"] and draw != "skeleton":
        raise click.UsageError("--transparent goes with --draw skeleton")
    track = flags.pop("track") or flags["smooth"]
    label = label or ("id" if track else "none")
    return InferOptions(
        track=track,
        draw=draw,
        colour=colour or ("person" if track else "side"),
        show_ids=label in ("id", "both"),
        show_scores=label in ("score", "both"),
        **flags,
    )
