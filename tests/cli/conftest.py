"""The real command, in this process: importing TensorFlow once is enough."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bpnet_cli.cli import main
from bpnet_cli.data.synthetic import generate

Run = Callable[..., Result]
Words = tuple[object, ...]
# The network of the tests has hardly learnt; so low, it finds people all the same.
FINDING = tuple(
    word
    for change in ("input_width=80", "min_person_score=0", "decode.peak_threshold=0.001", "decode.person_threshold=0")
    for word in ("--set", f"inference.{change}")
)

TINY_MODEL = """
model:
  backbone: tiny
  stages: 2
  input_height: 64
  input_width: 64
  feature_channels: 8
  convolution: separable
  batch_norm: true
  initial_stage: {kernel_sizes: [3], channels: 8, head_channels: 8}
  refinement_stage: {kernel_sizes: [3], channels: 8, head_channels: 8}
inference: {input_height: 64}
optimizer: {name: adamw, learning_rate: 1.0e-3}
"""


_HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "", None)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """No command reaches for another machine: there is no telemetry, and no weights are fetched.

    Attempts fail, and fail the test at its end, because libraries may swallow the error. A test may empty the list.
    """
    connect, find = socket.socket.connect, socket.getaddrinfo
    attempts: list[object] = []

    def refuse(what: object) -> None:
        attempts.append(what)
        raise OSError(f"the tests have no network: {what}")

    def checked(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in _HERE:
            refuse(address)
        connect(self, address)

    def named(host: object, *more: object, **how: object) -> object:
        if host not in _HERE:
            refuse(host)
        return find(host, *more, **how)

    monkeypatch.setattr(socket.socket, "connect", checked)
    monkeypatch.setattr(socket, "getaddrinfo", named)
    yield attempts
    assert attempts == []


@pytest.fixture(scope="session")
def bpnet() -> Run:
    """Runs the command; fails the test on an exception that is not a clean exit."""

    def run(*words: object) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def write_spec(directory: Path, drawn: Path, training: str) -> Path:
    """A spec that trains the tiny network on the drawn photos."""
    source = json.dumps(
        {"images": str(drawn / "images"), "annotations": str(drawn / "annotations" / "person_keypoints.json")}
    )
    path = directory / "spec.yaml"
    data = f"dataset: {{train: {source}, validation: {source}}}\naugmentation: {{crop: photo}}\n"
    path.write_text(f"name: test\n{data}{TINY_MODEL}training: {training}\n")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, drawn: Path, bpnet: Run, keras_loaded: None) -> Path:
    """A finished run: two epochs of three steps."""
    directory = tmp_path_factory.mktemp("trained")
    spec = write_spec(
        directory, drawn, "{epochs: 2, steps_per_epoch: 3, batch_size: 4, validate_every_epochs: 2, log_images: 1}"
    )
    result = bpnet("train", "-e", spec, "-r", directory / "run")
    assert result.exit_code == 0, result.output
    return directory


@pytest.fixture(scope="session")
def exported(trained: Path, bpnet: Run) -> Path:
    """The run's best model as ONNX."""
    result = bpnet("export", "-m", trained / "run" / "model.keras", "-o", trained / "model.onnx")
    assert result.exit_code == 0, result.output
    return trained / "model.onnx"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 32 photos, half of them one level down."""
    directory = tmp_path_factory.mktemp("calibration")
    generate(directory, 32, people=(1, 2), height=64, width=96, seed=3)
    below = directory / "images" / "below"
    below.mkdir()
    for path in sorted((directory / "images").glob("*.jpg"))[:16]:
        path.rename(below / path.name)
    return directory / "images"


@pytest.fixture
def model(trained: Path) -> Path:
    return trained / "run" / "model.keras"


def labelled(drawn: Path) -> Words:
    return "--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json"


def persons(bpnet: Run, model: Path, photos: Path, results: Path) -> list:
    result = bpnet("infer", photos, "-m", model, "-r", results, "--no-annotate", *FINDING)
    assert result.exit_code == 0, result.output
    return [image["persons"] for image in json.loads((results / "detections.json").read_text())["images"]]
