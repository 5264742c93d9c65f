"""The state that a run saves: checkpoints, the last network and the best network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import say
from bpnet_cli.models.model_file import save_network
from bpnet_cli.training.checkpoint import Progress, State, restore_newest, save_checkpoint
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.network import Start


class Keeper:
    """Saves networks and checkpoints, and tracks the run's `progress`. Only the leading process (`leads`) writes.

    steps: number per epoch. checkpoints: how many are kept. measured: whether AP is measured; then AP decides which
    network is the best.
    """

    def __init__(
        self,
        folder: RunFolder,
        start: Start,
        state: State,
        *,
        steps: int,
        checkpoints: int,
        leads: bool,
        measured: bool,
    ) -> None:
        self.folder, self.start, self.state = folder, start, state
        self.steps, self.checkpoints, self.leads, self.measured = steps, checkpoints, leads, measured
        self.progress = Progress()

    def restore(self) -> Progress:
        """Restore the newest checkpoint, if there is one. Raises BpnetError if it doesn't fit this run."""
        self.progress = restore_newest(self.folder.checkpoints, self.state) or self.progress
        epoch, step = self.progress.epoch, self.progress.step
        if step and step >= self.steps:
            raise BpnetError(
                f"{self.folder.checkpoints}: the newest checkpoint has done {step} steps of its epoch, but an epoch"
                f" now has {self.steps}: are there fewer photos? Use another -r folder or --no-resume"
            )
        if epoch or step:
            say(f"going on after epoch {epoch}{f', step {step}' if step else ''}")
        return self.progress

    def keep_start(self, measure: Callable[[], float]) -> float:
        """Measure and save the network before the first step; return its AP. It is the best until an epoch beats it."""
        start = self.start
        if start.saved is not start.network:
            start.saved.set_weights(start.network.get_weights())
        ap = measure()
        save_network(start.saved, start.metadata, self.folder.best)
        self.progress = Progress(best_ap=ap, best_epoch=0)
        return ap

    def update_saved(self) -> None:
        """Copy the current weights, or their average, into the network that is validated and saved."""
        network, average = self.start.network, self.state.average
        if self.start.saved is not network:
            self.start.saved.set_weights(average.weights_of(network) if average else network.get_weights())

    def save_within(self, epoch: int, step: int) -> None:
        """Save a checkpoint within an epoch, unless the loss isn't finite: then the run is about to stop.

        epoch: number of finished epochs. step: number of finished steps of the current epoch.
        """
        if not self.leads:
            self.progress = Progress(epoch, None, step)
        elif np.isfinite(self.state.metrics[0].result()):
            self.progress = replace(self.progress, epoch=epoch, step=step)
            self._save_checkpoint()

    def save_epoch(self, epoch: int, ap: float | None) -> None:
        """Save the last network, a checkpoint, and a new best network. epoch: number of finished epochs."""
        if not self.leads:
            self.progress = Progress(epoch)
            return
        better = not self.measured or (ap is not None and self._beats_best(ap))
        if better or not self.folder.best.exists():
            save_network(self.start.saved, self.start.metadata, self.folder.best)
        save_network(self.start.saved, self.start.metadata, self.folder.last)
        self.progress = replace(self.progress, epoch=epoch, step=0)
        if better and ap is not None:
            self.progress = replace(self.progress, best_ap=ap, best_epoch=epoch)
        self._save_checkpoint()

    def _beats_best(self, ap: float) -> bool:
        best = self.progress.best_ap
        # At equal AP, trained weights are preferred to the weights before training, because they learnt these photos.
        return best is None or ap > best or (ap == best and self.progress.best_epoch == 0)

    def _save_checkpoint(self) -> None:
        save_checkpoint(self.folder.checkpoints, self.progress, self.state, self.checkpoints)
