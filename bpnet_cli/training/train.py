"""A training run, from the spec to the files in its results folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import keras

from bpnet_cli.build import skeleton_of, training_loader_of, with_whole_skeleton
from bpnet_cli.errors import BpnetError, StoppedByUser, hinting
from bpnet_cli.evaluation.evaluate import load_labelled
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.log import say
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training.checkpoint import list_checkpoints, newest_epoch
from bpnet_cli.training.distribution import make_distribution
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.network import Start, make_start
from bpnet_cli.training.records import Status
from bpnet_cli.training.resume import check_same_run
from bpnet_cli.training.run import Run
from bpnet_cli.training.teacher import make_teacher

# Below so many steps in all, a network whose layers all come from a file changes little, and new layers learn nothing.
_FEWEST_STEPS, _FEWEST_STEPS_OF_NEW_LAYERS = 30, 200


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
    spec = with_whole_skeleton(spec)
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
    start = make_start(spec, skeleton, distribution)
    if distribution.leads:
        _prepare_folder(folder, spec, resume)
    distribution.wait("until the folder is prepared")
    status = Status(folder.status if distribution.leads else None)
    _tell_start(status, spec, start, len(loader.samples), folder.root)
    run = Run(spec, folder, skeleton, loader, labelled, start, status, distribution)
    if distribution.leads and (hint := _of_few_steps(spec, start, run.steps)):
        say(hint)
    _fit_and_tell(run, watchers)
    return folder.best


def _prepare_folder(folder: RunFolder, spec: ExperimentSpec, resume: bool) -> None:
    folder.sweep()
    if not resume:
        folder.clear()
    write_text(folder.spec, dump_spec(spec))


def _tell_start(status: Status, spec: ExperimentSpec, start: Start, samples: int, folder: Path) -> None:
    counts: dict[str, Any] = {"samples": samples, "parameters": start.network.count_params()}
    if start.filled:
        counts["layers_not_pretrained"] = start.fresh
    status.add("STARTED", f"training {spec.name}", **counts)
    say(f"{spec.name}: {samples} samples -> {folder}")


def _of_few_steps(spec: ExperimentSpec, start: Start, steps: int) -> str:
    """A line where a run is too short for a network to learn anything; steps: of an epoch."""
    total = spec.training.epochs * steps
    if total >= (_FEWEST_STEPS if start.filled and not start.fresh else _FEWEST_STEPS_OF_NEW_LAYERS):
        return ""
    return (
        f"{total} steps in all ({spec.training.epochs} epochs of {steps}) are too few to learn much: raise"
        " training.epochs or training.steps_per_epoch, or lower training.batch_size"
    )


def _fit_and_tell(run: Run, watchers: Sequence[keras.callbacks.Callback]) -> None:
    """Train, and let status and terminal know how it ended. Every error goes on its way."""
    try:
        run.fit(watchers)
        run.distribution.finish()
    except Exception as error:
        # Also at a bug, or without memory: programs that watch the run must not take it for one that goes on. Where the
        # disk is full the status can't be told either; the error itself is what counts.
        kind = "" if isinstance(error, BpnetError) else f"{type(error).__name__}: "
        with suppress(BpnetError):
            run.status.add("FAILURE", f"{kind}{error}")
        raise
    except KeyboardInterrupt:
        epoch, step = run.progress.epoch, run.progress.step
        run.status.add("INTERRUPTED", "rerun the same command to go on", epoch=epoch, step=step)
        where = f"epoch {epoch}{f', step {step}' if step else ''}"
        say(f"interrupted; rerun the same command to go on after {where}")
        raise StoppedByUser from None
    finally:
        keras.config.set_dtype_policy("float32")
    done = run.progress
    run.status.add("SUCCESS", "training finished", epoch=done.epoch, kpi={"AP": done.best_ap})
    if done.best_epoch:
        say(f"best: AP {done.best_ap:.3f} after epoch {done.best_epoch}")
    elif done.best_epoch == 0:
        say(f"best: AP {done.best_ap:.3f} before training, which no epoch reached; {run.folder.best} has those weights")


def _set_up_keras(spec: ExperimentSpec) -> None:
    """Seed, precision and determinism of this process."""
    keras.utils.set_random_seed(spec.training.seed)
    keras.config.set_dtype_policy(spec.training.precision)
    if spec.training.deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
