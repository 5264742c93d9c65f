"""Train on several machines of a Ray cluster: one `bpnet train` on each, connected by JAX.

    python examples/train_on_ray.py 4 -e lite.yaml -r /shared/runs/lite --set training.batch_size=128

The first word is the number of processes; all others go to `bpnet train`. RAY_GPUS says how many GPUs each one gets. To
continue after an interruption, run the same line again, with any number of processes.
"""

import os
import socket
import subprocess
import sys

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@ray.remote
def address():
    """HOST:PORT of this machine, with a port that is free now."""
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"


@ray.remote(max_retries=0)
def train(words, folder, place):
    """One process of the training; its exit code."""
    command = [sys.executable, "-m", "bpnet_cli", "train", *words, "--set", "training.distribution=hosts"]
    return subprocess.run(command, cwd=folder, env={**os.environ, "KERAS_BACKEND": "jax", **place}).returncode


def main(count, words):
    """Start the processes and wait for them; the exit code."""
    ray.init()
    gpus = float(os.environ.get("RAY_GPUS", 0))
    resources = {"CPU": 1, **({"GPU": gpus} if gpus else {})}
    group = ray.util.placement_group([resources] * count, strategy="SPREAD")
    ray.get(group.ready())

    def on(number):
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
        return {"num_cpus": 1, "num_gpus": gpus, "scheduling_strategy": place}

    first = ray.get(address.options(**on(0)).remote())
    shared = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": first, "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count)}
    processes = [
        train.options(**on(number)).remote(words, os.getcwd(), {**shared, "KERAS_DISTRIBUTION_PROCESS_ID": str(number)})
        for number in range(count)
    ]
    return max(ray.get(processes), key=abs)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
