"""Checkpoints: everything a run needs to go on, as plain arrays in one `.npz` per epoch."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path
from bpnet_cli.log import say

_STATE = "state"


@dataclass(frozen=True)
class Progress:
    """Where a run stands. epoch: finished ones. best_ap: of `model.keras`, None before any validation."""

    epoch: int = 0
    best_ap: float | None = None


def save_checkpoint(directory: Path, progress: Progress, network: Any, optimizer: Any, keep: int) -> Path:
    """Write `epoch-NNNNN.npz` atomically, then delete all but the newest `keep`."""
    arrays: dict[str, Any] = {name: np.asarray(variable) for name, variable in _named(network, optimizer).items()}
    arrays[_STATE] = np.array(json.dumps({"epoch": progress.epoch, "best_ap": progress.best_ap}))
    path = directory / f"epoch-{progress.epoch:05d}.npz"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    for old in list_checkpoints(directory)[keep:]:
        old.unlink()
    return path


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoints of a run, newest first."""
    return sorted(directory.glob("epoch-[0-9][0-9][0-9][0-9][0-9].npz"), reverse=True)


def newest_epoch(directory: Path) -> int:
    """Finished epochs by the newest checkpoint's name; 0 where there is none."""
    return max((int(path.stem.removeprefix("epoch-")) for path in list_checkpoints(directory)), default=0)


def restore_newest(directory: Path, network: Any, optimizer: Any) -> Progress | None:
    """Load the newest checkpoint that is whole into a network and a built optimizer; None where there is none.

    Raises BpnetError for one whose arrays don't fit the network.
    """
    for path in list_checkpoints(directory):
        try:
            # numpy leaves a file it opened itself open when the archive is damaged.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            state = json.loads(str(arrays.pop(_STATE)))
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
            say(f"{path}: damaged ({error}); using the one before")
            continue
        _assign(path, arrays, _named(network, optimizer))
        return Progress(state["epoch"], state["best_ap"])
    return None


def _assign(path: Path, arrays: Mapping[str, NDArray[Any]], variables: Mapping[str, Any]) -> None:
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise BpnetError(
                f"{path}: doesn't fit this spec's network: {name} has shape {shapes.get(name, 'none')},"
                f" the network's {expected.get(name, 'none')}; use another results folder or --no-resume"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _named(network: Any, optimizer: Any) -> dict[str, Any]:
    """Variables by name. An optimizer's own name counts up within a process and its variables' may repeat: numbered."""
    named = {f"network/{variable.path}": variable for variable in network.variables}
    for i, variable in enumerate(optimizer.variables):
        named[f"optimizer/{i:04d}/{variable.path.removeprefix(f'{optimizer.name}/')}"] = variable
    return named
