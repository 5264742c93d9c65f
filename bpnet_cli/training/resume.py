"""Checks whether a run can continue the earlier run in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import say

# If one of these keys changes, a checkpoint's arrays or its position in the stream of samples get another meaning.
_BREAKING = (
    "skeleton",
    "model",
    "optimizer.name",
    "training.batch_size",
    "training.ema_momentum",
    "training.frozen_layers",
    "training.gradient_accumulation",
    "training.min_steps_per_epoch",
    "training.seed",
    "training.steps_per_epoch",
)


def check_same_run(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise BpnetError if a run with spec `now` can't continue from checkpoints of a run with spec `before`.

    The error lists the keys. Other changes are accepted and printed. Both specs are plain values with the whole
    skeleton, so skeletons are compared by content and not by path.
    """
    changes = list(_differences(before, now))
    breaking = [change for change in changes if change[0].startswith(_BREAKING)]
    if breaking:
        listed = "; ".join(f"{key}: {old} -> {new}" for key, old, new in breaking)
        raise BpnetError(
            f"{folder}: holds a run that this spec can't go on with ({listed}); use another -r folder, or"
            " --no-resume to delete that run"
        )
    for key, old, new in changes:
        say(f"changed since the run began: {key}: {old} -> {new}")


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield path, before, after
