"""`bpnet benchmark train`: the overhead of training over the bare training step of its network.

Three kinds of work take turns in one process, in blocks of steps. So a busy machine slows all of them equally.
- The bare Keras step: the same network, loss and optimizer, compiled, always on the same batch in memory.
- The steps of `bpnet train`, with its pipeline and callbacks.
- The pipeline alone, without training.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.build import skeleton_of, training_loader_of
from bpnet_cli.data.pipeline import make_pipeline
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.training.train import train

# Steps of a block that are timed, and steps before them that are not. These use up the batches that the pipeline has
# prepared during the turns of the others.
BLOCK, SKIPPED = 4, 3
# Shortest block of the bare step and of the pipeline alone, seconds. The pipeline alone is fast, and some batches are
# always prepared.
SHORTEST = 0.2
BARE, OURS, INPUT = "bare step", "bpnet train", "input alone"


def benchmark_train(spec: ExperimentSpec, steps: int) -> dict[str, Any]:
    """Milliseconds per step of each kind of work over at least `steps` steps, and two conclusions from them.

    ms_per_step, cpu_ms_per_step: wall time, and CPU time of all threads of this process. Other work on the machine
    hardly changes the CPU time.
    overhead, cpu_overhead: time of a step of `bpnet train` / time of the bare step, in wall time and in CPU time.
    bottleneck: which of the two alone takes longer, the bare step ("compute") or the pipeline ("input").
    Every figure is the median of the blocks.
    There is no validation, there are no pretrained weights, only one device is used, and no file is kept.
    Raises BpnetError as `train` does.
    """
    rounds = max(1, -(-steps // BLOCK))
    spec = _short_run(spec, rounds * (SKIPPED + BLOCK) + 1)
    turns = _Turns(spec)
    with tempfile.TemporaryDirectory() as directory:
        train(spec, directory, watchers=[turns])
    blocks = {kind: np.array(measured) for kind, measured in turns.blocks.items()}
    wall, cpu = ({kind: float(np.median(block[:, i])) for kind, block in blocks.items()} for i in (0, 1))
    overhead = np.median(blocks[OURS] / blocks[BARE], axis=0)
    batch = spec.training.batch_size
    return {
        "network": f"{spec.model.backbone}, {spec.model.stages} stages",
        "input": f"{spec.model.input_height} x {spec.model.input_width}",
        "batch_size": batch,
        "precision": spec.training.precision,
        "steps": rounds * BLOCK,
        "ms_per_step": {kind: round(1e3 * seconds, 2) for kind, seconds in wall.items()},
        "cpu_ms_per_step": {kind: round(1e3 * seconds, 2) for kind, seconds in cpu.items()},
        "images_per_second": {kind: round(batch / seconds, 1) for kind, seconds in wall.items()},
        "overhead": round(float(overhead[0]), 3),
        "cpu_overhead": round(float(overhead[1]), 3),
        "bottleneck": "compute" if wall[BARE] >= wall[INPUT] else "input",
    }


class _Turns(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that times the steps of a run in blocks. After each block, the other kinds of work have a turn.

    blocks: by kind of work, the (seconds, CPU seconds) per step of each block.
    """

    def __init__(self, spec: ExperimentSpec) -> None:
        super().__init__()
        self.spec = spec
        self.blocks: dict[str, list[NDArray[np.float64]]] = {BARE: [], OURS: [], INPUT: []}
        self.start = np.zeros(2)
        self.others: dict[str, Callable[[], object]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepare the other kinds of work."""
        loader = training_loader_of(self.spec, skeleton_of(self.spec))
        training = self.spec.training
        batches = iter(make_pipeline(loader, training.batch_size, workers=training.workers))
        step, batch = _bare_step(self.model), next(batches)
        self.others = {BARE: lambda: step(batch), INPUT: lambda: next(batches)}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Begin or end a block; `batch` steps are finished."""
        place = batch % (SKIPPED + BLOCK)
        if place == SKIPPED:
            self.start = self._clocks()
        if place == 0 and batch:
            self.blocks[OURS].append((self._clocks() - self.start) / BLOCK)
            for kind, work in self.others.items():
                self.blocks[kind].append(self._timed(work))

    def _timed(self, work: Callable[[], object]) -> NDArray[np.float64]:
        for _ in range(SKIPPED):
            work()
        start, done = self._clocks(), 0
        while done < BLOCK or time.perf_counter() - start[0] < SHORTEST:
            work()
            done += 1
        return (self._clocks() - start) / done

    def _clocks(self) -> NDArray[np.float64]:
        """(2,) seconds and CPU seconds, after the device has finished: a step changes the first kernel last."""
        np.asarray(self.model.trainable_variables[0])
        return np.array([time.perf_counter(), time.process_time()])


def _bare_step(model: Any) -> Callable[[Any], Any]:
    """The model's training step on a batch, compiled as in `fit`."""
    import tensorflow as tf

    compiled: Callable[[Any], Any] = tf.function(model.train_step, jit_compile=model.jit_compile)
    return compiled


def _short_run(spec: ExperimentSpec, steps: int) -> ExperimentSpec:
    """The spec with one epoch of `steps` steps, without the keys that cost time outside of the steps."""
    keys = {"epochs": 1, "steps_per_epoch": steps, "freeze_backbone_epochs": 0, "log_images": 0, "distribution": "none"}
    return spec.model_copy(
        update={
            "dataset": spec.dataset.model_copy(update={"validation": None}),
            "model": spec.model.model_copy(update={"pretrained": "none"}),
            "training": spec.training.model_copy(update=keys),
        }
    )
