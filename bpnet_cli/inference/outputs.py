"""Names of result files. Files of an earlier run may be overwritten, other files may not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import write_text

DETECTIONS, COCO_RESULTS, DRAWN = "detections.json", "coco_results.json", "annotated"
# The first characters of `detections.json` and of a video's `.jsonl` file. Hardly any other file begins like this.
_MARKS = ('{"model": {', '{"frame": ')
# The journal: the names of the files that a run writes. It is deleted at the end, so only a killed run leaves it.
JOURNAL = ".bpnet-unfinished.json"


def frames_file(results_dir: Path, name: str) -> Path:
    """The path of a video's result file: one JSON line per frame."""
    return results_dir / f"{name}.jsonl"


def drawn_before(folder: Path) -> bool:
    """Whether the files of a folder were drawn by an earlier run.

    That is so where the folder is named `annotated` and result files of bpnet or a journal lie beside it.
    """
    if folder.name != DRAWN:
        return False
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    results = folder.parent
    return (
        bool(_unfinished(results))
        or _is_ours(results / DETECTIONS)
        or any(_is_ours(frames_file(results, name)) for name in names)
    )


def check_overwriting(outputs: Iterable[Path], evidence: Path, inputs: Iterable[Path], results_dir: Path) -> None:
    """Raise BpnetError where writing `outputs` would overwrite an input, or a file that no earlier run wrote.

    evidence: a result file. Where bpnet wrote it, existing `outputs` count as files of an earlier run.
    results_dir: the folder of all results. Files in the journal of a killed run may be overwritten too.
    """
    sources = {os.path.realpath(path) for path in inputs}
    earlier = _is_ours(evidence)
    unfinished = _unfinished(results_dir)
    for path in outputs:
        if not path.exists():
            continue
        if os.path.realpath(path) in sources:
            raise BpnetError(f"{path}: is an input that the results would overwrite; give another folder with -r")
        if not earlier and path.relative_to(results_dir).as_posix() not in unfinished:
            text = "exists already, and there is no sign that an earlier run wrote it"
            raise BpnetError(f"{path}: {text}; move it away or give another folder with -r")


@contextmanager
def announced(outputs: Iterable[Path], results_dir: Path) -> Iterator[None]:
    """Write the names of the files that a run will write to a journal, which is deleted at the end of the block.

    A killed process leaves its journal, and the next run may then overwrite the files in it. The journal also stays
    after an error, if one of the files exists. Raises BpnetError where the folder can't be written to.
    """
    journal, outputs = results_dir / JOURNAL, list(outputs)
    names = _unfinished(results_dir) | {path.relative_to(results_dir).as_posix() for path in outputs}
    write_text(journal, json.dumps({"unfinished": sorted(names)}))
    try:
        yield
    except BaseException:
        if not any(path.exists() for path in outputs):
            _remove(journal)
        raise
    _remove(journal)


def _remove(journal: Path) -> None:
    """Delete the journal, and the results folder if it is empty then."""
    with suppress(OSError):  # the folder may have become read-only; a journal that stays does no harm
        journal.unlink(missing_ok=True)
        if not any(journal.parent.iterdir()):
            journal.parent.rmdir()


def _unfinished(results_dir: Path) -> set[str]:
    """The names in the journal of a killed run, relative to the results folder; empty without a journal."""
    try:
        names = json.loads((results_dir / JOURNAL).read_text(encoding="utf-8"))["unfinished"]
        return {str(name) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # there is no journal, or bpnet didn't write it


def _is_ours(path: Path) -> bool:
    """Whether bpnet wrote this result file, judged by its first characters."""
    if not path.is_file():
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(max(map(len, _MARKS))).startswith(_MARKS)
    except OSError:
        return False  # it can't be read, so it is not overwritten
