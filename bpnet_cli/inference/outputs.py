"""Names of result files. Files of an earlier run may be overwritten, other files may not."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import write_text
from bpnet_cli.inference.openpose import openpose_name
from bpnet_cli.storage import is_remote

DETECTIONS, COCO_RESULTS, TABLE = "detections.json", "coco_results.json", "detections.csv"
PARQUET = "detections.parquet"
# What a run in parts is, see `parts`.
PLAN = "parts.json"
DRAWN, OPENPOSE = "annotated", "openpose"
_OPENPOSE_END = "keypoints.json"
# The first characters of `detections.json`, of a video's `.jsonl` file, also of older versions, and of CSV files.
# Hardly any other file begins like this.
_MARKS = ('{"model": {', '{"frame": ', "file,frame,seconds,id,score,box_x,")
# The journal: the names of the files that a run writes, relative to the results folder; one that ends in "_" stands for
# all names that begin so. It is deleted at the end, unless no file shows that bpnet wrote it.
JOURNAL = ".bpnet-unfinished.json"


@dataclass(frozen=True)
class Outputs:
    """Paths of the result files of all photos, or of one video; None: it isn't written.

    lines: `detections.json`, or a video's `.jsonl` file: one JSON line per frame. table: a CSV file. openpose: for each
    photo, or for a video, the path of OpenPose's files up to the number of the frame. pictures: of each photo, or of a
    video. parquet: a Parquet file.
    """

    lines: Path | None
    coco: Path | None
    table: Path | None
    openpose: tuple[Path, ...]
    pictures: tuple[Path, ...]
    parquet: Path | None = None

    @property
    def result_files(self) -> tuple[Path, ...]:
        """The files with all people."""
        return tuple(path for path in (self.lines, self.coco, self.table, self.parquet) if path is not None)

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them. A path that ends in "_" stands for all that begin so."""
        return (*self.result_files, *self.openpose, *self.pictures)


def frames_file(results_dir: Path, name: str) -> Path:
    """The path of a video's result file: one JSON line per frame."""
    return results_dir / f"{name}.jsonl"


def openpose_paths(results_dir: Path, names: Sequence[str], photos: int) -> list[Path]:
    """The files of OpenPose's format, for photos; for videos the path up to the number of the frame.

    photos: how many of the names, the first ones, are photos. A name keeps its ending where another one would be the
    same without it.
    """
    count = Counter(PurePosixPath(name).with_suffix("") for name in names)
    paths = []
    for place, name in enumerate(names):
        unique = name if count[PurePosixPath(name).with_suffix("")] == 1 else f"{name}.x"  # an ending that can go
        path = results_dir / OPENPOSE / openpose_name(unique)
        paths.append(path if place < photos else path.with_name(path.name.removesuffix(_OPENPOSE_END)))
    return paths


def drawn_before(folder: Path) -> bool:
    """Whether the files of a folder were drawn by an earlier run.

    That is so where the folder is named `annotated` and result files of bpnet or a journal lie beside it.
    """
    if folder.name != DRAWN:
        return False
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    results = folder.parent
    if _unfinished(results) or any(_is_ours(results / name) for name in (DETECTIONS, TABLE, PLAN)):
        return True
    # The copy of a video may have the ending .mp4 after the name of the video.
    videos = {video for name in names for video in (name, name.removesuffix(".mp4"))}
    return any(_is_ours(results / f"{video}{ending}") for video in videos for ending in (".jsonl", ".csv"))


def check_overwriting(outputs: Outputs, inputs: Iterable[Path], results_dir: Path) -> None:
    """Raise BpnetError where writing `outputs` would overwrite an input, or a file that no earlier run wrote.

    Where bpnet wrote one of the files with people, the others count as files of an earlier run.
    results_dir: the folder of all results. Files in the journal of a killed run may be overwritten too.
    """
    sources = {os.path.realpath(path) for path in inputs}
    earlier = any(_is_ours(path) for path in (outputs.lines, outputs.table) if path is not None)
    unfinished = _unfinished(results_dir)
    there = _listed(results_dir)
    for path in (existing for file in outputs.files for existing in existing_files(file, there)):
        if os.path.realpath(path) in sources:
            raise BpnetError(f"{path}: is an input that the results would overwrite; give another folder with -r")
        name = path.relative_to(results_dir).as_posix()
        begun = any(name.startswith(begin) for begin in unfinished if begin.endswith("_"))
        # Nothing is lost with an empty file, as a power cut leaves them.
        if not earlier and name not in unfinished and not begun and path.stat().st_size:
            text = "exists already, and there is no sign that an earlier run wrote it"
            raise BpnetError(f"{path}: {text}; move it away or give another folder with -r")


def has_no_sign(outputs: Outputs) -> bool:
    """Whether files are there of which none shows that bpnet wrote them: those of a video that failed, for example."""
    if any(_is_ours(path) for path in (outputs.lines, outputs.table) if path is not None):
        return False
    return any(existing_files(path) for path in outputs.files)


def existing_files(path: Path, there: Container[Path] | None = None) -> list[Path]:
    """The file itself if it exists; for a path that ends in "_", OpenPose's files that begin so.

    there: all that exist; None: the disk is asked.
    """
    if not path.name.endswith("_"):
        return [path] if (path.exists() if there is None else path in there) else []
    return sorted(path.parent.glob(f"{glob.escape(path.name)}*{_OPENPOSE_END}"))


def _listed(results_dir: Path) -> set[Path] | None:
    """The files at a URL, because asking for each of them is a request; None for a local folder."""
    return set(results_dir.rglob("*")) if is_remote(results_dir) else None


@contextmanager
def announced(outputs: Iterable[Path], results_dir: Path, keep: Callable[[], bool]) -> Iterator[None]:
    """Write the names of the files that a run will write to a journal, which is deleted at the end of the block.

    A killed process leaves its journal, and the next run may then overwrite the files in it. The journal also stays
    after an error, if one of the files exists. keep: asked at the end of the block whether it stays in any case,
    because there are files of which none shows who wrote it. Raises BpnetError where the folder can't be written to.
    """
    journal, outputs = results_dir / JOURNAL, list(outputs)
    names = _unfinished(results_dir) | {path.relative_to(results_dir).as_posix() for path in outputs}
    write_text(journal, json.dumps({"unfinished": sorted(names)}))
    try:
        yield
    except BaseException:
        there = _listed(results_dir)
        if not any(existing_files(path, there) for path in outputs):
            _remove(journal)
        raise
    if not keep():
        _remove(journal)


def _remove(journal: Path) -> None:
    """Delete the journal, and the results folder if it is empty then."""
    with suppress(OSError):  # the folder may have become read-only; a journal that stays does no harm
        journal.unlink(missing_ok=True)
        if not any(journal.parent.glob("*")):
            journal.parent.rmdir()


def _unfinished(results_dir: Path) -> set[str]:
    """The names in the journal of a killed run, relative to the results folder; empty without a journal."""
    try:
        names = json.loads((results_dir / JOURNAL).read_bytes())["unfinished"]
        return {str(name) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # there is no journal, or bpnet didn't write it


def _is_ours(path: Path) -> bool:
    """Whether bpnet wrote this result file, judged by its first characters."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(max(map(len, _MARKS))).startswith(tuple(mark.encode() for mark in _MARKS))
    except OSError:
        return False  # it can't be read, so it is not overwritten
