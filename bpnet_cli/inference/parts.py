"""Parts of a run of `bpnet infer`: several processes share a run, and a run that was stopped goes on.

The inputs alone say how many parts there are, and which input is in which part: consecutive photos, or one video. So
it doesn't matter how many processes there are, and which one finishes which part. A part is finished when
its file `detections-NNNNN-of-NNNNN.jsonl` has its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpnet_cli import __version__
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import write_text
from bpnet_cli.inference.options import InferRequest
from bpnet_cli.inference.outputs import DETECTIONS, PLAN, TABLE, Outputs, check_overwriting
from bpnet_cli.inference.photo_results import PhotoSet
from bpnet_cli.inference.photo_run import ids_of
from bpnet_cli.inference.planning import plan_outputs
from bpnet_cli.inference.sources import Inputs, VideoInput
from bpnet_cli.storage import is_remote
from bpnet_cli.untrusted import json_of, typed

# Photos in a part: so many that there are about `_PARTS` parts, within bounds. Small parts share out work evenly, large
# ones keep the number of files low.
_PARTS, _FEWEST, _MOST = 256, 8, 512
_MOST_PARTS = 1_000_000
_ANY_PART = f"{Path(DETECTIONS).stem}-*-of-*.jsonl"


@dataclass(frozen=True)
class _PlanFile:
    """The keys of `parts.json` that are read, for checking."""

    run: str
    parts: int
    photos: int
    videos: int
    formats: list[str]
    model: dict[str, Any]
    skeleton: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part: some photos, or one video.

    file: exists if the part is finished. photos: none for a video's part. video: with the files that it writes.
    """

    file: Path
    photos: PhotoSet
    video: tuple[VideoInput, Outputs] | None = None


@dataclass(frozen=True)
class Plan:
    """The parts of a run. entry: the content of `parts.json`; its `run` is a checksum of all that changes results."""

    parts: Sequence[Part]
    entry: dict[str, Any]
    results_dir: Path

    def missing(self, parts: Iterable[Part]) -> list[Part]:
        """Those of some parts that are not finished."""
        found = self.results_dir.glob(part_name(DETECTIONS, "*", len(self.parts), ".jsonl"))
        # A disk that lies about flushing leaves empty files.
        there = {path for path in found if is_remote(path) or path.stat().st_size}
        return [part for part in parts if part.file not in there]


def photos_in_a_part(photos: int) -> int:
    """The number of photos in a part of a run with so many photos."""
    return min(_MOST, max(_FEWEST, -(-photos // _PARTS)))


def part_name(name: str, number: int | str, total: int, ending: str = "") -> str:
    """The name of a result file of one part. number: from 0, or a wildcard. ending: instead of the name's own."""
    stem, _, own = name.rpartition(".")
    shown = f"{number:05d}" if isinstance(number, int) else number
    return f"{stem}-{shown}-of-{total:05d}{ending or '.' + own}"


def make_plan(inputs: Inputs, request: InferRequest, head: dict[str, Any]) -> Plan:
    """Cut the inputs into parts. head: the entries of model and skeleton in result files."""
    results_dir, options = request.results_dir, request.options
    photos, videos = plan_outputs(inputs, results_dir, options)
    names = [photo.name for photo in inputs.photos] + [video.name for video in inputs.videos]
    size = photos_in_a_part(len(inputs.photos))
    starts = range(0, len(inputs.photos), size)
    total = len(starts) + len(inputs.videos)
    run = _checksum(names, request)
    ids = ids_of([photo.name for photo in inputs.photos], told="coco" in options.formats)
    parts: list[Part] = []
    for start in starts:
        cut = slice(start, start + size)
        lines = results_dir / part_name(DETECTIONS, len(parts), total, ".jsonl")
        outputs = _of_part(photos, lines, len(parts), total, cut)
        photos_of_part = PhotoSet(inputs.photos[cut], ids[cut], outputs, {"run": run, "part": len(parts)})
        parts.append(Part(lines, photos_of_part))
    for video, files in zip(inputs.videos, videos, strict=True):
        lines = results_dir / part_name(DETECTIONS, len(parts), total, ".jsonl")
        entry = {"run": run, "part": len(parts), "video": video.name}
        parts.append(Part(lines, PhotoSet((), (), Outputs(lines, None, None, (), ()), entry), (video, files)))
    if parts:
        parts[0] = replace(parts[0], photos=replace(parts[0].photos, problems=inputs.problems))
    counts = {"parts": total, "photos": len(inputs.photos), "videos": len(inputs.videos)}
    return Plan(parts, {**head, "run": run, **counts, "formats": list(options.formats)}, results_dir)


def begin(plan: Plan, inputs: Inputs) -> None:
    """Write `parts.json`, or check that it is there and belongs to this run.

    Raises BpnetError where the folder holds parts of another run, or files that bpnet didn't write.
    """
    if _is_begun(plan):
        return
    sources = [photo.path for photo in inputs.photos] + [video.path for video in inputs.videos]
    try:
        check_overwriting(_everything(plan), sources, plan.results_dir)
    except BpnetError:
        if _is_begun(plan):  # by another process, while this one looked
            return
        raise
    write_text(plan.results_dir / PLAN, json.dumps(plan.entry))


def _everything(plan: Plan) -> Outputs:
    """All files of a run and of its merge. `detections.json` of any run shows that bpnet wrote the files."""
    files = [path for part in plan.parts for path in part.photos.outputs.files]
    files += [path for part in plan.parts if part.video for path in part.video[1].files]
    return Outputs(plan.results_dir / DETECTIONS, None, plan.results_dir / TABLE, (), tuple(files))


def read_plan(results_dir: Path) -> dict[str, Any]:
    """The content of `parts.json`. Raises BpnetError where there is none, or where it is not bpnet's."""
    path = results_dir / PLAN
    if not path.exists():
        raise BpnetError(f"{results_dir}: has no {PLAN}, so no parts; give -r the folder of the parts")
    try:
        text = path.read_bytes()
        if 0 < typed(_PlanFile, text).parts <= _MOST_PARTS:
            return dict(json_of(text))
    except (OSError, ValueError):
        pass
    raise BpnetError(f"{path}: is not a file that bpnet infer wrote; give another folder with -r")


def _is_begun(plan: Plan) -> bool:
    path = plan.results_dir / PLAN
    if not path.exists() or not path.stat().st_size:
        return False
    there = read_plan(plan.results_dir)
    if there["run"] != plan.entry["run"] and not any(plan.results_dir.glob(_ANY_PART)):
        write_text(plan.results_dir / PLAN, json.dumps(plan.entry))  # that run finished nothing
    elif there["run"] != plan.entry["run"]:
        counts = [f"{entry['photos']} photos and {entry['videos']} videos" for entry in (there, plan.entry)]
        what = f"its {counts[0]}, these are {counts[1]}" if counts[0] != counts[1] else "other names, model or settings"
        raise BpnetError(
            f"{plan.results_dir}: holds parts of another run ({what}); repeat the line of that run, or give another"
            " folder with -r"
        )
    return True


def _of_part(photos: Outputs, lines: Path, number: int, total: int, cut: slice) -> Outputs:
    """The files of a part: names with its number, and the own files of its photos."""

    def named(path: Path | None) -> Path | None:
        return None if path is None else path.with_name(part_name(path.name, number, total))

    return Outputs(
        lines,
        named(photos.coco),
        named(photos.table),
        photos.openpose[cut],
        photos.pictures[cut],
        named(photos.parquet),
    )


def _checksum(names: Iterable[str], request: InferRequest) -> str:
    """A checksum of all that changes results, but the content of the inputs."""
    options = replace(request.options, show=False, batch=1)
    content = hashlib.sha256(f"{__version__} {options} {sorted(request.overrides)} {request.engine}".encode())
    for path in _files_of(Path(request.model)):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    for name in names:
        content.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return content.hexdigest()[:16]


def _files_of(model: Path) -> list[Path]:
    """The files of a model: the weights of an OpenVINO model lie beside it, a SavedModel is a folder."""
    if model.is_dir():
        return sorted(path for path in model.rglob("*") if path.is_file())
    weights = model.with_suffix(".bin")
    return [model, weights] if model.suffix == ".xml" and weights.is_file() else [model]
