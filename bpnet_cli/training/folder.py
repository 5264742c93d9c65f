"""The files of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bpnet_cli.errors import BpnetError
from bpnet_cli.training.checkpoint import list_checkpoints


@dataclass(frozen=True)
class RunFolder:
    """Names of a run's files."""

    root: Path

    @property
    def spec(self) -> Path:
        """The resolved spec."""
        return self.root / "spec.yaml"

    @property
    def best(self) -> Path:
        """The model with the best AP; without validation data, the last one."""
        return self.root / "model.keras"

    @property
    def last(self) -> Path:
        """The model after the last finished epoch."""
        return self.root / "last.keras"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints. A rerun continues from the newest one."""
        return self.root / "checkpoints"

    @property
    def status(self) -> Path:
        """One line per event. Every run writes this file first, so it shows that a folder belongs to a run."""
        return self.root / "status.jsonl"

    def check_own(self) -> None:
        """Raise BpnetError if the folder has files that this run would overwrite, but that no training run wrote."""
        if self.status.exists():
            return
        for path in (self.spec, self.best, self.last, self.root / "history.csv"):
            if path.exists():
                raise BpnetError(f"{path}: is there already, but no training run wrote it; use another -r folder")

    def sweep(self) -> None:
        """Delete the temporary files of a run that was killed while it wrote."""
        for path in (self.spec, self.best, self.last, self.root / "history.csv", self.checkpoints / "epoch-0.npz"):
            for left in path.parent.glob(f".{path.stem.partition('-')[0]}-*{path.suffix}"):
                left.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the files of an earlier run, and no other files."""
        files = [self.spec, self.best, self.last, self.root / "history.csv", self.status]
        files += list_checkpoints(self.checkpoints)
        files += (self.root / "tensorboard").glob("events.out.tfevents.*")
        for path in files:
            path.unlink(missing_ok=True)
