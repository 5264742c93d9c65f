"""Result files by their names: what an earlier run left, and that nothing else is overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bpnet_cli.errors import BpnetError

DETECTIONS, COCO_RESULTS, DRAWN = "detections.json", "coco_results.json", "annotated"
# What begins `detections.json` and a line of a video's file, and little else in the world.
_MARKS = ('{"model": {', '{"frame": ')


def frames_file(results_dir: Path, name: str) -> Path:
    """Where the frames of a video go."""
    return results_dir / f"{name}.jsonl"


def drawn_before(folder: Path) -> bool:
    """Whether an earlier run drew the files of a folder: it is named `annotated`, beside results that bpnet wrote."""
    if folder.name != DRAWN:
        return False
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    results = folder.parent
    return _is_ours(results / DETECTIONS) or any(_is_ours(frames_file(results, name)) for name in names)


def check_overwriting(outputs: Iterable[Path], evidence: Path, inputs: Iterable[Path]) -> None:
    """Raise BpnetError where writing `outputs` would overwrite an input, or a file of somebody else's.

    evidence: the result file by which outputs that exist are known to come from an earlier run.
    """
    sources = {os.path.realpath(path) for path in inputs}
    earlier = _is_ours(evidence)
    for path in outputs:
        if not path.exists():
            continue
        if os.path.realpath(path) in sources:
            raise BpnetError(f"{path}: is an input, and the results would overwrite it; give another folder with -r")
        if not earlier:
            text = "exists already, and no earlier run says that it wrote it"
            raise BpnetError(f"{path}: {text}; move it away or give another folder with -r")


def _is_ours(path: Path) -> bool:
    """Whether bpnet wrote a result file, by how it begins."""
    if not path.is_file():
        return False
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(max(map(len, _MARKS))).startswith(_MARKS)
    except OSError:
        return False  # nobody can tell whose it is, so it is not overwritten
