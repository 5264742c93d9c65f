"""A training run, from the spec to the files in its results folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import keras

from bpnet_cli.build import metadata_of, network_of, skeleton_of, training_loader_of
from bpnet_cli.data.pipeline import SampleLoader, make_pipeline
from bpnet_cli.errors import BpnetError, hinting
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
from bpnet_cli.training.distribution import Distribution, make_distribution
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
    training = spec.training
    distribution = make_distribution(training.distribution, training.batch_size, training.seed)
    if distribution.leads:
        check_folder(folder.root)
    folder.check_own()
    if resume:
        check_same_run(folder.spec, spec, bool(list_checkpoints(folder.checkpoints)))
        done = newest_epoch(folder.checkpoints)
        if done >= spec.training.epochs:
            say(f"already trained for {done} epochs; raise training.epochs to go on")
            distribution.finish()
            return folder.best
    skeleton = skeleton_of(spec)
    loader = replace(training_loader_of(spec, skeleton), teacher=make_teacher(spec, skeleton))
    validation = spec.dataset.validation_sources
    with hinting("dataset.validation; paths are relative to the working directory"):
        labelled = load_labelled(validation, skeleton) if validation and distribution.leads else None
    same = spec.model_dump_json(exclude={"dataset"}) + str(len(loader.samples))  # photos may lie elsewhere
    distribution.check_agreed(crc32(same.encode()), "spec or samples, by checksum")
    _set_up_keras(spec)
    with distribution.scope():
        network = network_of(spec, skeleton)
        distribution.share_statistics(network)
        frozen = freeze(network, spec.training.frozen_layers)
        filled = load_pretrained(network, spec.model.backbone, spec.model.pretrained)
    if distribution.leads and not resume:
        folder.clear()
    status = Status(folder.status if distribution.leads else None)
    if distribution.leads:
        write_text(folder.spec, dump_spec(spec))
    distribution.wait("until the folder is prepared")
    fresh = layers_left_out(network, filled) if filled else []
    counts = {"samples": len(loader.samples), "parameters": network.count_params()}
    status.add("STARTED", f"training {spec.name}", **counts, **({"layers_not_pretrained": fresh} if filled else {}))
    say(f"{spec.name}: {len(loader.samples)} samples, {network.count_params():,} parameters -> {folder.root}")
    if frozen:
        say(f"frozen: {frozen} layers keep their weights")
    if filled:
        say(f"pretrained: {len(filled)} layers from {spec.model.pretrained}; not filled: {_listed(fresh)}")
    run = _Run(
        spec, folder, skeleton, loader, labelled, network, metadata_of(spec, skeleton), status, filled, distribution
    )
    try:
        run.fit(watchers)
        distribution.finish()
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
        pretrained_layers: Sequence[str],
        distribution: Distribution,
    ) -> None:
        self.spec, self.folder, self.loader, self.labelled = spec, folder, loader, labelled
        self.network, self.metadata, self.status = network, metadata, status
        self.distribution = distribution
        training = spec.training
        self.steps = training.steps_per_epoch or max(1, len(loader.samples) // training.batch_size)
        self.schedule = make_schedule(spec.optimizer, training.epochs * self.steps)
        thawed_later = frozenset(name for name in pretrained_layers if is_backbone_layer(name))
        with distribution.scope():
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
        with distribution.scope():
            self.model = TrainingModel(network, skeleton, targets, weights, loader.teacher is not None)
        self.saved_network = _network_to_save(network, spec, skeleton, distribution)
        self.progress = Progress()

    def fit(self, watchers: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Restore the newest checkpoint, if any, and train the epochs that are left."""
        with self.distribution.scope(), self.distribution.noticing_lost_hosts():
            self._fit(watchers)

    def _fit(self, watchers: Sequence[keras.callbacks.Callback]) -> None:
        training = self.spec.training
        self.optimizer.build(self.network.trainable_variables)
        # Without it, JAX would run a step operation by operation, and on each device alone.
        jit_compile = training.jit_compile or keras.backend.backend() == "jax"
        self.model.compile(optimizer=self.optimizer, jit_compile=jit_compile)
        self.distribution.check_agreed(newest_epoch(self.folder.checkpoints), "finished epochs")
        self.progress = restore_newest(self.folder.checkpoints, self.network, self.optimizer) or self.progress
        done = self.progress.epoch
        if done:
            say(f"going on after epoch {done}")
        board = TensorBoardLog(self.folder.root / "tensorboard") if self.distribution.leads else None
        offset, length = self.distribution.slice_of(training.batch_size)
        start = done * self.steps * training.batch_size + offset
        batches = make_pipeline(self.loader, length, start=start, step=training.batch_size, workers=training.workers)
        try:
            self.model.fit(
                batches,
                epochs=training.epochs,
                initial_epoch=done,
                steps_per_epoch=self.steps,
                callbacks=[*(self._callbacks(board) if board else self._follower_callbacks()), *watchers],
                shuffle=False,  # the stream of samples is shuffled already
                verbose=0,
            )
        except Exception:
            # tf.data reports a worker's error as text of its own; the user needs the worker's message.
            if self.loader.failures:
                raise self.loader.failures[0] from None
            raise
        finally:
            if board:
                board.close()

    def _follower_callbacks(self) -> list[Any]:
        """On the hosts that don't lead: what keeps their progress, and the weights of all hosts, the same."""
        update = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self._update_saved_network())
        return [callbacks.StopOnNaN(), update, callbacks.Save(self._save)]

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
        if self.spec.training.ema_momentum is None:
            self.saved_network.set_weights(weights)
            return
        self.optimizer.finalize_variable_values(self.network.trainable_variables)
        self.saved_network.set_weights(self.network.get_weights())
        self.network.set_weights(weights)

    def _save(self, epoch: int, ap: float | None) -> None:
        if not self.distribution.leads:
            self.progress = Progress(epoch)
            return
        best = self.progress.best_ap
        better = self.labelled is None or (ap is not None and (best is None or ap > best))
        if better or not self.folder.best.exists():
            save_network(self.saved_network, self.metadata, self.folder.best)
        save_network(self.saved_network, self.metadata, self.folder.last)
        self.progress = Progress(epoch, ap if better and ap is not None else best)
        keep = self.spec.training.keep_checkpoints
        save_checkpoint(self.folder.checkpoints, self.progress, self.network, self.optimizer, keep)


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


def _network_to_save(network: Any, spec: ExperimentSpec, skeleton: Any, distribution: Distribution) -> Any:
    """The network itself, or a float32 twin that learns in every layer: files don't tell how they came about.

    The twin also holds the average of the weights, if the spec asks for one, and is on one device, where the network
    is on several: a host can't run alone what it shares with others.
    """
    training = spec.training
    plain = training.precision == "float32" and training.ema_momentum is None and not training.frozen_layers
    if plain and distribution.strategy is None:
        return network
    keras.config.set_dtype_policy("float32")
    twin = network_of(spec, skeleton)
    keras.config.set_dtype_policy(spec.training.precision)
    return twin


def _ap_of(predictor: Predictor, labelled: LabelledSet) -> Callable[[], float]:
    return lambda: evaluate(predictor, labelled, "validating").scores.metrics["AP"]
