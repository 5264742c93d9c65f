"""`bpnet infer --merge`: the files of all parts as the files of one run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path
from bpnet_cli.inference.outputs import COCO_RESULTS, DETECTIONS, PARQUET, TABLE, frames_file
from bpnet_cli.inference.parquet import check_parquet, write_parquet
from bpnet_cli.inference.parts import part_name, read_plan
from bpnet_cli.inference.sources import Failure, some_of
from bpnet_cli.inference.summary import Summary
from bpnet_cli.log import counted, progress
from bpnet_cli.untrusted import json_of, typed

# Most numbers of missing parts that a message gives.
_NAMED = 10


@dataclass(frozen=True)
class _Head:
    """The first line of a part's file. failed: the file and the reason of each."""

    run: str
    photos: int
    people: int
    failed: list[dict[str, str]]
    video: str | None = None


def merge_parts(results_dir: Path) -> Summary:
    """Join the files of a run in parts; the result has the bytes that one process would have written.

    The files of the parts stay. One part at a time is in memory. Videos have files of their own already.
    Raises BpnetError where there are no parts, where parts are missing, or where a file can't be written.
    """
    plan = read_plan(results_dir)
    total = plan["parts"]
    lines = _files(results_dir, DETECTIONS, total, ".jsonl")
    there = set(results_dir.glob(part_name(DETECTIONS, "*", total, ".jsonl")))
    missing = [number for number, path in enumerate(lines) if path not in there]
    if missing:
        raise BpnetError(
            f"{results_dir}: {counted(len(missing), 'part')} of {total} are missing"
            f" ({some_of([str(number) for number in missing], _NAMED)}); repeat the lines that began them, then merge"
        )
    summary = Summary()
    heads = [_head(path, plan["run"]) for path in progress(lines, total, "reading parts")]
    for head in heads:
        summary.photos += head.photos
        summary.persons += head.people
        summary.failed += [Failure(each["file"], each["reason"], each["file"]) for each in head.failed]
    photos = [path for path, head in zip(lines, heads, strict=True) if head.video is None]
    videos = [head.video for head in heads if head.video is not None]
    if photos:
        _merge_photos(results_dir, plan, photos, [head.failed for head in heads if head.video is None], summary)
    frames = [frames_file(results_dir, name) for name in videos]
    summary.written += [str(path) for path in frames if path.exists()]  # a video that failed has no file
    return summary


def _merge_photos(
    results_dir: Path, plan: dict[str, Any], lines: Sequence[Path], failed: Sequence[list[Any]], summary: Summary
) -> None:
    head = {"model": plan["model"], "skeleton": plan["skeleton"]}
    reasons = [each for part in failed for each in part]
    paths = {"json": DETECTIONS, "coco": COCO_RESULTS, "csv": TABLE, "parquet": PARQUET}
    texts = {
        "json": lambda: _detections(head, _entries(lines), reasons),
        "coco": lambda: _json_list(_files(results_dir, COCO_RESULTS, plan["parts"])[: len(lines)]),
        "csv": lambda: _table(_files(results_dir, TABLE, plan["parts"])[: len(lines)]),
    }
    for name in (each for each in paths if each in plan["formats"]):
        target = results_dir / paths[name]
        if name == "parquet":
            check_parquet()
            write_parquet(target, map(json.loads, _entries(lines)))
        else:
            with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
                file.writelines(texts[name]())
        summary.written.append(str(target))


def _files(results_dir: Path, name: str, total: int, ending: str = "") -> list[Path]:
    return [results_dir / part_name(name, number, total, ending) for number in range(total)]


def _head(path: Path, run: str) -> _Head:
    """The first line of a part's file. Raises BpnetError where it is not a part of this run."""
    try:
        with path.open("rb") as file:
            head = typed(_Head, file.readline())
        if head.run == run and all({"file", "reason"} <= each.keys() for each in head.failed):
            return head
    except (OSError, ValueError):
        pass
    raise _damaged(path)


def _damaged(path: Path) -> BpnetError:
    return BpnetError(f"{path}: is not a part of this run, or damaged; delete it and repeat the line that began it")


def _text(path: Path) -> str:
    """A file of a part. Raises BpnetError."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        raise _damaged(path) from None


def _entries(lines: Iterable[Path]) -> Iterator[str]:
    """The line of each photo. Raises BpnetError where a line is no entry."""
    for path in lines:
        text = _text(path)
        if not text.endswith("\n"):
            raise _damaged(path)
        head, *entries, _ = text.split("\n")
        if len(entries) != typed(_Head, head).photos:
            raise _damaged(path)
        for entry in entries:
            try:
                json_of(entry)
            except ValueError:
                raise _damaged(path) from None
        yield from entries


def _joined(items: Iterable[str]) -> Iterator[str]:
    """The items with a comma between them."""
    for place, item in enumerate(items):
        yield f", {item}" if place else item


def _detections(head: dict[str, Any], entries: Iterable[str], failed: Sequence[Any]) -> Iterator[str]:
    """`detections.json`, as `json.dumps` would write it."""
    yield f'{json.dumps(head)[:-1]}, "images": ['
    yield from _joined(entries)
    yield f'], "failed": {json.dumps(failed)}}}'


def _json_list(paths: Iterable[Path]) -> Iterator[str]:
    """The JSON lists of several files as one."""
    yield "["
    yield from _joined(inside for path in paths if (inside := _inside(path)))
    yield "]"


def _inside(path: Path) -> str:
    """A JSON list without its brackets."""
    text = _text(path)
    try:
        if isinstance(json_of(text), list):
            return text[1:-1]
    except ValueError:
        pass
    raise _damaged(path)


def _table(paths: Sequence[Path]) -> Iterator[str]:
    """The CSV files of the parts as one: the header once."""
    for place, path in enumerate(paths):
        header, end, rows = _text(path).partition("\r\n")
        yield rows if place else f"{header}{end}{rows}"
