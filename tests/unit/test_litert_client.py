"""`examples/litert_client.py`, run as its reader would: with the model in the box it finds what `infer` finds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bpnet_cli.cli import main

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert.interpreter")
ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "examples" / "litert_client.py", *words]
    return subprocess.run(command, capture_output=True, text=True)


def bpnet(*words: object) -> None:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output


def test_it_draws_the_limbs_that_infer_finds(tmp_path: Path, keras_loaded: None) -> None:
    model = tmp_path / "box.tflite"
    bpnet("export", "-m", "box", "-o", model, "--with-peaks")
    bpnet("infer", PHOTO, "-m", model, "-r", tmp_path / "results", "--draw", "none")
    (result,) = json.loads((tmp_path / "results" / "detections.json").read_text())["images"]
    known = np.array([point[:2] for person in result["persons"] for point in person["keypoints"] if point])
    answer = run(model, PHOTO, tmp_path / "out.png")
    assert answer.returncode == 0, answer.stderr
    ends = np.array(re.findall(r"\((-?\d+), (-?\d+)\)", answer.stdout), float)
    assert len(known) >= 11
    # Its greedy grouping also joins pairs that infer's decoder refuses, and so misses a few that infer finds.
    near = np.abs(ends[:, None] - known[None]).max(axis=2).min(axis=0)
    assert (near < 1).mean() > 0.9
    assert (tmp_path / "out.png").stat().st_size > 10_000
    bpnet("export", "-m", "box", "-o", tmp_path / "plain.tflite")
    refused = run(tmp_path / "plain.tflite", PHOTO, tmp_path / "no.png")
    assert refused.returncode == 1
    assert "has no output named peaks; export it again with --with-peaks" in refused.stderr
