"""Checkpoints: the whole state of a run, as plain arrays in one `.npz` file. Each array has a CRC-32 checksum."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path
from bpnet_cli.log import say
from bpnet_cli.training.averaging import WeightAverage
from bpnet_cli.untrusted import arrays_of, typed

_STATE = "state"
_NAME = re.compile(r"epoch-(\d{5})(?:-step-(\d{7}))?\.npz")


@dataclass(frozen=True)
class Progress:
    """The position of a run. epoch: number of finished epochs. step: number of finished steps of the next epoch.

    best_ap, best_epoch: of `model.keras`; None before the first validation. best_epoch 0: the weights before training.
    """

    epoch: int = 0
    best_ap: float | None = None
    step: int = 0
    best_epoch: int | None = None


@dataclass(frozen=True, eq=False)
class State:
    """The content of a checkpoint: network, built optimizer, and the means of the losses since the epoch began.

    average: the moving average of the weights, or None if the run keeps none.
    """

    network: Any
    optimizer: Any
    metrics: Any
    average: WeightAverage | None = None

    def named(self) -> dict[str, Any]:
        """Variables by name.

        The optimizer's variables get numbers in place of its name: Keras counts the name of the optimizer up within a
        process, and names of variables may repeat.
        """
        named = {f"network/{variable.path}": variable for variable in self.network.variables}
        for i, variable in enumerate(self.optimizer.variables):
            named[f"optimizer/{i:04d}/{variable.path.split('/', 1)[-1]}"] = variable
        for metric in self.metrics:
            named |= {f"metrics/{metric.name}/{variable.name}": variable for variable in metric.variables}
        return named | (self.average.named() if self.average else {})


def save_checkpoint(directory: Path, progress: Progress, state: State, keep: int) -> Path:
    """Write `epoch-NNNNN.npz`, or `epoch-NNNNN-step-NNNNNNN.npz` within an epoch, and delete all but the newest `keep`.

    The file is written under a temporary name, flushed to the disk and renamed. So a checkpoint is never incomplete.
    """
    arrays: dict[str, Any] = {name: np.asarray(variable) for name, variable in state.named().items()}
    arrays[_STATE] = np.array(json.dumps(asdict(progress)))
    step = f"-step-{progress.step:07d}" if progress.step else ""
    path = directory / f"epoch-{progress.epoch:05d}{step}.npz"
    with atomic_path(path) as temporary:
        _write_arrays(temporary, arrays)
    for old in list_checkpoints(directory)[keep:]:
        old.unlink()
    return path


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoints of a run, newest first."""
    return sorted(
        (path for path in directory.glob("epoch-*.npz") if _NAME.fullmatch(path.name)), key=_age, reverse=True
    )


def newest_epoch(directory: Path) -> int:
    """Number of finished epochs, from the name of the newest checkpoint; 0 if there is no checkpoint."""
    return max((_age(path)[0] for path in list_checkpoints(directory)), default=0)


def restore_newest(directory: Path, state: State) -> Progress | None:
    """Load the newest complete checkpoint into `state`; return its progress, or None if there is no such checkpoint.

    Raises BpnetError if names or shapes of the checkpoint's arrays don't fit `state`.
    """
    paths = list_checkpoints(directory)
    for path in paths:
        try:
            arrays = arrays_of(path)
            progress = typed(Progress, str(arrays.pop(_STATE)))
        except (ValueError, OSError, KeyError) as error:
            say(f"{path}: damaged ({error}); using the one before")
            continue
        _assign(path, arrays, state.named())
        return progress
    if paths:
        say(f"{directory}: no checkpoint is whole; starting from the beginning")
    return None


def _age(path: Path) -> tuple[int, int]:
    epoch, step = _NAME.fullmatch(path.name).groups()  # type: ignore[union-attr] # only names that match come here
    return int(epoch), int(step or 0)


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an archive for `np.load`. `np.savez` isn't used: it leaves the file open when the disk is full."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _assign(path: Path, arrays: Mapping[str, NDArray[Any]], variables: Mapping[str, Any]) -> None:
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    for name in sorted(shapes.keys() | expected.keys()):
        if shapes.get(name) != expected.get(name):
            raise BpnetError(
                f"{path}: doesn't fit this spec's network: {name} has shape {shapes.get(name, 'none')},"
                f" the network's {expected.get(name, 'none')}; where another version of bpnet wrote it, go on with that"
                " one; else use another results folder or --no-resume"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])
