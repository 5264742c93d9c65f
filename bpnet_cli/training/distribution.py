"""Devices and hosts that share the batches of a run. Every device has the whole network and a part of each batch.

One host: TensorFlow's MirroredStrategy, or JAX through `keras.distribution`. Several hosts: JAX only.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import keras
import numpy as np

from bpnet_cli.engine import load_tensorflow
from bpnet_cli.errors import BpnetError, SpecError
from bpnet_cli.log import say

# Environment variables with the addresses, the number of processes and this process's number; the names are Keras'.
ADDRESSES, COUNT, RANK = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
_ASKED_EVERY = 10  # steps


@dataclass(frozen=True)
class Distribution:
    """The devices and processes of a run.

    devices: number on all hosts. hosts: number of processes. rank: number of this process, from 0. strategy:
    TensorFlow's or Keras' object with a `scope()`; None for one device.
    """

    devices: int = 1
    hosts: int = 1
    rank: int = 0
    strategy: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that validates and writes files."""
        return self.rank == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Variables made inside are copied to all devices, and `fit` inside shares its batches among them."""
        return self.strategy.scope() if self.strategy is not None else nullcontext()

    def share_statistics(self, network: Any) -> None:
        """Let batch norm see the whole batch on TensorFlow too, so that the number of devices changes no result."""
        if self.strategy is not None and keras.backend.backend() == "tensorflow":
            for layer in network.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True

    def slice_of(self, batch_size: int) -> tuple[int, int]:
        """Offset and length of this host's part of every batch of `batch_size` samples."""
        length = batch_size // self.hosts
        return self.rank * length, length

    def wait(self, name: str) -> None:
        """Wait until every host has called `wait` with this name. Raises BpnetError if another host stops."""
        if self.hosts > 1:
            from jax.experimental import multihost_utils

            with self.noticing_lost_hosts():
                multihost_utils.sync_global_devices(name)

    def finish(self) -> None:
        """Wait until all hosts are done. A process that ends without this call has failed; it exits without waiting."""
        if self.hosts > 1:
            self.wait("until all are done")
            atexit.unregister(_leave)

    @contextmanager
    def noticing_lost_hosts(self) -> Iterator[None]:
        """Turn what JAX raises, when another host stops in the middle of a step, into a BpnetError."""
        try:
            yield
        except (RuntimeError, ValueError) as error:
            # On CPUs, gloo reports a lost connection as ValueError; any other ValueError is a bug.
            if self.hosts == 1 or (isinstance(error, ValueError) and "Gloo" not in str(error)):
                raise
            raise BpnetError(
                f"host {self.rank} of {self.hosts} can't go on ({str(error).splitlines()[0]}); if another host stopped,"
                " its own output says why. Start all hosts again to go on after the last checkpoint"
            ) from error

    def any(self, flag: bool, step: int) -> bool:
        """Whether the flag of any host is set. Hosts exchange flags only every tenth step, because it takes time."""
        if self.hosts == 1:
            return flag
        if step % _ASKED_EVERY:
            return False
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def check_agreed(self, value: int, what: str) -> None:
        """Wait for all hosts; raise BpnetError if values differ. value: 0 to 2^32 - 1. what: its name."""
        if self.hosts == 1:
            return
        from jax.experimental import multihost_utils

        with self.noticing_lost_hosts():
            gathered = multihost_utils.process_allgather(np.array(value, np.uint32))
        values = np.ravel(gathered).tolist()
        if len(set(values)) > 1:
            raise BpnetError(f"hosts differ in {what} ({values}): they need the same spec, photos and results folder")


def make_distribution(
    kind: Literal["none", "devices", "hosts"], batch_size: int, seed: int, accumulate: int = 1
) -> Distribution:
    """The devices of `training.distribution`; waits for the other hosts to connect. Call it before JAX computes.

    seed: the same on all hosts. accumulate: batches for one update. Raises SpecError for a backend that can't, or a
    batch that can't be shared evenly.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        _keep_tensorflow_off_gpus()
    if kind == "none":
        return Distribution()
    if backend not in ("tensorflow", "jax"):
        raise SpecError(f"training.distribution: {kind} needs KERAS_BACKEND=tensorflow or jax (got {backend})")
    if kind == "hosts":
        _connect(backend, seed)
    found = _on_jax() if backend == "jax" else _on_tensorflow()
    check_batch(batch_size, found)
    check_accumulation(accumulate, found)
    if found.leads:
        say(f"each batch is shared by {_counted(found)}")
    return found


def share_of_loss(total: Any) -> Any:
    """The scaled loss whose gradients a replica computes. total: the mean loss over the replica's part of the batch.

    TensorFlow adds up the gradients of replicas, so the loss is divided by their number. JAX computes the loss of the
    whole batch, so the result there is `total` itself.
    """
    if keras.backend.backend() != "tensorflow":
        return total
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return total if replicas == 1 else total / float(replicas)


def whole_gradients(gradients: list[Any]) -> tuple[list[Any], int]:
    """The gradients of the whole batch, and the number of replicas whose gradients will be added up later.

    When an optimizer clips on TensorFlow, each replica has the gradients of its own part of the batch. Elsewhere the
    gradients are those of the whole batch already, and the number is 1.
    """
    if keras.backend.backend() != "tensorflow":
        return gradients, 1
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients, 1
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients), replica.num_replicas_in_sync


def check_place(environ: Mapping[str, str]) -> None:
    """Raise SpecError if some of the three environment variables are missing, or if one has a wrong value.

    If all three are missing, JAX finds the values itself, under SLURM or Open MPI.
    """
    missing = [name for name in (ADDRESSES, COUNT, RANK) if not environ.get(name)]
    if len(missing) == 3:
        return
    if missing:
        raise SpecError(f"training.distribution: hosts: {' and '.join(missing)} is not set in the environment")
    for name in (COUNT, RANK):
        if not environ[name].isdecimal():
            raise SpecError(f"training.distribution: hosts: {name} must be a whole number (got {environ[name]!r})")
    addresses, count, rank = environ[ADDRESSES].split(","), int(environ[COUNT]), int(environ[RANK])
    if rank >= count:
        raise SpecError(f"training.distribution: hosts: {RANK} must be less than {COUNT} (got {rank} of {count})")
    if len(addresses) not in (1, count) or any(not a.rpartition(":")[2].isdecimal() for a in addresses):
        raise SpecError(
            f"training.distribution: hosts: {ADDRESSES} must be HOST:PORT of process 0, or of all {count}"
            f" (got {environ[ADDRESSES]!r})"
        )


def _connect(backend: str, seed: int) -> None:
    if backend != "jax":
        raise SpecError(
            f"training.distribution: hosts needs KERAS_BACKEND=jax (got {backend}), since Keras can't train under"
            " TensorFlow's MultiWorkerMirroredStrategy (Keras issue 20585); on one host, devices works with both"
        )
    check_place(os.environ)
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.utils.set_random_seed(seed)  # else Keras exchanges a seed, on devices that may lack collectives
    try:
        keras.distribution.initialize()
    except (ValueError, TypeError, RuntimeError) as error:
        raise BpnetError(
            f"training.distribution: hosts: the hosts could not connect ({str(error).splitlines()[0]}); set"
            f" {ADDRESSES}, {COUNT} and {RANK} on each, or start them with SLURM's srun"
        ) from None


def _leave() -> None:
    """End the process without JAX's shutdown, in which this process and the others would wait five minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _on_jax() -> Distribution:
    import jax

    # A host with one device needs the strategy too: if there are several hosts, it connects them.
    strategy = keras.distribution.DataParallel(auto_shard_dataset=False)
    found = Distribution(jax.device_count(), jax.process_count(), jax.process_index(), strategy)
    # Hosts connect in their first exchange, with a timeout of 30 seconds. Reading labels can take longer on one host,
    # so the first exchange is here, before the labels are read.
    found.wait("until all are connected")
    if found.hosts > 1:
        atexit.register(_leave)
    return found


def _on_tensorflow() -> Distribution:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return Distribution()
    return Distribution(len(devices), strategy=tf.distribute.MirroredStrategy([device.name for device in devices]))


def check_batch(batch_size: int, found: Distribution) -> None:
    """Raise SpecError for a batch that the devices can't share evenly."""
    if batch_size % found.devices:
        below = batch_size // found.devices * found.devices
        choices = " or ".join(str(size) for size in (below, below + found.devices) if size)
        raise SpecError(
            f"training.batch_size: {batch_size} samples can't be shared evenly by {_counted(found)}: use {choices}"
        )


def check_accumulation(accumulate: int, found: Distribution) -> None:
    """Raise SpecError for several batches per update on several devices with TensorFlow.

    TensorFlow would have to exchange gradients inside a condition, which it can't.
    """
    if accumulate > 1 and found.devices > 1 and keras.backend.backend() == "tensorflow":
        raise SpecError(
            f"training.gradient_accumulation: {accumulate} batches can't be accumulated on several devices with"
            " TensorFlow: use 1, one device (training.distribution: none), or KERAS_BACKEND=jax"
        )


def _counted(found: Distribution) -> str:
    devices, hosts = (f"{n} {name}{'s' * (n > 1)}" for n, name in ((found.devices, "device"), (found.hosts, "host")))
    return f"{devices} on {hosts}"


def _keep_tensorflow_off_gpus() -> None:
    """Hide GPUs from TensorFlow. It only feeds photos, but its first operation would take all memory of a GPU."""
    if find_spec("tensorflow") is None:
        return
    load_tensorflow("feeding photos")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
