"""`python -m tests.faults.load --out DIR`: long runs, with their memory and open files over time. Needs Linux.

A film of 20,000 frames with tracking and all formats of results, a training run of 2,000 steps, and one of 200 epochs
of 5 steps, each with a validation and checkpoints. Prints what each process had after a fifth of its time, and at the
end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

FRAMES, STEPS, EPOCHS = 20_000, 2_000, 200


@dataclass(frozen=True)
class Sample:
    """seconds: since the start. megabytes: of memory that is really there (RSS). files: open ones. threads."""

    seconds: float
    megabytes: float
    files: int
    threads: int


def watched(words: list[str], every: float = 1.0) -> tuple[int, list[Sample]]:
    """Run bpnet; returns its exit code and its samples."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen([sys.executable, "-m", "bpnet_cli", *words], stderr=subprocess.DEVNULL, env=environment)
    place, begun, samples = Path("/proc", str(process.pid)), time.monotonic(), []
    while process.poll() is None:
        time.sleep(every)
        try:
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
            files = len(list((place / "fd").iterdir()))
            if "VmRSS" in status:
                values = int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"])
                samples.append(Sample(time.monotonic() - begun, *values))
        except OSError:
            break  # it has just ended
    return process.wait(), samples


def table_row(name: str, samples: list[Sample]) -> str:
    """The medians of the second tenth after a fifth of the time, and of the last tenth."""
    tenth = max(len(samples) // 10, 1)
    early, late = samples[2 * tenth : 3 * tenth], samples[-tenth:]
    parts = []
    for key in ("megabytes", "files", "threads"):
        parts.append(
            f"{key} {median(getattr(s, key) for s in early):.0f} -> {median(getattr(s, key) for s in late):.0f}"
        )
    return f"{name}: {samples[-1].seconds:.0f} s, {', '.join(parts)}"


def write_film(path: Path, frames: int) -> None:
    """A film of drawn people, again and again."""
    import numpy as np

    from bpnet_cli.data.synthetic import generate
    from bpnet_cli.inference.photo_files import read_photo
    from tests.unit.test_video import encode

    generate(path.parent / "drawn", 50, people=(1, 3), height=120, width=160, seed=5)
    photos = [np.ascontiguousarray(read_photo(each)) for each in sorted((path.parent / "drawn" / "images").iterdir())]
    pictures = [photos[i // 2 % len(photos)] for i in range(frames)]
    encode(path, pictures, range(0, 40 * frames, 40))


def main() -> int:
    """Run all three; exit code 1 if one of them fails."""
    from tests.cli.conftest import write_spec

    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("faults") / "load")
    parser.add_argument("--share", type=float, default=1.0, help="of the frames, steps and epochs")
    words = parser.parse_args()
    out, share = words.out, words.share
    out.mkdir(parents=True, exist_ok=True)
    film = out / "film.mp4"
    write_film(film, int(FRAMES * share))
    long, short = out / "long", out / "short"
    for folder, training in (
        (long, f"{{epochs: 1, steps_per_epoch: {int(STEPS * share)}, batch_size: 4, log_images: 1}}"),
        (short, f"{{epochs: {int(EPOCHS * share)}, steps_per_epoch: 5, batch_size: 4, validate_every_epochs: 1}}"),
    ):
        folder.mkdir(exist_ok=True)
        write_spec(folder, out / "drawn", training)
    small = ["--set", "inference.input_height=96"]
    runs = {
        f"infer, {int(FRAMES * share):,} frames, --track --smooth, all formats": [
            *("infer", str(film), "-r", str(out / "results"), "--track", "--smooth"),
            *("--format", "json,csv,openpose,parquet", *small),
        ],
        f"train, {int(STEPS * share):,} steps": [
            "train",
            "-e",
            str(long / "spec.yaml"),
            "-r",
            str(long / "run"),
            "--no-resume",
        ],
        f"train, {int(EPOCHS * share)} epochs of 5 steps, each measured": [
            *("train", "-e", str(short / "spec.yaml"), "-r", str(short / "run"), "--no-resume"),
        ],
    }
    failed = 0
    for name, line in runs.items():
        code, samples = watched(line)
        failed += code != 0
        print(table_row(name, samples) if code == 0 else f"{name}: exit code {code}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
