"""The verbs on a Ray cluster of two workers on this machine: the same results as in one process."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import FINDING, Run, labelled, write_spec

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
REPOSITORY = Path(__file__).parents[2]
# A new cluster of this user could want a token from others.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}


def start(*words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "bpnet_cli", *map(str, words)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen, code: int = 0) -> str:
    output = process.communicate(timeout=200)[0]
    assert process.returncode == code, output
    return output


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two cores whose working directory is not ours; its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000"]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as head:
        try:
            assert any("runtime started" in line for line in head.stdout)
            yield f"127.0.0.1:{port}"
        finally:
            head.send_signal(signal.SIGTERM)
            head.communicate(timeout=60)


def test_infer_with_a_worker_killed_on_the_way(
    cluster: str, photos: Path, exported: Path, tmp_path: Path, bpnet: Run
) -> None:
    (photos / "bad.jpg").write_bytes(b"no photo")
    words = (photos, "-m", exported, "--format", "json,coco,csv", "--no-annotate", *FINDING)
    try:
        assert bpnet("infer", *words, "-r", tmp_path / "one").exit_code == 3
        out = tmp_path / "many"
        running = start("infer", *words, "-r", out, "--ray", cluster)
        while not (workers := worker_ids()):
            assert running.poll() is None
            time.sleep(0.05)
        os.kill(workers[0], signal.SIGKILL)
        output = finish(running, 3)
    finally:
        (photos / "bad.jpg").unlink()
    assert "2 workers on 1 machine" in output
    assert "5 of 5 parts" in output
    assert output.count("failed: ") == 1
    assert bpnet("infer", "--merge", "-r", out).exit_code == 3
    for name in ("detections.json", "coco_results.json", "detections.csv"):
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def worker_ids() -> list[int]:
    """Processes of Ray's workers that do our work."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(number) for number in re.findall(r"^\s*(\d+) ray::_Worker", listed, re.MULTILINE)]


def test_evaluate(cluster: str, drawn: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("evaluate", "-m", exported, *labelled(drawn), *FINDING)
    assert bpnet(*words, "-r", tmp_path / "one").exit_code == 0
    finish(start(*words, "-r", tmp_path / "many", "--ray", cluster))
    one, many = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "many"))
    assert one | {"seconds": 0} == many | {"seconds": 0}
    found = [(tmp_path / name / "coco_results.json").read_bytes() for name in ("one", "many")]
    assert found[0] == found[1] != b"[]"


def test_dataset_convert(cluster: str, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 2}")
    words = ("dataset_convert", "-e", spec, "--shards", 3)
    assert bpnet(*words, "-o", tmp_path / "one").exit_code == 0
    finish(start(*words, "-o", tmp_path / "many", "--ray", cluster))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 2 * 2 * 3 + 1
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_errors_name_what_to_do(cluster: str, drawn: Path, exported: Path, tmp_path: Path) -> None:
    words = ("infer", drawn / "images", "-m", exported, "--no-annotate")
    too_large, nowhere, window = (
        start(*words, "-r", tmp_path / "too_large", "--ray", cluster, "--ray-cpus", 64),
        start(*words, "-r", tmp_path / "nowhere", "--ray", "127.0.0.1:9"),
        start(*words, "-r", tmp_path / "window", "--ray", cluster, "--show"),
    )
    assert "no worker of 64 cores and 0 GPUs fits: the cluster has 2 cores and 0 GPUs" in finish(too_large, 1)
    assert "--ray 127.0.0.1:9: no Ray cluster was reached" in finish(nowhere, 1)
    assert "--show: other processes have no window" in finish(window, 1)
