"""Work on a Ray cluster: Ray starts the workers, hands them the items, and replaces lost ones."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import NO_PROGRESS, counted, say
from bpnet_cli.sharing import Work

# Seconds in which the machine at an address must answer.
_REACHED_S = 10.0
# Ray would send figures about each cluster to its makers, and change the GPU variables of workers without GPUs.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(frozen=True)
class Cluster:
    """A cluster and the workers to start on it.

    address: HOST:PORT; `auto`: the cluster that runs on this machine, else a new one here; `local`: a new one here.
    workers: their number; None: as many as fit. cpus, gpus: of each worker.
    """

    address: str = "auto"
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0


def shared_out(
    cluster: Cluster, make: Callable[..., Work], arguments: Sequence[Any], items: Sequence[Any]
) -> Iterator[Any]:
    """A `ShareOut` on a Ray cluster, see `sharing`. Functions, arguments, items and results must be picklable.

    Raises BpnetError where there is no such cluster, where no worker fits on it, or what `work` raises.
    """
    if not items:
        return
    with _connected(cluster) as ray:
        from ray.util import ActorPool

        count = _worker_count(cluster, ray.cluster_resources(), len(items))
        say(f"{counted(count, 'worker')} on {counted(len(ray.nodes()), 'machine')}")
        # Ray starts lost workers again, and repeats what they had begun.
        kind = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=-1, max_task_retries=-1)(_Worker)
        pool = ActorPool([kind.remote(os.getcwd()) for _ in range(count)])
        shared = [ray.put((make, tuple(arguments)))]  # in a list, so that workers take it once and not with each item
        for result in pool.map_unordered(lambda worker, item: worker.do.remote(shared, item), items):
            if isinstance(result, BpnetError):
                raise result
            yield result


class _Worker:
    """An actor. `work` is made for the first item: an error there reaches the driver, one in `__init__` does not.

    folder: the driver's working directory, for relative paths. Where this machine has no such folder, they don't work.
    """

    def __init__(self, folder: str) -> None:
        os.environ[NO_PROGRESS] = "1"  # the driver shows the progress of all
        if os.path.isdir(folder):
            os.chdir(folder)
        self._work: Work | None = None

    def do(self, shared: list[Any], item: Any) -> Any:
        """The result of an item, or the BpnetError that it raised. shared: reference to `make` and its arguments."""
        try:
            if self._work is None:
                import ray

                make, arguments = ray.get(shared[0])
                self._work = make(*arguments)
            return self._work(item)
        except BpnetError as error:
            return error


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray, connected to the cluster, or a new cluster that ends with the block."""
    if importlib.util.find_spec("ray") is None:
        raise BpnetError("--ray needs Ray: pip install 'bpnet-cli[ray]'")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    settings = {"logging_level": logging.ERROR, "log_to_driver": True}
    try:
        if not ray.is_initialized():
            _start(ray, cluster.address, settings)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "start one with `ray start --head`; one that wants a token needs RAY_AUTH_MODE=token here"
        raise BpnetError(f"--ray {cluster.address}: no Ray cluster was reached: {reason}; {hint}") from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray's own handler would end the process without a word
    try:
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any, address: str, settings: dict[str, Any]) -> None:
    if address == "auto":
        address = _running_here() or "local"
    if address == "local":
        ray.init(address="local", include_dashboard=False, **settings)
    else:
        _reach(address)  # Ray itself tries for many minutes
        ray.init(address=address, **settings)


def _running_here() -> str | None:
    """The address of the cluster that RAY_ADDRESS names, or else of the one that was started last here and still runs.

    Ray's own search takes minutes where the last cluster was killed.
    """
    named = os.environ.get("RAY_ADDRESS")
    if named and named != "auto":
        return named
    current = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        address = current.read_text(encoding="utf-8").strip()
        _reach(address)
    except (OSError, ValueError):
        return None
    return address


def _reach(address: str) -> None:
    """Raise OSError where no machine answers at HOST:PORT."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _REACHED_S).close()


def _worker_count(cluster: Cluster, resources: dict[str, float], items: int) -> int:
    """The number of workers that fit, at most one for each item. Raises BpnetError where none fits."""
    fit = int(resources.get("CPU", 0) // cluster.cpus)
    if cluster.gpus:
        fit = min(fit, int(resources.get("GPU", 0) / cluster.gpus))
    if fit < 1:
        has = f"{resources.get('CPU', 0):g} cores and {resources.get('GPU', 0):g} GPUs"
        raise BpnetError(
            f"--ray: no worker of {cluster.cpus} cores and {cluster.gpus:g} GPUs fits: the cluster has {has}"
        )
    return min(cluster.workers or fit, fit, items)
