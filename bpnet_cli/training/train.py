"""A training run, from the spec to the files in its results folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.build import metadata_of, network_of, photos_of, skeleton_of
from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.pipeline import SampleLoader, make_loader, make_pipeline
from bpnet_cli.data.samples import list_samples
from bpnet_cli.errors import BpnetError, SpecError, hinting
from bpnet_cli.evaluation.evaluate import LabelledSet, evaluate, load_labelled
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.inference.load import predictor_of_network
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.log import say
from bpnet_cli.models.backbones import STRIDE
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.models.model_file import save_network
from bpnet_cli.models.weights import load_pretrained
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training import callbacks
from bpnet_cli.training.checkpoint import Progress, list_checkpoints, newest_epoch, restore_newest, save_checkpoint
from bpnet_cli.training.loss import LossWeights, TargetShape, TrainingModel
from bpnet_cli.training.optimizer import make_optimizer
from bpnet_cli.training.records import History, Status, TensorBoardLog
from bpnet_cli.training.resume import check_same_run
from bpnet_cli.training.schedule import make_schedule


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
        """Where a rerun goes on."""
        return self.root / "checkpoints"

    @property
    def status(self) -> Path:
        """One line per event; every run begins by writing it, so it tells a run's folder from others."""
        return self.root / "status.jsonl"

    def check_own(self) -> None:
        """Raise BpnetError when files of somebody else stand where this run would write."""
        if self.status.exists():
            return
        for path in (self.spec, self.best, self.last, self.root / "history.csv"):
            if path.exists():
                raise BpnetError(f"{path}: is there already and not of a training run; use another -r folder")

    def clear(self) -> None:
        """Delete what an earlier run left, and nothing else."""
        files = [self.spec, self.best, self.last, self.root / "history.csv", self.status]
        files += list_checkpoints(self.checkpoints)
        files += (self.root / "tensorboard").glob("events.out.tfevents.*")
        for path in files:
            path.unlink(missing_ok=True)


def train(spec: ExperimentSpec, results_dir: str | Path, resume: bool = True) -> Path:
    """Train by a spec and return the path of the best model.

    Rerunning with the same folder goes on after the last finished epoch; `resume=False` deletes the earlier run first.
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
    with hinting("dataset.train; paths are relative to the working directory"):
        loader = _make_training_loader(spec, skeleton)
    validation = spec.dataset.validation_sources
    with hinting("dataset.validation; paths are relative to the working directory"):
        labelled = load_labelled(validation, skeleton) if validation else None
    _set_up_keras(spec)
    network = network_of(spec, skeleton)
    filled = load_pretrained(network, spec.model.backbone, spec.model.pretrained)
    if not resume:
        folder.clear()
    status = Status(folder.status)
    write_text(folder.spec, dump_spec(spec))
    status.add("STARTED", f"training {spec.name}", samples=len(loader.samples), parameters=network.count_params())
    say(f"{spec.name}: {len(loader.samples)} samples, {network.count_params():,} parameters -> {folder.root}")
    if filled:
        say(f"pretrained: {len(filled)} layers from {spec.model.pretrained}")
    run = _Run(spec, folder, skeleton, loader, labelled, network, metadata_of(spec, skeleton), status)
    try:
        run.fit()
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
    ) -> None:
        self.spec, self.folder, self.loader, self.labelled = spec, folder, loader, labelled
        self.network, self.metadata, self.status = network, metadata, status
        training = spec.training
        self.steps = training.steps_per_epoch or max(1, len(loader.samples) // training.batch_size)
        self.schedule = make_schedule(spec.optimizer, training.epochs * self.steps)
        self.optimizer = make_optimizer(spec.optimizer, self.schedule)
        targets = TargetShape(STRIDE, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
        weights = LossWeights(spec.loss.heatmap_weight, spec.loss.paf_weight, spec.loss.l1, spec.loss.l2)
        self.model = TrainingModel(network, skeleton, targets, weights)
        self.saved_network = _in_float32(network, spec, skeleton)
        self.progress = Progress()

    def fit(self) -> None:
        """Restore the newest checkpoint, if any, and train the epochs that are left."""
        training = self.spec.training
        self.optimizer.build(self.network.trainable_variables)
        self.model.compile(optimizer=self.optimizer, jit_compile=False)
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
                callbacks=self._callbacks(board),
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
        predictor = predictor_of_network(self.network, self.metadata, self.spec)
        listed: list[Any] = [
            callbacks.StopOnNaN(),
            callbacks.Pace(training.batch_size, self.steps, training.epochs, self.schedule),
        ]
        if self.labelled is not None:
            measure = _ap_of(predictor, self.labelled)
            listed.append(callbacks.Validate(measure, training.validate_every_epochs, training.epochs))
        pictures = _pictures_of(predictor, self.labelled, training.log_images)
        listed.append(callbacks.Save(self._save))
        listed.append(callbacks.Record(history, self.status, board, pictures, self.steps, training.epochs))
        return listed

    def _save(self, epoch: int, ap: float | None) -> None:
        best = self.progress.best_ap
        better = self.labelled is None or (ap is not None and (best is None or ap > best))
        if self.saved_network is not self.network:
            self.saved_network.set_weights(self.network.get_weights())
        if better or not self.folder.best.exists():
            save_network(self.saved_network, self.metadata, self.folder.best)
        save_network(self.saved_network, self.metadata, self.folder.last)
        self.progress = Progress(epoch, ap if better and ap is not None else best)
        keep = self.spec.training.keep_checkpoints
        save_checkpoint(self.folder.checkpoints, self.progress, self.network, self.optimizer, keep)


def _make_training_loader(spec: ExperimentSpec, skeleton: Any) -> SampleLoader:
    if not spec.dataset.train_sources:
        raise SpecError("dataset.train: needed for training: {images: FOLDER, annotations: FILE} or {records: GLOB}")
    samples = list_samples(
        photos_of(spec.dataset.train_sources, skeleton),
        crop=spec.augmentation.crop,
        min_keypoints=spec.dataset.min_keypoints,
        min_area_px=spec.dataset.min_area_px,
        min_distance_ratio=spec.dataset.min_distance_ratio,
    )
    return make_loader(
        samples,
        skeleton,
        Augmentation(**spec.augmentation.model_dump()),
        height=spec.model.input_height,
        width=spec.model.input_width,
        stride=STRIDE,
        seed=spec.training.seed,
    )


def _set_up_keras(spec: ExperimentSpec) -> None:
    """Seed, precision and determinism of this process."""
    keras.utils.set_random_seed(spec.training.seed)
    keras.config.set_dtype_policy(spec.training.precision)
    if spec.training.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _in_float32(network: Any, spec: ExperimentSpec, skeleton: Any) -> Any:
    """The network itself, or for mixed precision a float32 twin to save: files don't tell how they came about."""
    if spec.training.precision == "float32":
        return network
    keras.config.set_dtype_policy("float32")
    twin = network_of(spec, skeleton)
    keras.config.set_dtype_policy(spec.training.precision)
    return twin


def _ap_of(predictor: Predictor, labelled: LabelledSet) -> Callable[[], float]:
    return lambda: evaluate(predictor, labelled, "validating").scores.metrics["AP"]


def _pictures_of(
    predictor: Predictor, labelled: LabelledSet | None, count: int
) -> Callable[[], dict[str, NDArray[np.uint8]]]:
    """Draws what the network makes of the first validation photos: people, heatmaps, PAFs."""
    files = labelled.files if labelled else {}
    names = {i: labelled.truth.images[i]["file_name"] for i in sorted(files)[:count]} if labelled else {}
    skeleton = predictor.backend.metadata.skeleton

    def draw() -> dict[str, NDArray[np.uint8]]:
        pictures = {}
        for image_id, name in names.items():
            photo = files[image_id].rgb()
            canvas, _ = predictor.prepare(photo, predictor.scales[0])
            heatmaps, pafs, matrix = predictor.maps(photo)
            persons = predictor.decode(heatmaps, pafs, matrix)
            pictures[f"{name}/people"] = draw_persons(photo, persons, skeleton)
            pictures[f"{name}/maps"] = draw_maps(canvas, heatmaps, pafs)
        return pictures

    return draw
