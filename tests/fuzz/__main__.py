"""Long fuzzing: `python -m tests.fuzz --seconds 7200 --out fuzz [TARGET ...]`, or `make fuzz`.

Each target has a process of its own, which may crash. Coverage of bpnet's code leads the changes where atheris is
installed; without it, they are random. A find is a folder with the files and the traceback:
OUT/finds/TARGET/WHERE/. One find for each place in the code is kept, and the search goes on.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

# An input is a find if it takes longer, or more memory.
MOST_SECONDS, MOST_MEGABYTES = 20, 4000
NATIVE = "native"


def main() -> int:
    """Fuzz the targets, one after the other; print a table. Exit code 1 if there are finds."""
    words = _words()
    if words.one:
        _fuzz(words.one, words.seconds, words.out)
        return 0
    from tests.fuzz.seeds import write_all
    from tests.fuzz.targets import TARGETS

    names = words.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        raise SystemExit(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if not (words.out / "seeds").is_dir():
        made = write_all(words.out / "seeds.new")
        made.rename(words.out / "seeds")
    for name in names:
        _run(name, words.seconds, words.out)
        print(_line(name, words.out), flush=True)
    return int(any((words.out / "finds").glob("*/*")))


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(name: str, seconds: int, out: Path) -> None:
    """Fuzz a target in other processes, one after the other if they crash, until the time is over."""
    end = time.monotonic() + seconds
    log = out / "logs" / f"{name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    while (left := int(end - time.monotonic())) > 5:
        words = [sys.executable, "-m", "tests.fuzz", "--one", name, "--seconds", str(left), "--out", str(out)]
        with open(log, "w") as file:
            code = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        if code:
            _keep_crash(name, out, log.read_text(errors="replace"), code)


def _keep_crash(name: str, out: Path, text: str, code: int) -> None:
    """A find of which only the log and the last files are left."""
    lines = [line for line in text.splitlines() if "File " in line and "tests/fuzz" not in line]
    where = re.sub(r"\W+", "-", lines[0].split("/")[-1])[:60] if lines else f"exit{code}"
    folder = out / "finds" / name / f"{NATIVE}-{where}"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "traceback.txt").write_text(f"exit code {code}\n{text[-20_000:]}")
        for path in (out / "last" / name).glob("**/*"):
            if path.is_file():
                (folder / path.relative_to(out / "last" / name).as_posix().replace("/", "__")).write_bytes(
                    path.read_bytes()
                )


def _line(name: str, out: Path) -> str:
    count = out / "counts" / f"{name}.json"
    values = json.loads(count.read_text()) if count.exists() else {"runs": 0, "seconds": 0.0, "read": 0}
    finds = [path.name for path in sorted((out / "finds" / name).glob("*"))]
    return (
        f"{name:14} {values['runs']:9,} files, {values['read'] / max(values['runs'], 1):4.0%} read,"
        f" {values['seconds'] / 3600:5.2f} h of CPU, {len(finds)} finds {' '.join(finds)}"
    )


def _fuzz(name: str, seconds: int, out: Path) -> None:
    """Fuzz one target in this process."""
    faulthandler.enable()
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris:
        atheris.instrument_imports(include=["bpnet_cli"]).__enter__()
    one = _one_input(name, out)
    end = time.monotonic() + seconds
    if atheris:
        corpus, artifacts = out / "corpora" / name, out / "artifacts" / name
        for folder in (corpus, artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        flags = [f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MEGABYTES}", f"-timeout={3 * MOST_SECONDS}"]
        flags += ["-max_len=16384", "-len_control=0", f"-artifact_prefix={artifacts}/", str(corpus)]
        atheris.Setup([sys.argv[0], *flags], one)
        atheris.Fuzz()
    while time.monotonic() < end:
        one(os.urandom(4096))


def _one_input(name: str, out: Path) -> Callable[[bytes], None]:
    from hypothesis import HealthCheck, given, settings

    from tests.fuzz.targets import TARGETS, quiet

    target = TARGETS[name]
    last = out / "last" / name
    last.mkdir(parents=True, exist_ok=True)
    count = out / "counts" / f"{name}.json"
    count.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(count.read_text()) if count.exists() else {"runs": 0, "seconds": 0.0, "read": 0}
    done = {"runs": 0, "read": 0}
    told = [time.monotonic()]
    quiet()

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.changed(out / "seeds"))
    def try_one(files: dict[str, bytes]) -> None:
        for path in last.glob("*"):
            path.unlink()
        for file, data in files.items():
            (last / file.replace("/", "__")).write_bytes(data)
        begun = time.process_time()
        with tempfile.TemporaryDirectory(prefix="bpnet-fuzz-") as folder:
            try:
                done["read"] += target.run(out / "seeds", Path(folder), files)
            except Exception as error:  # noqa: BLE001 - any other error is a find
                _keep(name, out, files, error)
        if time.process_time() - begun > MOST_SECONDS:
            _keep(name, out, files, TimeoutError(f"{time.process_time() - begun:.1f} s"))
        done["runs"] += 1
        if time.monotonic() - told[0] > 5:
            told[0] = time.monotonic()
            new = {"runs": done["runs"], "read": done["read"], "seconds": time.process_time()}
            count.write_text(json.dumps({key: before[key] + value for key, value in new.items()}))

    def one(data: bytes) -> None:
        try_one.hypothesis.fuzz_one_input(data)

    return one


def _keep(name: str, out: Path, files: dict[str, bytes], error: Exception) -> None:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/fuzz/" not in frame.filename]
    ours = [frame for frame in frames if "bpnet_cli" in frame.filename] or frames[-1:]
    where = f"{Path(ours[-1].filename).stem}-{ours[-1].lineno}" if ours else "slow"
    folder = out / "finds" / name / f"{type(error).__name__}-{where}"
    if folder.exists():
        return
    folder.mkdir(parents=True)
    (folder / "traceback.txt").write_text("".join(traceback.format_exception(error))[:20_000], errors="replace")
    for file, data in files.items():
        (folder / file.replace("/", "__")).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
