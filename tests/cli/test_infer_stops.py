"""`bpnet infer` told to stop, killed, or with a photo whose drawn copy can't be written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpnet_cli.inference import people
from tests.cli.conftest import Run

KILLED_AT_THE_SECOND_PHOTO = """
import os, signal, sys
from bpnet_cli.cli import main
from bpnet_cli.inference import photo_run

write, written = photo_run.write_photo, []

def once(*arguments):
    if len(written) >= 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
    written.append(1)

photo_run.write_photo = once
main(sys.argv[1:])
"""


def files_of(results: Path) -> list[str]:
    return [entry["file"] for entry in json.loads((results / "detections.json").read_text())["images"]]


@pytest.mark.usefixtures("own_stack")
def test_sigterm_keeps_what_is_done_as_ctrl_c_does(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, draw = signal.getsignal(signal.SIGTERM), people.draw_persons
    pictures = []

    def third(*arguments: object, **options: object) -> object:
        pictures.append(1)
        if len(pictures) == 3:
            time.sleep(0.5)  # the main thread has taken the results before and waits for this one
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)  # the signal comes to the main thread
        return draw(*arguments, **options)

    monkeypatch.setattr(people, "draw_persons", third)
    monkeypatch.setattr("bpnet_cli.inference.workflow.core_count", lambda: 1)
    words = ("infer", drawn / "images", "-m", exported, "-r", tmp_path / "out")
    result = bpnet(*words)
    assert result.exit_code == 1
    done = int(re.search(r"stopped after (\d+) of 12 photos", result.output)[1])
    assert done == 3  # work that has begun is finished, and nothing else begins
    assert signal.getsignal(signal.SIGTERM) == before
    assert files_of(tmp_path / "out") == [f"{number:012}.jpg" for number in range(1, done + 1)]
    assert bpnet(*words).exit_code == 0
    assert len(files_of(tmp_path / "out")) == 12


def test_a_killed_run_does_not_stand_in_the_way_of_the_next(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run
) -> None:
    words = ["infer", str(drawn / "images"), "-m", str(exported), "-r", str(tmp_path / "out")]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_SECOND_PHOTO, *words], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    left, *_ = (tmp_path / "out" / "annotated").iterdir()
    assert not (tmp_path / "out" / "detections.json").exists()
    # What the killed run drew is no input of the next one.
    assert "drawn by an earlier run" in bpnet("infer", tmp_path / "out", drawn / "images", *words[2:]).output
    assert len(files_of(tmp_path / "out")) == 12
    assert left.exists()
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_one_drawn_copy_that_cannot_be_written_is_one_failure(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run
) -> None:
    photos = sorted(path.name for path in (drawn / "images").iterdir())
    # A folder has the name of one of the pictures.
    (tmp_path / "out" / "annotated").mkdir(parents=True)
    blocked = tmp_path / "out" / ".bpnet-unfinished.json"
    blocked.write_text(json.dumps({"unfinished": [f"annotated/{photos[4]}"]}))
    (tmp_path / "out" / "annotated" / photos[4]).mkdir()
    result = bpnet("infer", drawn / "images", "-m", exported, "-r", tmp_path / "out")
    assert result.exit_code == 3
    assert f"{photos[4]}: its drawn copy can't be written: Is a directory" in result.output
    assert files_of(tmp_path / "out") == photos
