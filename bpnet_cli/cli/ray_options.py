"""The flags of verbs that can run on a Ray cluster."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click

_ADDRESS = re.compile(r"auto|local|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


def ray_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--ray` and the flags that go with it.

    The function gets them as `share`, a `ShareOut` or None, and `cores`, those of each worker.
    """

    @functools.wraps(function)
    def run(
        ray_address: str | None, ray_workers: int | None, ray_cpus: int | None, ray_gpus: float | None, **flags: Any
    ) -> Any:
        if ray_address is None:
            given = {"--ray-workers": ray_workers, "--ray-cpus": ray_cpus, "--ray-gpus": ray_gpus}
            for name in (name for name, value in given.items() if value is not None):
                raise click.UsageError(f"{name} goes with --ray")
            return function(share=None, cores=1, **flags)
        from bpnet_cli.scale.cluster import Cluster, shared_out

        cluster = Cluster(ray_address, ray_workers, ray_cpus or 1, ray_gpus or 0)
        return function(share=functools.partial(shared_out, cluster), cores=cluster.cpus, **flags)

    for option in (
        _number("--ray-gpus", click.FloatRange(min=0), "GPUs of each worker.  [0]"),
        _number("--ray-cpus", click.IntRange(min=1), "cores of each worker.  [1]"),
        _number("--ray-workers", click.IntRange(min=1), "number of workers.  [as many as fit]"),
        click.option(
            "--ray",
            "ray_address",
            metavar="[ADDRESS]",
            is_flag=False,
            flag_value="auto",
            callback=_address,
            help="Share the work on a Ray cluster: the one at HOST:PORT; without an address the one that runs here,"
            " else a new one on this machine (local: always a new one).",
        ),
    ):
        run = option(run)
    return run


def _number(name: str, kind: Any, text: str) -> Callable[..., Any]:
    return click.option(name, type=kind, metavar="N", help=f"With --ray: {text}")


def _address(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or _ADDRESS.fullmatch(value):
        return value
    raise click.BadParameter(
        f"must be HOST:PORT, auto or local (got {value!r}); if {value!r} is an input, write --ray=auto",
        param=parameter,
    )
