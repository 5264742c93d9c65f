"""What goes on between the first step of a run and its last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from bpnet_cli.data.pipeline import SampleLoader, make_pipeline
from bpnet_cli.data.threads import thread_batches
from bpnet_cli.errors import BpnetError
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate
from bpnet_cli.inference.load import predictor_of_network
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.log import say
from bpnet_cli.models.model_file import save_network
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.strides import STRIDE
from bpnet_cli.training import callbacks
from bpnet_cli.training.averaging import WeightAverage
from bpnet_cli.training.checkpoint import Progress, State, restore_newest, save_checkpoint
from bpnet_cli.training.distribution import Distribution
from bpnet_cli.training.focal import Focal
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.interrupt import StopRequest
from bpnet_cli.training.loss import LossWeights, TargetShape, TrainingModel
from bpnet_cli.training.network import Start
from bpnet_cli.training.optimizer import Freeze, make_optimizer
from bpnet_cli.training.pictures import pictures_of
from bpnet_cli.training.records import History, Status, TensorBoardLog
from bpnet_cli.training.schedule import make_schedule


class Run:
    """One process's share of a run: the parts that `fit` and its callbacks work on."""

    def __init__(
        self,
        spec: ExperimentSpec,
        folder: RunFolder,
        skeleton: Skeleton,
        loader: SampleLoader,
        labelled: LabelledSet | None,
        start: Start,
        status: Status,
        distribution: Distribution,
    ) -> None:
        self.spec, self.folder, self.loader, self.labelled = spec, folder, loader, labelled
        self.start, self.status, self.distribution = start, status, distribution
        training = spec.training
        self.steps = training.steps_per_epoch or max(1, len(loader.samples) // training.batch_size)
        self.schedule = make_schedule(spec.optimizer, training.epochs * self.steps)
        with distribution.scope():
            self.optimizer = make_optimizer(
                spec.optimizer,
                self.schedule,
                accumulate=training.gradient_accumulation,
                freeze=Freeze(start.thawed_later, training.freeze_backbone_epochs * self.steps),
            )
            momentum = training.ema_momentum
            self.average = None if momentum is None else WeightAverage(start.network, momentum)
        targets = TargetShape(STRIDE, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
        loss, share = spec.loss, spec.distillation.share
        focal = Focal(**loss.focal.model_dump()) if loss.focal else None
        weights = LossWeights(loss.heatmap_weight, loss.paf_weight, loss.l1, loss.l2, share, focal)
        with distribution.scope():
            self.model = TrainingModel(
                start.network, skeleton, targets, weights, loader.teacher is not None, self.average
            )
        self.progress = Progress()
        self.stop = StopRequest()

    def fit(self, watchers: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Restore the newest checkpoint, if any, and train what is left. Raises KeyboardInterrupt when told to stop."""
        with self.distribution.scope(), self.distribution.noticing_lost_hosts():
            self._fit(watchers)

    def _fit(self, watchers: Sequence[keras.callbacks.Callback]) -> None:
        # Without it, JAX would run a step operation by operation, and on each device alone.
        jit_compile = self.spec.training.jit_compile or keras.backend.backend() == "jax"
        self.model.compile(optimizer=self.optimizer, jit_compile=jit_compile)
        self.model.optimizer.build(self.start.network.trainable_variables)
        self.progress = restore_newest(self.folder.checkpoints, self._state()) or self.progress
        epoch, step = self.progress.epoch, self.progress.step
        if epoch or step:
            self._check_step(step)
            say(f"going on after epoch {epoch}{f', step {step}' if step else ''}")
        self.distribution.check_agreed(epoch * self.steps + step, "finished steps")
        if not (epoch or step):
            self._measure_start()
        board = TensorBoardLog(self.folder.root / "tensorboard") if self.distribution.leads else None
        try:
            with self.stop.listening():
                listed = [*(self._callbacks(board) if board else self._follower_callbacks()), *watchers]
                if step:
                    self._fit_epochs(epoch, epoch + 1, step, listed)
                    epoch += 1
                self._fit_epochs(epoch, self.spec.training.epochs, 0, listed)
        except KeyboardInterrupt:
            self.loader.failures.append(BpnetError("stopped"))  # the workers stop too, or would outlive the process
            raise
        except Exception:
            # tf.data reports a worker's error as text of its own; the user needs the worker's message.
            if self.loader.failures:
                raise self.loader.failures[0] from None
            raise
        finally:
            if board:
                board.close()

    def _check_step(self, step: int) -> None:
        """Raise BpnetError where an epoch now has fewer steps than the checkpoint has done of it."""
        if step and step >= self.steps:
            raise BpnetError(
                f"{self.folder.checkpoints}: the newest checkpoint has done {step} steps of its epoch, but an epoch"
                f" now has {self.steps}: are there fewer photos? Use another -r folder or --no-resume"
            )

    def _measure_start(self) -> None:
        """AP before the first step, where all weights come from a file; until an epoch beats it they are the best."""
        start = self.start
        if self.labelled is None or not start.filled or start.fresh:
            return
        if start.saved is not start.network:
            start.saved.set_weights(start.network.get_weights())
        ap = _ap_of(self._predictor(), self.labelled)()
        save_network(start.saved, start.metadata, self.folder.best)
        self.progress = Progress(best_ap=ap, best_epoch=0)
        self.status.add("RUNNING", "before training", epoch=0, kpi={"AP": ap})
        say(f"before training: AP {ap:.3f}")

    def _predictor(self) -> Predictor:
        return predictor_of_network(self.start.saved, self.start.metadata, self.spec)

    def _fit_epochs(self, first: int, last: int, step: int, listed: list[Any]) -> None:
        """Train epochs first .. last - 1, the first one from `step` on, with the metrics as they are."""
        if first >= last:
            return
        batch = self.spec.training.batch_size
        offset, length = self.distribution.slice_of(batch)
        position = (first * self.steps + step) * batch + offset
        # tf.data is TensorFlow's own; the other backends do without it.
        feed = make_pipeline if keras.backend.backend() == "tensorflow" else thread_batches
        resumed = [callbacks.GoOnWithinEpoch(self.model.metrics, step, listed)] if step else []
        self.model.fit(
            feed(self.loader, length, start=position, step=batch, workers=self.spec.training.workers),
            epochs=last,
            initial_epoch=first,
            steps_per_epoch=self.steps - step,
            callbacks=[*resumed, *listed],
            shuffle=False,  # the stream of samples is shuffled already
            verbose=0,
        )

    def _state(self) -> State:
        # For float16 Keras wraps the optimizer in one that scales the loss, whose scale is a state as well.
        return State(self.start.network, self.model.optimizer, self.model.metrics, self.average)

    def _follower_callbacks(self) -> list[Any]:
        """On the hosts that don't lead: what keeps their progress, and the weights of all hosts, the same."""
        update = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self._update_saved_network())
        return [callbacks.StopOnNaN(), self._save_within_epochs(), update, callbacks.Save(self._save)]

    def _save_within_epochs(self) -> callbacks.SaveWithin:
        def agreed(step: int) -> bool:
            return self.distribution.any(self.stop.made, step)

        return callbacks.SaveWithin(self._save_within, self.spec.training.checkpoint_minutes, agreed)

    def _callbacks(self, board: TensorBoardLog) -> list[Any]:
        training = self.spec.training
        history = History(self.folder.root / "history.csv", self.progress.epoch)
        predictor = self._predictor()
        listed: list[Any] = [
            callbacks.StopOnNaN(),
            callbacks.Pace(training.batch_size, self.steps, training.epochs, self.schedule),
            self._save_within_epochs(),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self._update_saved_network()),
        ]
        if self.labelled is not None:
            measure = _ap_of(predictor, self.labelled)
            listed.append(callbacks.Validate(measure, training.validate_every_epochs, training.epochs))
        pictures = pictures_of(predictor, self.labelled, training.log_images, self.model.targets)
        listed.append(callbacks.Save(self._save))
        listed.append(callbacks.Record(history, self.status, board, pictures, self.steps, training.epochs))
        return listed

    def _update_saved_network(self) -> None:
        """Bring the network that is measured and saved up to date."""
        network, saved = self.start.network, self.start.saved
        if saved is network:
            return
        saved.set_weights(self.average.weights_of(network) if self.average else network.get_weights())

    def _save_within(self, epoch: int, step: int) -> None:
        """A checkpoint in the middle of an epoch, unless the loss is no number any more: the run is about to stop."""
        if not self.distribution.leads:
            self.progress = Progress(epoch, None, step)
        elif np.isfinite(self.model.metrics[0].result()):
            self.progress = replace(self.progress, epoch=epoch, step=step)
            self._save_checkpoint()

    def _save(self, epoch: int, ap: float | None) -> None:
        if not self.distribution.leads:
            self.progress = Progress(epoch)
            return
        better = self.labelled is None or (ap is not None and self._beats_best(ap))
        if better or not self.folder.best.exists():
            save_network(self.start.saved, self.start.metadata, self.folder.best)
        save_network(self.start.saved, self.start.metadata, self.folder.last)
        self.progress = replace(self.progress, epoch=epoch, step=0)
        if better and ap is not None:
            self.progress = replace(self.progress, best_ap=ap, best_epoch=epoch)
        self._save_checkpoint()

    def _beats_best(self, ap: float) -> bool:
        best = self.progress.best_ap
        # Trained weights that are as good as the first ones are preferred: they have seen these photos.
        return best is None or ap > best or (ap == best and self.progress.best_epoch == 0)

    def _save_checkpoint(self) -> None:
        keep = self.spec.training.keep_checkpoints
        save_checkpoint(self.folder.checkpoints, self.progress, self._state(), keep)


def _ap_of(predictor: Predictor, labelled: LabelledSet) -> Callable[[], float]:
    return lambda: evaluate(predictor, labelled, "validating").scores.metrics["AP"]
