"""Keras callbacks of a run. They pass what they measure on through `logs`, in the order that `train` lists them."""

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
    """Where a run stands, for all its callbacks. epoch: the one that goes on, from 0. first_step: where it began."""

    epoch: int = 0
    first_step: int = 0


class BeginEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the place. Comes before those who look at it.

    first_step: of every epoch of this `fit`. Where that isn't 0, the means of the metrics go on from what they are now:
    Keras sets them to zero when an epoch begins, just before it calls this.
    """

    def __init__(self, place: Place, metrics: Sequence[Any], first_step: int) -> None:
        super().__init__()
        self.place, self.metrics, self.first_step = place, metrics, first_step
        self.values = [[np.asarray(variable) for variable in metric.variables] for metric in metrics]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the place, and bring the means back."""
        self.place.epoch, self.place.first_step = epoch, self.first_step
        if self.first_step:
            for metric, values in zip(self.metrics, self.values, strict=True):
                for variable, value in zip(metric.variables, values, strict=True):
                    variable.assign(value)


class StopOnNaN(keras.callbacks.Callback):  # type: ignore[misc]
    """Raises BpnetError at the first step whose loss is not finite, before a checkpoint could be overwritten."""

    # Keras then reads the loss in a thread of its own, and the next step doesn't wait for the device.
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
    """Adds images_per_second and learning_rate to `logs`; shows images/s and the time left of the epoch and the run.

    A bar on a terminal, a line now and then elsewhere.
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
        """Show the steps that are done. The run's time left has validation and saving in it, once there was one."""
        step = self.place.first_step + batch
        done = self.place.epoch * self.steps + step
        if self.meter is not None and batch:
            left = (self.epochs * self.steps - done) / self.rate.of(done)
            self.meter.show(step * self.batch_size, f"loss {self.loss:.4g}, run done in {duration(left)}")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keep the loss for the next line."""
        self.loss = (logs or {}).get("loss", math.nan)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Report the pace of training alone: this comes before validation."""
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
    """Calls `save(finished_epochs, ap)` after every epoch; ap is None where none was measured."""

    def __init__(self, save: Callable[[int, float | None], None]) -> None:
        super().__init__()
        self.save = save

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save."""
        self.save(epoch + 1, (logs or {}).get("AP"))


class SaveWithin(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `save(epoch, step)` within epochs, now and then and when the run is told to stop; then it stops.

    step: finished ones of the epoch. must_stop: asked before every step. Works before a step, in the thread that
    trains: nothing changes meanwhile.
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
            # On JAX the training step has the weights and the variables are empty, until a callback asks for its model.
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
        """Write; pictures go with a measured AP."""
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
