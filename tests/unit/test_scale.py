"""What N workers bring: by the formula, by hand, and photo by photo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bpnet_cli.benchmark.scale import Costs, Storage, limit, predicted, scale_rows, simulated
from bpnet_cli.cli import main

# 0.1 s of work for a photo of 2 MB.
COSTS = Costs(read=0.5, decode=0.03, network=0.06, people=0.006, write=0.004, megabytes=2)


@pytest.mark.parametrize(
    ("storage", "workers", "rate", "limited"),
    [
        (Storage(0, 1e9), 1, 10, "network"),
        (Storage(0, 1e9), 64, 640, "network"),
        (Storage(0.08, 100), 1, 5, "storage"),  # 80 ms of latency, 20 ms of transfer
        (Storage(0.03, 100), 4, 4 / 0.15, "network"),
        (Storage(0.03, 100), 40, 50, "storage"),  # 100 MB/s are 50 photos/s
    ],
)
def test_the_formula(storage: Storage, workers: int, rate: float, limited: str) -> None:
    assert predicted(COSTS, storage, workers) == pytest.approx(rate)
    assert limit(COSTS, storage, workers) == limited


def test_decoding_may_be_the_limit() -> None:
    large = Costs(read=0, decode=0.2, network=0.06, people=0, write=0, megabytes=5)
    assert limit(large, Storage(0, 1e9), 4) == "decode"


def test_photo_by_photo() -> None:
    free = Storage(0, 1e12)
    # One worker: the start, 16 photos in two parts of eight.
    assert simulated(COSTS, free, 1, 16, start=1, part=0.5) == pytest.approx(1 + 2 * 0.5 + 16 * 0.1)
    # Three workers, two parts: one has nothing to do.
    assert simulated(COSTS, free, 3, 16, start=0, part=0) == pytest.approx(0.8)
    # Seven photos more than two parts: somebody works 15 photos.
    assert simulated(COSTS, free, 2, 23, start=0, part=0) == pytest.approx(1.5)
    # The storage alone: 16 transfers of 20 ms one after the other, and the work of the last photo.
    many = simulated(Costs(0, 0.001, 0, 0, 0, 2), Storage(0, 100), 2, 16, start=0, part=0)
    assert many == pytest.approx(16 * 0.02 + 0.001)


def test_rows_have_hours_and_cost() -> None:
    (row,) = scale_rows(COSTS, Storage(0, 1e9), [10], 360_000, price=0.05)
    assert row == {"workers": 10, "photos_per_second": 100, "hours": 1, "limited_by": "network", "cost": 0.5}
    assert "cost" not in scale_rows(COSTS, Storage(0, 1e9), [10], 360_000, price=None)[0]


def test_the_command(drawn: Path) -> None:
    words = ["benchmark", "scale", "--images", str(drawn / "images"), "--workers", "1,4", "--storage", "0", "1e6"]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    one, four = figures["rows"]
    assert four["photos_per_second"] == pytest.approx(4 * one["photos_per_second"], rel=0.01)
    work = sum(figures["costs"][f"{name}_ms"] for name in ("decode", "network", "people", "write"))
    assert one["photos_per_second"] == pytest.approx(1e3 / work, rel=0.02)
    assert one["hours"] == pytest.approx(1e6 / one["photos_per_second"] / 3600, rel=0.02)
    mean = sum(path.stat().st_size for path in (drawn / "images").iterdir()) / 12 / 1e6
    assert figures["costs"]["megabytes"] == pytest.approx(mean, abs=0.001)
    table = CliRunner().invoke(main, [*words, "--price", "0.04"])
    assert "a photo on one core: read" in table.output
    assert "| cost |" in table.output
    wrong = CliRunner().invoke(main, [*words[:-5], "--workers", "many"])
    assert wrong.exit_code == 2
    assert "must be numbers from 1 on, as in 1,8,64 (got 'many')" in wrong.output
