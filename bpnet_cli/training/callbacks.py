"""Keras callbacks of a run. They run in the order in which `run` lists them, and pass measured values on in `logs`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import Meter, Rate, duration, say
from bpnet_cli.training.records import History, Status, TensorBoardLog

Logs = dict[str, Any]


@dataclass
class Place:
    """The position of a run, for all callbacks.

    epoch: the current epoch, from 0. first_step: the first step of this `fit` in the epoch, from 0.
    """

    epoch: int = 0
    first_step: int = 0


class BeginEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Updates the place. Must come before the callbacks that read the place.

    first_step: the first step of every epoch of this `fit`. If it isn't 0, the metrics continue from their current
    values. They must be restored, because Keras resets them at the beginning of an epoch, before it calls this.
    """

    def __init__(self, place: Place, metrics: Sequence[Any], first_step: int) -> None:
        super().__init__()
        self.place, self.metrics, self.first_step = place, metrics, first_step
        self.values = [[np.asarray(variable) for variable in metric.variables] for metric in metrics]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Update the place and restore the metrics."""
        self.place.epoch, self.place.first_step = epoch, self.first_step
        if self.first_step:
            for metric, values in zip(self.metrics, self.values, strict=True):
                for variable, value in zip(metric.variables, values, strict=True):
                    variable.assign(value)


class StopOnNaN(keras.callbacks.Callback):  # type: ignore[misc]
    """Raises BpnetError at the first step whose loss is not finite, before a checkpoint could be overwritten."""

    # With this, Keras reads the loss in another thread, and the next step doesn't wait for the device.
    async_safe = True

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Check the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise BpnetError(
                f"the loss became {loss} in epoch {self.place.epoch + 1}, step"
                f" {self.place.first_step + batch + 1}: lower"
                " optimizer.learning_rate, set optimizer.clip_norm, or use training.precision=float32; the last"
                " checkpoint is intact"
            )


class Pace(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds images_per_second and learning_rate to `logs`; shows images/s and the remaining time of epoch and run.

    On a terminal it shows a bar; elsewhere it prints a line from time to time.
    """

    async_safe = True  # the loss arrives in another thread; it is shown from the thread that trains

    def __init__(self, place: Place, batch_size: int, steps: int, epochs: int, schedule: Callable[[Any], Any]) -> None:
        super().__init__()
        self.place = place
        self.batch_size, self.steps, self.epochs = batch_size, steps, epochs
        self.schedule = schedule
        self.loss = math.nan
        self.epoch_start = 0.0
        self.rate = Rate()
        self.meter: Meter | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock and the bar."""
        self.epoch_start = time.perf_counter()
        self.meter = Meter(f"epoch {epoch + 1}/{self.epochs}", self.steps * self.batch_size)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Show the finished steps. After the first validation, the run's time left includes validation and saving."""
        step = self.place.first_step + batch
        done = self.place.epoch * self.steps + step
        if self.meter is not None and batch:
            left = (self.epochs * self.steps - done) / self.rate.of(done)
            self.meter.show(step * self.batch_size, f"loss {self.loss:.4g}, run done in {duration(left)}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keep the loss for the next line."""
        self.loss = (logs or {}).get("loss", math.nan)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Report the pace. This callback comes before validation, so the pace is that of training alone."""
        if self.meter is not None:
            self.meter.close()
        if logs is not None:
            images = (self.steps - self.place.first_step) * self.batch_size
            logs["images_per_second"] = images / (time.perf_counter() - self.epoch_start)
            logs["learning_rate"] = float(self.schedule((epoch + 1) * self.steps))


class Validate(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds AP to `logs` every few epochs and after the last one."""

    def __init__(self, measure: Callable[[], float], every: int, epochs: int) -> None:
        super().__init__()
        self.measure, self.every, self.epochs = measure, every, epochs

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Measure when it is due."""
        if logs is not None and ((epoch + 1) % self.every == 0 or epoch + 1 == self.epochs):
            logs["AP"] = self.measure()


class Save(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `save(finished_epochs, ap)` after every epoch; ap is None if no AP was measured."""

    def __init__(self, save: Callable[[int, float | None], None]) -> None:
        super().__init__()
        self.save = save

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save."""
        self.save(epoch + 1, (logs or {}).get("AP"))


class SaveWithin(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `save(epoch, step)` within an epoch: every `minutes` minutes, and before it stops the run.

    epoch: number of finished epochs. step: number of finished steps of the current epoch. must_stop: called before
    every step; True stops the run. Saving happens before a step, in the training thread, so no variable changes
    meanwhile.
    """

    async_safe = True

    def __init__(
        self, place: Place, save: Callable[[int, int], None], minutes: float, must_stop: Callable[[int], bool]
    ) -> None:
        super().__init__()
        self.place, self.save, self.seconds, self.must_stop = place, save, 60 * minutes, must_stop
        self.last = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """A checkpoint has just been written, or the run has just begun."""
        self.last = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Save when it is time. Raises KeyboardInterrupt when the run is to stop."""
        step = self.place.first_step + batch
        stop = self.must_stop(step)
        if batch and (stop or time.monotonic() - self.last >= self.seconds):
            # On JAX the training step holds the weights, and the variables are empty until a callback reads `model`.
            _ = self.model
            self.save(self.place.epoch, step)
            self.last = time.monotonic()
        if stop:
            raise KeyboardInterrupt


class Record(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the epoch to history, status, TensorBoard and the terminal."""

    def __init__(
        self,
        history: History,
        status: Status,
        board: TensorBoardLog,
        pictures: Callable[[], dict[str, NDArray[np.uint8]]],
        steps: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.history, self.status, self.board, self.pictures = history, status, board, pictures
        self.steps, self.epochs = steps, epochs

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch; add pictures if AP was measured."""
        values = {name: float(value) for name, value in (logs or {}).items()}
        row = {name: f"{value:.6g}" for name, value in values.items()}
        ap = row.pop("AP", "")
        self.history.add({"epoch": epoch + 1, "step": (epoch + 1) * self.steps, **row, "AP": ap})
        self.status.add("RUNNING", f"epoch {epoch + 1}/{self.epochs}", epoch=epoch + 1, kpi=values)
        self.board.add((epoch + 1) * self.steps, values, self.pictures() if "AP" in values else {})
        measured = f"  AP {values['AP']:.3f}" if "AP" in values else ""
        say(
            f"epoch {epoch + 1}/{self.epochs}  loss {values['loss']:.4g}{measured}"
            f"  {values['images_per_second']:.1f} images/s"
        )
