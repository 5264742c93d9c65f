"""Result files by their names: what an earlier run left, and that nothing else is overwritten."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import write_text

DETECTIONS, COCO_RESULTS, DRAWN = "detections.json", "coco_results.json", "annotated"
# What begins `detections.json` and a line of a video's file, and little else in the world.
_MARKS = ('{"model": {', '{"frame": ')
# Holds the names of the files that a run writes, until the run ends: if the run is killed, the next one finds it.
JOURNAL = ".bpnet-unfinished.json"


def frames_file(results_dir: Path, name: str) -> Path:
    """Where the frames of a video go."""
    return results_dir / f"{name}.jsonl"


def drawn_before(folder: Path) -> bool:
    """Whether an earlier run drew the files of a folder: it is named `annotated`, beside results that bpnet wrote."""
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
    """Raise BpnetError where writing `outputs` would overwrite an input, or a file of somebody else's.

    evidence: the result file by which outputs that exist are known to come from an earlier run.
    results_dir: the folder of all results, where a run that crashed has left its journal.
    """
    sources = {os.path.realpath(path) for path in inputs}
    earlier = _is_ours(evidence)
    unfinished = _unfinished(results_dir)
    for path in outputs:
        if not path.exists():
            continue
        if os.path.realpath(path) in sources:
            raise BpnetError(f"{path}: is an input, and the results would overwrite it; give another folder with -r")
        if not earlier and path.relative_to(results_dir).as_posix() not in unfinished:
            text = "exists already, and no earlier run says that it wrote it"
            raise BpnetError(f"{path}: {text}; move it away or give another folder with -r")


@contextmanager
def announced(outputs: Iterable[Path], results_dir: Path) -> Iterator[None]:
    """Keep the names of the files that a run writes in a journal until the block ends.

    A process that is killed leaves the journal, and the next run may overwrite the files that it names. The journal
    also stays after an error, if one of the files exists. Raises BpnetError where the folder can't be written to.
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
    """Take the journal away, and the folder of results where it would be empty."""
    with suppress(OSError):  # a folder that got read-only meanwhile: the journal does no harm
        journal.unlink(missing_ok=True)
        if not any(journal.parent.iterdir()):
            journal.parent.rmdir()


def _unfinished(results_dir: Path) -> set[str]:
    """Names below a folder of results that a run which was killed was about to write."""
    try:
        names = json.loads((results_dir / JOURNAL).read_text(encoding="utf-8"))["unfinished"]
        return {str(name) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # none, or not ours


def _is_ours(path: Path) -> bool:
    """Whether bpnet wrote a result file, by how it begins."""
    if not path.is_file():
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(max(map(len, _MARKS))).startswith(_MARKS)
    except OSError:
        return False  # nobody can tell whose it is, so it is not overwritten
