"""What the parts of one run of `bpnet infer` share."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpnet_cli.inference.options import InferOptions
from bpnet_cli.inference.people import People
from bpnet_cli.inference.summary import Summary
from bpnet_cli.inference.window import Window


@dataclass(frozen=True)
class Run:
    """One run of `bpnet infer`.

    model: its entry in result files. results_dir: folder of all results. pool: threads for photos and frames.
    ahead: number of photos or frames that may be in work at once. window: with `--show`. summary: gets all counts.
    """

    people: People
    options: InferOptions
    model: dict[str, Any]
    results_dir: Path
    pool: Executor
    ahead: int
    window: Window | None
    summary: Summary
