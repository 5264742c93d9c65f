"""What people see of a run while it goes on: pictures, images/s and the time left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bpnet_cli import BODY_18, Predictor, log
from bpnet_cli.data.photos import load_photos
from bpnet_cli.evaluation.evaluate import load_labelled
from bpnet_cli.inference.predictor import InputSize
from bpnet_cli.spec.dataset import DataSource
from tests.unit.test_predictor import PerfectBackend

pytestmark = pytest.mark.usefixtures("keras_loaded")


def test_maps_of_the_labels_are_drawn_above_those_of_the_network(drawn: Path) -> None:
    """A network that answers with the labels' maps gives two equal rows; one that answers nothing does not."""
    from bpnet_cli.plan import TargetShape
    from bpnet_cli.training.pictures import pictures_of

    source = DataSource(images=str(drawn / "images"), annotations=str(drawn / "annotations" / "person_keypoints.json"))
    labelled = load_labelled([source], BODY_18)
    photo = load_photos(source.images, source.annotations, BODY_18)[0]
    name = labelled.truth.images[min(labelled.files)].file_name
    assert photo.image.name.endswith(name)
    backend = PerfectBackend(photo.keypoints, photo.image.rgb())
    predictor = Predictor(backend, InputSize(128, 128))
    pictures = pictures_of(predictor, labelled, 1, TargetShape())()
    assert set(pictures) == {f"{name}/people", f"{name}/maps"}
    labels, network = np.vsplit(pictures[f"{name}/maps"], 2)
    assert labels.shape == (128 + 20, 2 * 128, 3)
    assert np.any(labels[:20] != network[:20])  # the captions
    np.testing.assert_array_equal(labels[20:], network[20:])
    backend.keypoints = np.zeros_like(backend.keypoints)
    labels_again, nothing = np.vsplit(pictures_of(predictor, labelled, 1, TargetShape())()[f"{name}/maps"], 2)
    np.testing.assert_array_equal(labels_again, labels)
    assert np.any(nothing[20:] != labels[20:])
    assert pictures_of(predictor, None, 1, TargetShape())() == {}


def test_lines_tell_images_per_second_and_the_time_left_of_epoch_and_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps of 2 images take 10 s, the first one 100 s, validation 50 s."""
    from bpnet_cli.training import callbacks

    clock = SimpleNamespace(now=0.0)
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(log.time, name, lambda: clock.now)
    place = callbacks.Place()
    pace = callbacks.Pace(place, 2, 10, 3, lambda step: 0.5)
    logs: dict[str, float] = {}
    for epoch in range(2):
        place.epoch = epoch
        pace.on_epoch_begin(epoch)
        for step in range(10):
            pace.on_train_batch_begin(step)
            clock.now += 100 if epoch == step == 0 else 10
            pace.on_train_batch_end(step, {"loss": 7.0})
        pace.on_epoch_end(epoch, logs)
        clock.now += 50
    lines = capsys.readouterr().err.splitlines()
    # Two steps' time fit between two lines, and the first step counts for nothing.
    assert lines[0] == "epoch 1/3: 4/20 images, 0.2 images/s, epoch done in 0:01:20, loss 7, run done in 0:04:40"
    # Since the first step, 17 steps and a validation took 220 s: 12 more take 155 s.
    assert lines[-1] == "epoch 2/3: 16/20 images, 0.2 images/s, epoch done in 0:00:20, loss 7, run done in 0:02:35"
    assert logs == {"images_per_second": pytest.approx(0.2), "learning_rate": 0.5}


def test_on_a_terminal_a_bar_has_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(log.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    meter = log.Meter("epoch 1/3", 20)
    meter.bar.mininterval = 0
    meter.bar.miniters = 0
    for done in (2, 4):
        meter.show(done, "loss 7, run done in 0:02:21")
    meter.close()
    shown = capsys.readouterr().err
    assert "epoch 1/3" in shown
    assert "4/20" in shown
    assert "images/s, loss 7, run done in 0:02:21]" in shown


def test_durations() -> None:
    assert [log.duration(seconds) for seconds in (0, 59.6, 3725, float("nan"))] == [
        "0:00:00",
        "0:01:00",
        "1:02:05",
        "?",
    ]
