"""A training run, from the spec to the files in its results folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from bpnet_cli.build import metadata_of, network_of, skeleton_of, training_loader_of
from bpnet_cli.data.pipeline import SampleLoader, make_pipeline
from bpnet_cli.errors import BpnetError, SpecError, hinting
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate, load_labelled
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.load import predictor_of_network
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.log import say
from bpnet_cli.models.backbones import STRIDE
from bpnet_cli.models.bodyposenet import is_backbone_layer
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.models.model_file import save_network
from bpnet_cli.models.weights import layers_left_out, load_pretrained
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training import callbacks
from bpnet_cli.training.checkpoint import Progress, list_checkpoints, newest_epoch, restore_newest, save_checkpoint
from bpnet_cli.training.focal import Focal
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.freeze import freeze
from bpnet_cli.training.loss import LossWeights, TargetShape, TrainingModel
from bpnet_cli.training.optimizer import Freeze, make_optimizer
from bpnet_cli.training.pictures import pictures_of
from bpnet_cli.training.records import History, Status, TensorBoardLog
from bpnet_cli.training.resume import check_same_run
from bpnet_cli.training.schedule import make_schedule
from bpnet_cli.training.teacher import make_teacher


def train(
    spec: ExperimentSpec,
    results_dir: str | Path,
    resume: bool = True,
    watchers: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Train by a spec and return the path of the best model.

    Rerunning with the same folder goes on after the last finished epoch; `resume=False` deletes the earlier run first.
    watchers: more callbacks, called after the run's own.
    Raises BpnetError before anything is written when the spec, the data or the folder's earlier run don't allow it.
    """
    folder = RunFolder(Path(results_dir))
    check_folder(folder.root)
    folder.check_own()
    if resume:
        check_same_run(folder.spec, spec, bool(list_checkpoints(folder.checkpoints)))
        done = newest_epoch(folder.checkpoints)
        if done >= spec.training.epochs:
            say(f"already trained for {done} epochs; raise training.epochs to go on")
            return folder.best
    skeleton = skeleton_of(spec)
    loader = replace(training_loader_of(spec, skeleton), teacher=make_teacher(spec, skeleton))
    validation = spec.dataset.validation_sources
    with hinting("dataset.validation; paths are relative to the working directory"):
        labelled = load_labelled(validation, skeleton) if validation else None
    _set_up_keras(spec)
    network = network_of(spec, skeleton)
    fixed = freeze(network, spec.training.frozen_layers)
    filled = load_pretrained(network, spec.model.backbone, spec.model.pretrained)
    thawed_later = _layers_to_freeze(spec, filled)
    if not resume:
        folder.clear()
    status = Status(folder.status)
    write_text(folder.spec, dump_spec(spec))
    fresh = layers_left_out(network, filled) if filled else []
    counts = {"samples": len(loader.samples), "parameters": network.count_params()}
    status.add("STARTED", f"training {spec.name}", **counts, **({"layers_not_pretrained": fresh} if filled else {}))
    say(f"{spec.name}: {len(loader.samples)} samples, {network.count_params():,} parameters -> {folder.root}")
    if fixed:
        say(f"frozen: {fixed} layers keep their weights")
    if filled:
        say(f"pretrained: {len(filled)} layers from {spec.model.pretrained}; not filled: {_listed(fresh)}")
    run = _Run(spec, folder, skeleton, loader, labelled, network, metadata_of(spec, skeleton), status, thawed_later)
    try:
        run.fit(watchers)
    except BpnetError as error:
        status.add("FAILURE", str(error))
        raise
    except KeyboardInterrupt:
        status.add("INTERRUPTED", "rerun the same command to go on")
        say(f"interrupted; rerun the same command to go on after epoch {run.progress.epoch}")
        raise
    finally:
        keras.config.set_dtype_policy("float32")
    status.add("SUCCESS", "training finished", epoch=run.progress.epoch, kpi={"AP": run.progress.best_ap})
    return folder.best


class _Run:
    """One process's share of a run: the parts that `fit` and its callbacks work on."""

    def __init__(
        self,
        spec: ExperimentSpec,
        folder: RunFolder,
        skeleton: Any,
        loader: SampleLoader,
        labelled: LabelledSet | None,
        network: Any,
        metadata: ModelMetadata,
        status: Status,
        thawed_later: frozenset[str],
    ) -> None:
        self.spec, self.folder, self.loader, self.labelled = spec, folder, loader, labelled
        self.network, self.metadata, self.status = network, metadata, status
        training = spec.training
        self.steps = training.steps_per_epoch or max(1, len(loader.samples) // training.batch_size)
        self.schedule = make_schedule(spec.optimizer, training.epochs * self.steps)
        self.optimizer = make_optimizer(
            spec.optimizer,
            self.schedule,
            accumulate=training.gradient_accumulation,
            freeze=Freeze(thawed_later, training.freeze_backbone_epochs * self.steps),
            ema_momentum=training.ema_momentum,
        )
        targets = TargetShape(STRIDE, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
        loss, share = spec.loss, spec.distillation.share
        focal = Focal(**loss.focal.model_dump()) if loss.focal else None
        weights = LossWeights(loss.heatmap_weight, loss.paf_weight, loss.l1, loss.l2, share, focal)
        self.model = TrainingModel(network, skeleton, targets, weights, loader.teacher is not None)
        self.saved_network = _network_to_save(network, spec, skeleton)
        self.progress = Progress()

    def fit(self, watchers: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Restore the newest checkpoint, if any, and train the epochs that are left."""
        training = self.spec.training
        self.optimizer.build(self.network.trainable_variables)
        self.model.compile(optimizer=self.optimizer, jit_compile=training.jit_compile)
        self.progress = restore_newest(self.folder.checkpoints, self.network, self.optimizer) or self.progress
        done = self.progress.epoch
        if done:
            say(f"going on after epoch {done}")
        board = TensorBoardLog(self.folder.root / "tensorboard")
        start = done * self.steps * training.batch_size
        batches = make_pipeline(self.loader, training.batch_size, start=start, workers=training.workers)
        try:
            self.model.fit(
                batches,
                epochs=training.epochs,
                initial_epoch=done,
                steps_per_epoch=self.steps,
                callbacks=[*self._callbacks(board), *watchers],
                shuffle=False,  # the stream of samples is shuffled already
                verbose=0,
            )
        except Exception:
            # tf.data reports a worker's error as text of its own; the user needs the worker's message.
            if self.loader.failures:
                raise self.loader.failures[0] from None
            raise
        finally:
            board.close()

    def _callbacks(self, board: TensorBoardLog) -> list[Any]:
        training = self.spec.training
        history = History(self.folder.root / "history.csv", self.progress.epoch)
        predictor = predictor_of_network(self.saved_network, self.metadata, self.spec)
        listed: list[Any] = [
            callbacks.StopOnNaN(),
            callbacks.Pace(training.batch_size, self.steps, training.epochs, self.schedule),
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
        if self.saved_network is self.network:
            return
        weights = self.network.get_weights()
        if self.spec.training.ema_momentum is not None:
            self.optimizer.finalize_variable_values(self.network.trainable_variables)
        self.saved_network.set_weights(self.network.get_weights())
        self.network.set_weights(weights)

    def _save(self, epoch: int, ap: float | None) -> None:
        best = self.progress.best_ap
        better = self.labelled is None or (ap is not None and (best is None or ap > best))
        if better or not self.folder.best.exists():
            save_network(self.saved_network, self.metadata, self.folder.best)
        save_network(self.saved_network, self.metadata, self.folder.last)
        self.progress = Progress(epoch, ap if better and ap is not None else best)
        keep = self.spec.training.keep_checkpoints
        save_checkpoint(self.folder.checkpoints, self.progress, self.network, self.optimizer, keep)


def _layers_to_freeze(spec: ExperimentSpec, filled: Sequence[str]) -> frozenset[str]:
    """The backbone's pretrained layers, where the spec freezes them at first. Raises SpecError when there are none."""
    epochs = spec.training.freeze_backbone_epochs
    frozen = frozenset(name for name in filled if epochs and is_backbone_layer(name))
    if epochs and not frozen:
        raise SpecError(
            f"training.freeze_backbone_epochs: {spec.model.pretrained} fills no layer of backbone {spec.model.backbone}"
        )
    if frozen:
        say(f"frozen until epoch {epochs} is over: {len(frozen)} layers of the backbone")
    return frozen


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more (status.jsonl lists all)" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _set_up_keras(spec: ExperimentSpec) -> None:
    """Seed, precision and determinism of this process."""
    keras.utils.set_random_seed(spec.training.seed)
    keras.config.set_dtype_policy(spec.training.precision)
    if spec.training.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _network_to_save(network: Any, spec: ExperimentSpec, skeleton: Any) -> Any:
    """The network itself, or a float32 twin that learns in every layer: files don't tell how they came about.

    The twin also holds the average of the weights, if the spec asks for one.
    """
    training = spec.training
    if training.precision == "float32" and training.ema_momentum is None and not training.frozen_layers:
        return network
    keras.config.set_dtype_policy("float32")
    twin = network_of(spec, skeleton)
    keras.config.set_dtype_policy(spec.training.precision)
    return twin


def _ap_of(predictor: Predictor, labelled: LabelledSet) -> Callable[[], float]:
    return lambda: evaluate(predictor, labelled, "validating").scores.metrics["AP"]
