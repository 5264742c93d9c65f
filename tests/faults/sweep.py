"""`python -m tests.faults.sweep --out DIR [COMMAND ...]`: one fault at each write of each command, or `make faults`.

First the command runs without a fault, and its writes, flushes and changes of names are counted. Then, for each of
them and for each kind of fault of `shim.c`, it runs from the same start once more, and is checked: files under their
final names are whole, what was there before is whole too, and the same line ends well afterwards with the same results.
Needs Linux and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.faults.whole import broken, contents, differing, hidden

KINDS = ("kill", "half", "power", "lying", "full", "read-only")
# At one call only, the first: the command must end well.
WHOLE_RUN = ("slow", "clock")
_REASONS = {"full": "No space left", "read-only": "Read-only file system"}
SHIM = Path(__file__).with_name("shim.c")


def compiled(folder: Path) -> Path | None:
    """The shim as a library; None where it can't be made."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "shim.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, SHIM, "-ldl", "-lpthread"], check=True)
    return library


@dataclass(frozen=True)
class Command:
    """words: of the command; {out} is the folder for results, {in} that of the inputs. again: whether it starts in a
    folder with the results of an earlier run.
    """

    words: str
    again: bool = False

    def line(self, inputs: Path, out: Path) -> list[str]:
        words = self.words.replace("{in}", str(inputs)).replace("{out}", str(out))
        return [sys.executable, "-m", "bpnet_cli", *words.split()]


# Files for each photo are flushed when all are written, because one by one takes longer than some photos. A power cut
# before that empties some; the same line makes them again.
_NOT_FLUSHED = ("annotated", "openpose")
# Says which pictures are of a run that has not ended, so that the next one may replace them.
_MEANT = {"r/.bpnet-unfinished.json"}
_SMALL = (
    "--set inference.input_height=64 --set inference.min_person_score=0 --set inference.decode.peak_threshold=0.001"
    " --set inference.decode.person_threshold=0"
)
_LABELS = "--images {in}/drawn/images --annotations {in}/drawn/annotations/person_keypoints.json"
COMMANDS: dict[str, Command] = {
    "infer": Command(
        "infer {in}/drawn/images {in}/seeds/videos/a.mp4 -m {in}/seeds/models/m.onnx -r {out}/r"
        f" --format json,coco,csv,openpose,parquet {_SMALL}"
    ),
    "infer again": Command(
        f"infer {{in}}/drawn/images -m {{in}}/seeds/models/m.onnx -r {{out}}/r --format json,csv {_SMALL}", again=True
    ),
    "infer --shard": Command(
        f"infer {{in}}/drawn/images -m {{in}}/seeds/models/m.onnx -r {{out}}/r --shard 0/1 --format json {_SMALL}"
    ),
    "evaluate": Command(f"evaluate -m {{in}}/seeds/models/m.onnx {_LABELS} -r {{out}}/r {_SMALL}"),
    "evaluate again": Command(f"evaluate -m {{in}}/seeds/models/m.onnx {_LABELS} -r {{out}}/r {_SMALL}", again=True),
    "dataset_convert": Command("dataset_convert -e {in}/spec.yaml -o {out}/s --shards 2 --overwrite"),
    "dataset_convert again": Command(
        "dataset_convert -e {in}/spec.yaml -o {out}/s --shards 2 --overwrite --set augmentation.crop=photo", again=True
    ),
    "export": Command("export -m {in}/seeds/models/m.keras -o {out}/m.onnx --overwrite", again=True),
    "export int8": Command(
        "export -m {in}/seeds/models/m.keras -o {out}/m.onnx --overwrite --precision int8"
        " --calibration-images {in}/drawn/images",
        again=True,
    ),
    "export --triton": Command(
        "export -m {in}/seeds/models/m.keras -o {out}/t.onnx --triton {out}/triton --overwrite", again=True
    ),
    "export openvino": Command("export -m {in}/seeds/models/m.keras -o {out}/m.xml --overwrite", again=True),
    "export litert": Command("export -m {in}/seeds/models/m.keras -o {out}/m.tflite --overwrite", again=True),
    "export saved_model": Command(
        "export -m {in}/seeds/models/m.keras -o {out}/served --format saved_model --overwrite", again=True
    ),
    "export --web": Command("export -m {in}/seeds/models/m.keras -o {out}/w.onnx --web {out}/web --overwrite"),
    "prune": Command("prune -m {in}/seeds/models/m.keras -o {out}/p.keras --threshold 0.5 --overwrite", again=True),
    "import": Command(
        "import {in}/seeds/models/theirs.onnx -o {out}/i.keras --color bgr --mean 0 --scale 1 --overwrite", again=True
    ),
    "train": Command("train -e {in}/spec.yaml -r {out}/run"),
    "train, a checkpoint each step": Command(
        "train -e {in}/spec.yaml -r {out}/run --set training.checkpoint_minutes=0 --set training.epochs=1"
    ),
}


@dataclass(frozen=True)
class Sweep:
    """library: the shim. inputs: what commands read. folder: for results, one for each process."""

    library: Path
    inputs: Path
    folder: Path

    def run(self, command: Command, out: Path, kind: str = "kill", at: int = 0) -> tuple[int, str, int]:
        """Exit code, what was printed, and how many calls there were. at: the number of the call that fails."""
        counter, calls = self.folder / "counter", self.folder / "calls.txt"
        counter.unlink(missing_ok=True)
        fault = {"FAULT_UNDER": out, "FAULT_COUNTER": counter, "FAULT_KIND": kind, "FAULT_AT": at}
        if not at:
            calls.unlink(missing_ok=True)
            fault["FAULT_LIST"] = calls
        environment = os.environ | {key: str(value) for key, value in fault.items()}
        environment |= {"LD_PRELOAD": str(self.library), "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            command.line(self.inputs, out), env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        return done.returncode, done.stderr + done.stdout, int.from_bytes(counter.read_bytes(), "little")

    def start(self, command: Command, golden: Path | None, out: Path) -> None:
        shutil.rmtree(out, ignore_errors=True)
        if command.again and golden is not None:
            shutil.copytree(golden, out)
        else:
            out.mkdir()


def sweep(sweep_: Sweep, command: Command, kinds: tuple[str, ...], every: int) -> Iterator[tuple[str, int, list[str]]]:
    """Yields each kind, the number of the call, and what is wrong after it."""
    golden, out = sweep_.folder / "golden", sweep_.folder / "out"
    sweep_.start(command, None, golden)
    code, text, _ = sweep_.run(command, golden)
    assert code == 0, text
    assert not broken(golden), broken(golden)
    sweep_.start(command, golden, out)
    code, text, calls = sweep_.run(command, out)
    assert code == 0, text
    wanted = contents(out)
    points = different([line.split(" ", 2) for line in (sweep_.folder / "calls.txt").read_text().splitlines()])
    yield "none", calls, []
    for kind in (kind for kind in kinds if kind in WHOLE_RUN):
        sweep_.start(command, golden, out)
        code, text, _ = sweep_.run(command, out, kind, 1)
        faults = [f"exit code {code}: {text[-300:]}"] if code else []
        yield kind, 1, faults + [f"{name}: differs" for name in differing(contents(out), wanted)]
    for kind in (kind for kind in kinds if kind not in WHOLE_RUN):
        for at in points[::every]:
            sweep_.start(command, golden, out)
            code, text, reached = sweep_.run(command, out, kind, at)
            # On a disk that lies, no program can keep a file whole. The same line must do the work again.
            ended = all((out / name).exists() for name in wanted if not set(_NOT_FLUSHED) & set(Path(name).parts))
            faults = [] if kind == "lying" else broken(out, _NOT_FLUSHED if kind == "power" and not ended else ())
            # The last calls need no space, so the command may end well.
            if not (kind in _REASONS and code == 0 and not differing(contents(out), wanted)):
                faults += _ended(kind, code, text, reached, at)
            if kind == "full":
                faults += [f"left behind: {name}" for name in set(hidden(out)) - set(hidden(golden)) - _MEANT]
            code, text, _ = sweep_.run(command, out)
            if code:
                faults.append(f"the same line again: exit code {code}: {text[-300:]}")
            else:
                there = contents(out)
                faults += [f"{name}: differs after the same line again" for name in differing(there, wanted)]
            yield kind, at, faults


def different(calls: list[list[str]]) -> list[int]:
    """The numbers of the calls to try. calls: number, name, path of each.

    Of the writes to one temporary file that follow each other, the first, one between and the last: the bytes in a file
    that nobody reads are all that differs.
    """
    chosen = []
    for (_, path), group in groupby(sorted(calls, key=lambda call: int(call[0])), lambda call: (call[1], call[2])):
        numbers = [int(number) for number, _, _ in group]
        hidden_one = any(part.startswith(".") for part in Path(path).parts)
        chosen += sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]}) if hidden_one else numbers
    return chosen


def _ended(kind: str, code: int, text: str, reached: int, at: int) -> list[str]:
    if reached < at:
        return []  # other threads were quicker this time
    if kind not in _REASONS:
        return [] if code == -9 else [f"was not killed: exit code {code}"]
    if "Traceback" in text:
        return [f"a traceback: {text[-600:]}"]
    if code == 0:
        return [f"exit code 0 on a disk that is {kind}: {text[-300:]}"]
    return [] if _REASONS[kind] in text else [f"doesn't say that the disk is {kind}: {text[-300:]}"]


def write_inputs(folder: Path) -> None:
    """What the commands read."""
    from bpnet_cli.data.synthetic import generate
    from tests.cli.conftest import write_spec
    from tests.fuzz.seeds import write_all

    folder.mkdir(parents=True)
    write_all(folder / "seeds")
    generate(folder / "drawn", 6, people=(1, 2), height=128, width=128, seed=5)
    training = "{epochs: 2, steps_per_epoch: 2, batch_size: 2, deterministic: true, log_images: 1}"
    write_spec(folder, folder / "drawn", training)


def main() -> int:
    """Sweep over the commands; print a line for each one, and for each fault. Exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sweep", description=__doc__.split("\n\n")[0])
    parser.add_argument("commands", nargs="*", help=f"default: all of {', '.join(COMMANDS)}")
    parser.add_argument("--kinds", default=",".join(KINDS + WHOLE_RUN), help="kinds of faults")
    parser.add_argument("--every", type=int, default=1, help="take every n-th call only")
    parser.add_argument("--out", type=Path, default=Path("faults"))
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    out = words.out.resolve()
    if not (out / "in" / "spec.yaml").exists():  # written last
        shutil.rmtree(out / "in", ignore_errors=True)
        write_inputs(out / "in")
    library = compiled(out)
    if library is None:
        raise SystemExit("needs Linux and a C compiler named cc")
    wrong = 0
    for name in words.commands or list(COMMANDS):
        wrong += _swept(name, Sweep(library, out / "in", _folder(out, name)), words)
    return int(wrong > 0)


def _folder(out: Path, name: str) -> Path:
    folder = out / name.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _swept(name: str, sweep_: Sweep, words: argparse.Namespace) -> int:
    begun, tried, wrong, calls = time.monotonic(), 0, 0, 0
    log: list[dict[str, object]] = []
    for kind, at, faults in sweep(sweep_, COMMANDS[name], tuple(words.kinds.split(",")), words.every):
        if kind == "none":
            calls = at
            continue
        tried += 1
        wrong += bool(faults)
        log += [{"kind": kind, "at": at, "fault": fault} for fault in faults]
        if faults:
            print(f"  {name}, {kind} at {at}: {'; '.join(faults)[:700]}", flush=True)
    (sweep_.folder / "faults.json").write_text(json.dumps(log, indent=1))
    seconds = time.monotonic() - begun
    print(
        f"{name:20} {calls:4} calls, {tried:5} faults tried, {wrong:4} with something wrong, {seconds:5.0f} s",
        flush=True,
    )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
