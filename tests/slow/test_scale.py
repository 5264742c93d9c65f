"""The model behind docs/scale.md against a run on Ray whose storage and network are delays of known length.

Workers that sleep don't need cores, so this machine can show what sixteen of them do.
"""

from __future__ import annotations

import fcntl
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bpnet_cli.benchmark.scale import Costs, Storage, predicted, simulated
from bpnet_cli.inference.parts import photos_in_a_part
from tests.cli.test_ray import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
# A photo of 1 MB: 20 ms until it comes, 20 ms of a storage of 50 MB/s that serves one after the other, 150 ms of work.
COSTS = Costs(read=0, decode=0.02, network=0.12, people=0.008, write=0.002, megabytes=1)
STORAGE = Storage(latency=0.02, rate=50)
PART_S = 0.02  # of Ray and the part's file, measured with parts that do nothing


def make_sleeper(folder: Path, workers: int) -> Callable[[int], tuple[float, float]]:
    """A worker; it begins when all are there."""
    (folder / f"{time.monotonic_ns()}.up").touch()
    while len(list(folder.glob("*.up"))) < workers:
        time.sleep(0.01)

    def sleep(photos: int) -> tuple[float, float]:
        begin = time.time()
        for _ in range(photos):
            time.sleep(STORAGE.latency)
            with open(folder / "storage", "a") as storage:
                fcntl.flock(storage, fcntl.LOCK_EX)
                time.sleep(STORAGE.seconds(COSTS))
            time.sleep(COSTS.work)
        return begin, time.time()

    return sleep


def measure(folder: Path, workers: int, photos: int) -> float:
    """Seconds from the first photo to the last one; in a process of its own, because Ray stays in a process."""
    code = (
        "import sys; from pathlib import Path; from bpnet_cli.scale.cluster import Cluster, shared_out;"
        "from tests.slow.test_scale import make_sleeper;"
        f"import ray; ray.init(address='local', num_cpus={workers}, include_dashboard=False);"
        f"size = {photos_in_a_part(photos)};"
        f"times = list(shared_out(Cluster('auto'), make_sleeper, (Path({str(folder)!r}), {workers}),"
        f" [size] * ({photos} // size)));"
        "print('seconds', max(end for _, end in times) - min(begin for begin, _ in times))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split("seconds ")[1].split()[0])


@pytest.mark.parametrize(("workers", "photos"), [(8, 640), (16, 640)])
def test_the_model_tells_the_time_of_a_run_with_known_delays(tmp_path: Path, workers: int, photos: int) -> None:
    seconds = measure(tmp_path, workers, photos)
    told = simulated(COSTS, STORAGE, workers, photos, start=0, part=PART_S)
    rate = predicted(COSTS, STORAGE, workers)
    print(f"{workers} workers: measured {seconds:.1f} s, simulated {told:.1f} s, {photos / rate:.1f} s by the formula")
    assert seconds == pytest.approx(told, rel=0.15)
    assert photos / rate <= told
