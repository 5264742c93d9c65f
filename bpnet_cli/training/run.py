"""The loop of a run, from its first step to its last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from bpnet_cli.data.pipeline import SampleLoader, make_pipeline
from bpnet_cli.data.threads import thread_batches
from bpnet_cli.errors import BpnetError
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.log import say
from bpnet_cli.plan import TrainingPlan
from bpnet_cli.training import callbacks
from bpnet_cli.training.averaging import WeightAverage
from bpnet_cli.training.checkpoint import Progress, State
from bpnet_cli.training.distribution import Distribution
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.interrupt import StopRequest
from bpnet_cli.training.keeping import Keeper
from bpnet_cli.training.loss import TrainingModel
from bpnet_cli.training.network import Start
from bpnet_cli.training.optimizer import Freeze, make_optimizer
from bpnet_cli.training.pictures import pictures_of
from bpnet_cli.training.records import History, Status, TensorBoardLog
from bpnet_cli.training.schedule import make_schedule

_WAIT_SECONDS = 0.0005


@dataclass(frozen=True, eq=False)
class Validation:
    """Validation, on the leading process only. predictor: of the saved network. labelled: photos, or None."""

    predictor: Predictor
    labelled: LabelledSet | None


class Run:
    """The part of a run in one process: everything that `fit` and its callbacks need.

    validation: None if another process leads.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        folder: RunFolder,
        loader: SampleLoader,
        start: Start,
        validation: Validation | None,
        status: Status,
        distribution: Distribution,
    ) -> None:
        self.plan, self.loop, self.folder, self.loader = plan, plan.loop, folder, loader
        self.start, self.validation, self.status, self.distribution = start, validation, status, distribution
        self.labelled = validation.labelled if validation else None
        one_pass = len(loader.samples) // self.loop.batch_size
        self.steps = self.loop.steps_per_epoch or max(self.loop.min_steps_per_epoch, one_pass)
        self.schedule = make_schedule(plan.optimizer, self.loop.epochs * self.steps)
        self.model = self._make_model()
        # For float16, Keras wraps the optimizer in one that scales the loss. The scale is state too, so the checkpoint
        # needs the wrapper.
        self.keeper = Keeper(
            folder,
            start,
            State(start.network, self.model.optimizer, self.model.metrics, self.model.average),
            steps=self.steps,
            checkpoints=self.loop.keep_checkpoints,
            leads=distribution.leads,
            measured=self.labelled is not None,
        )
        self.place = callbacks.Place()
        self.stop = StopRequest()

    def _make_model(self) -> TrainingModel:
        """The compiled model with a built optimizer, on all devices."""
        plan, loop, network = self.plan, self.loop, self.start.network
        with self.distribution.scope():
            average = None if loop.ema_momentum is None else WeightAverage(network, loop.ema_momentum)
            model = TrainingModel(
                network, plan.skeleton, plan.targets, plan.loss, self.loader.teacher is not None, average
            )
            optimizer = make_optimizer(
                plan.optimizer,
                self.schedule,
                accumulate=loop.gradient_accumulation,
                freeze=Freeze(self.start.thawed_later, plan.start.frozen_epochs * self.steps),
            )
            # Without jit_compile, JAX would run a step operation by operation, and on each device alone.
            model.compile(optimizer=optimizer, jit_compile=loop.jit_compile or keras.backend.backend() == "jax")
            model.optimizer.build(network.trainable_variables)
        return model

    @property
    def progress(self) -> Progress:
        """How far the run is, by its last checkpoint."""
        return self.keeper.progress

    def fit(self, watchers: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Restore the newest checkpoint, if any, and train the rest of the run. Raises KeyboardInterrupt if stopped."""
        with self.distribution.scope(), self.distribution.noticing_lost_hosts():
            self._fit(watchers)

    def _fit(self, watchers: Sequence[keras.callbacks.Callback]) -> None:
        done = self.keeper.restore()
        epoch, step = done.epoch, done.step
        self.distribution.check_agreed(epoch * self.steps + step, "finished steps")
        if not (epoch or step):
            self._measure_start()
        board = TensorBoardLog(self.folder.root / "tensorboard") if self.distribution.leads else None
        if board:
            say("compiling the training step")
        try:
            with self.stop.listening():
                listed = [*self._callbacks(board), *watchers]
                if step:
                    self._fit_epochs(epoch, epoch + 1, step, listed)
                    epoch += 1
                self._fit_epochs(epoch, self.loop.epochs, 0, listed)
        except KeyboardInterrupt:
            if self.loader.failures and not self.stop.made:
                raise self._failure() from None
            self.loader.failures.append(BpnetError("stopped"))  # stops the workers, which would outlive the process
            raise
        except Exception:
            # tf.data reports a worker's error as text of its own; the user needs the worker's message.
            # No checkpoint here: TensorFlow may have done the part of the step that needs no sample.
            if self.loader.failures:
                raise self._failure() from None
            raise
        finally:
            if board:
                board.close()

    def _wait_for_samples(self, step: int) -> None:
        """Wait until no worker is loading the samples of a step any more; the step would wait for them anyway."""
        offset, _ = self.distribution.slice_of(self.loop.batch_size)
        position = (self.place.epoch * self.steps + step) * self.loop.batch_size + offset
        while position in self.loader.in_work and not self.stop.made:
            time.sleep(_WAIT_SECONDS)

    def _failure(self) -> BpnetError:
        """The error of a sample, with what is left of the run."""
        error, kept = self.loader.failures[0], self.progress
        if not (kept.epoch or kept.step):
            return error
        where = f"epoch {kept.epoch}, step {kept.step}"
        return BpnetError(f"{error}; mend it, and the same command goes on after {where}")

    def _measure_start(self) -> None:
        """Measure AP before the first step if all weights come from a file."""
        if self.validation is None or self.labelled is None or not self.start.filled or self.start.fresh:
            return
        ap = self.keeper.keep_start(_ap_of(self.validation.predictor, self.labelled))
        self.status.add("RUNNING", "before training", epoch=0, kpi={"AP": ap})
        say(f"before training: AP {ap:.3f}")

    def _fit_epochs(self, first: int, last: int, step: int, listed: list[Any]) -> None:
        """Train epochs first .. last - 1. The first epoch begins at `step`; the metrics keep their values."""
        if first >= last:
            return
        batch = self.loop.batch_size
        offset, length = self.distribution.slice_of(batch)
        position = (first * self.steps + step) * batch + offset
        # tf.data needs TensorFlow, so other backends use threads.
        feed = make_pipeline if keras.backend.backend() == "tensorflow" else thread_batches
        self.model.fit(
            feed(self.loader, length, start=position, step=batch, workers=self.loop.workers),
            epochs=last,
            initial_epoch=first,
            steps_per_epoch=self.steps - step,
            callbacks=[callbacks.BeginEpoch(self.place, self.model.metrics, step), *listed],
            shuffle=False,  # the stream of samples is shuffled already
            verbose=0,
        )

    def _callbacks(self, board: TensorBoardLog | None) -> list[Any]:
        """The callbacks in their order. If another process leads, only callbacks that keep all at the same step."""
        loop, keeper, place = self.loop, self.keeper, self.place

        def must_stop(step: int) -> bool:
            # Where a sample can't be read, the run stops here, because here a checkpoint can be written.
            self._wait_for_samples(step)
            return self.distribution.any(self.stop.made or bool(self.loader.failures), step)

        listed: list[Any] = [callbacks.StopOnNaN(place)]
        if board:
            listed.append(callbacks.Pace(place, loop.batch_size, self.steps, loop.epochs, self.schedule))
        listed.append(callbacks.SaveWithin(place, keeper.save_within, loop.checkpoint_minutes, must_stop))
        listed.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: keeper.update_saved()))
        if self.validation and self.labelled is not None:
            measure = _ap_of(self.validation.predictor, self.labelled)
            listed.append(callbacks.Validate(measure, loop.validate_every_epochs, loop.epochs))
        if board and self.validation:
            history = History(self.folder.root / "history.csv", self.progress.epoch)
            pictures = pictures_of(self.validation.predictor, self.labelled, loop.log_images, self.plan.targets)
            listed.append(callbacks.Record(history, self.status, board, pictures, self.steps, loop.epochs))
        # Last: the row of an epoch without a checkpoint is dropped and made again, a missing row would stay missing.
        listed.append(callbacks.Save(keeper.save_epoch))
        return listed


def _ap_of(predictor: Predictor, labelled: LabelledSet) -> Callable[[], float]:
    return lambda: evaluate(predictor, labelled, "validating").scores.metrics["AP"]
