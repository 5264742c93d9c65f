"""A training run, from the spec to the files in its results folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import keras

from bpnet_cli.build import training_loader_of, with_whole_skeleton
from bpnet_cli.data.pipeline import SampleLoader
from bpnet_cli.data.sizes import size_hint
from bpnet_cli.errors import BpnetError, StoppedByUser, hinting
from bpnet_cli.evaluation.evaluate import LabelledSet, load_labelled
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.load import predictor_of_network
from bpnet_cli.lock import held
from bpnet_cli.log import say
from bpnet_cli.plan import TrainingPlan, plan_of
from bpnet_cli.spec.dump import dump_spec
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.loader import load_spec
from bpnet_cli.storage import local_path
from bpnet_cli.training.checkpoint import list_checkpoints, newest_epoch
from bpnet_cli.training.distribution import Distribution, make_distribution
from bpnet_cli.training.folder import RunFolder
from bpnet_cli.training.network import Start, make_start
from bpnet_cli.training.new_maps import NewMaps
from bpnet_cli.training.records import Status
from bpnet_cli.training.resume import check_same_run
from bpnet_cli.training.run import Run, Validation
from bpnet_cli.training.teacher import make_teacher

# A run with fewer steps gets a hint. The first number is for a network with all layers from a file, which would change
# little; the second is for networks with new layers, which would learn nothing.
_FEWEST_STEPS, _FEWEST_STEPS_OF_NEW_LAYERS = 30, 200


def train(
    spec: ExperimentSpec,
    results_dir: str | Path,
    resume: bool = True,
    watchers: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Train the network of a spec and return the path of the best model.

    A rerun with the same folder continues from the newest checkpoint; `resume=False` deletes the earlier run first.
    watchers: more callbacks, called after the run's own callbacks.
    Raises BpnetError if the spec, the data or the earlier run in the folder don't allow a run, and if another run works
    in the folder; then nothing is written.
    """
    folder = RunFolder(local_path(results_dir))
    spec = with_whole_skeleton(spec)
    training = spec.training
    distribution = make_distribution(
        training.distribution, training.batch_size, training.seed, training.gradient_accumulation
    )
    if not distribution.leads:
        return _train(folder, spec, resume, distribution, watchers)
    check_folder(folder.root)
    with held(folder.root):
        return _train(folder, spec, resume, distribution, watchers)


def _train(
    folder: RunFolder,
    spec: ExperimentSpec,
    resume: bool,
    distribution: Distribution,
    watchers: Sequence[keras.callbacks.Callback],
) -> Path:
    training = spec.training
    folder.check_own()
    if resume and (done := _finished(folder, spec)) >= training.epochs:
        say(f"already trained for {done} epochs; raise training.epochs to go on")
        distribution.finish()
        return folder.best
    plan = plan_of(spec)
    loader, labelled = _load_data(spec, plan, distribution)
    same = spec.model_dump_json(exclude={"dataset"}) + str(len(loader.samples))  # photos may lie elsewhere
    distribution.check_agreed(crc32(same.encode()), "spec or samples, by checksum")
    _set_up_keras(training.seed, training.precision, training.deterministic)
    continues = resume and bool(list_checkpoints(folder.checkpoints))
    # Several hosts would round differently, and so begin with different weights.
    fit = None if continues or distribution.hosts > 1 else NewMaps(loader, plan.skeleton, plan.targets).fit
    start = make_start(plan.start, plan.skeleton, distribution, plan.loop.ema_momentum is not None, fit)
    validation = None
    if distribution.leads:
        _prepare_folder(folder, spec, resume)
        validation = Validation(predictor_of_network(start.saved, start.metadata, spec), labelled)
    distribution.wait("until the folder is prepared")
    status = Status(folder.status if distribution.leads else None)
    run = Run(plan, folder, loader, start, validation, status, distribution)
    _tell_start(status, plan.name, start, len(loader.samples), folder.root)
    if distribution.leads:
        _give_hints(spec, loader, plan, run.steps, start)
    _fit_and_tell(run, watchers)
    return folder.best


def _finished(folder: RunFolder, spec: ExperimentSpec) -> int:
    """Number of finished epochs of the run in the folder. Raises BpnetError if the spec can't continue that run."""
    if list_checkpoints(folder.checkpoints) and folder.spec.is_file():
        before = with_whole_skeleton(load_spec(folder.spec))
        check_same_run(folder.root, before.model_dump(mode="json"), spec.model_dump(mode="json"))
    return newest_epoch(folder.checkpoints)


def _load_data(
    spec: ExperimentSpec, plan: TrainingPlan, distribution: Distribution
) -> tuple[SampleLoader, LabelledSet | None]:
    """The loader of training samples, and the validation photos; None if there are none or another process leads."""
    loader = training_loader_of(spec, plan.skeleton)
    if plan.teacher:
        loader = replace(loader, teacher=make_teacher(plan.teacher, plan.skeleton))
    sources = spec.dataset.validation_sources
    if not sources or not distribution.leads:
        return loader, None
    with hinting("dataset.validation; paths are relative to the working directory"):
        return loader, load_labelled(sources, plan.skeleton)


def _prepare_folder(folder: RunFolder, spec: ExperimentSpec, resume: bool) -> None:
    folder.sweep()
    if not resume:
        folder.clear()
    Status(folder.status).begin()  # before all other files: it shows whose they are
    write_text(folder.spec, dump_spec(spec))


def _tell_start(status: Status, name: str, start: Start, samples: int, folder: Path) -> None:
    counts: dict[str, Any] = {"samples": samples, "parameters": start.network.count_params()}
    if start.filled:
        counts["layers_not_pretrained"] = start.fresh
    status.add("STARTED", f"training {name}", **counts)
    say(f"{name}: {samples} samples -> {folder}")


def _give_hints(spec: ExperimentSpec, loader: SampleLoader, plan: TrainingPlan, steps: int, start: Start) -> None:
    """Print hints about likely causes of a bad result. steps: number per epoch."""
    sizes = (loader.height, loader.width), (spec.inference.input_height, spec.inference.input_width)
    for hint in (_of_few_steps(plan.loop.epochs, steps, start), size_hint(loader.samples, loader.augmentation, *sizes)):
        if hint:
            say(hint)


def _of_few_steps(epochs: int, steps: int, start: Start) -> str:
    """A hint if the run is too short to learn much, else "". steps: number per epoch."""
    total = epochs * steps
    if total >= (_FEWEST_STEPS if start.filled and not start.fresh else _FEWEST_STEPS_OF_NEW_LAYERS):
        return ""
    return (
        f"{total} steps in all ({epochs} epochs of {steps}) are too few to learn much: raise"
        " training.epochs or training.steps_per_epoch, or lower training.batch_size"
    )


def _fit_and_tell(run: Run, watchers: Sequence[keras.callbacks.Callback]) -> None:
    """Train; write the result to the status file and the terminal. All errors are raised again."""
    try:
        run.fit(watchers)
        run.distribution.finish()
    except Exception as error:
        # For all errors, also bugs and lack of memory: else programs that watch the run would believe that it goes on.
        # On a full disk the status can't be written either; then only the error itself matters.
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
        say(
            f"best: AP {done.best_ap:.3f} before training, which no epoch reached; {run.folder.best} has those weights;"
            " to get further: more photos, or a smaller optimizer.learning_rate"
        )


def _set_up_keras(seed: int, precision: str, deterministic: bool) -> None:
    """Seed, precision and determinism of this process."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
