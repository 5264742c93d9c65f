"""`bpnet dataset_convert` through the real command, and the verbs that read its shards."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_MODEL, Run, write_spec
from tests.conftest import coco_person, write_coco
from tests.unit.test_bad_data import jpeg, noise, write_photos

TRAINING = "{epochs: 2, steps_per_epoch: 3, batch_size: 4, validate_every_epochs: 2}"


@pytest.fixture
def converted(tmp_path: Path, drawn: Path, bpnet: Run, keras_loaded: None) -> Path:
    """DIR/spec.yaml of photo files, DIR/shards of the same, DIR/records.yaml of the shards."""
    spec = write_spec(tmp_path, drawn, TRAINING)
    result = bpnet("dataset_convert", "-e", spec, "-o", tmp_path / "shards", "--shards", 3, "--workers", 2)
    assert result.exit_code == 0, result.output
    labels = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    people = sum(annotation["num_keypoints"] > 0 for annotation in labels["annotations"])
    line = f"train: 12 photos, {people} people, 0.1 MB: {tmp_path}/shards/train-*-of-00003.tfrecord"
    assert line in result.output.splitlines()
    sources = {name: {"records": f"{tmp_path}/shards/{name}-*-of-00003.tfrecord"} for name in ("train", "validation")}
    text = f"name: test\ndataset: {json.dumps(sources)}\naugmentation: {{crop: photo}}\n{TINY_MODEL}"
    (tmp_path / "records.yaml").write_text(f"{text}training: {TRAINING}\n")
    return tmp_path


def losses(run: Path) -> list[float]:
    with open(run / "history.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_training_and_evaluation_are_those_of_the_files(converted: Path, bpnet: Run) -> None:
    for spec, run in (("spec.yaml", "a"), ("records.yaml", "b")):
        result = bpnet("train", "-e", converted / spec, "-r", converted / run, "--set", "training.workers=3")
        assert result.exit_code == 0, result.output
        assert "(first: " not in result.output
    # Threads add up in an order of their own.
    assert losses(converted / "a") == pytest.approx(losses(converted / "b"), rel=1e-4)
    assert len(losses(converted / "a")) == 2
    for spec, results in (("spec.yaml", "c"), ("records.yaml", "d")):
        words = ("-e", converted / spec, "-m", converted / "b" / "model.keras", "-r", converted / results)
        assert bpnet("evaluate", *words).exit_code == 0
    files, shards = (json.loads((converted / name / "metrics.json").read_text()) for name in ("c", "d"))
    assert {**files, "seconds": 0} == {**shards, "seconds": 0}
    assert "000000000001.jpg" in (converted / "d" / "report.html").read_text()


def test_rerunning_keeps_whole_shards(converted: Path, bpnet: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in (converted / "shards").glob("*.tfrecord")}
    result = bpnet("dataset_convert", "-e", converted / "spec.yaml", "-o", converted / "shards", "--shards", 3)
    assert result.exit_code == 0
    assert "keeping 6 complete shards that are there already" in result.output
    assert {path: path.stat().st_mtime_ns for path in (converted / "shards").glob("*.tfrecord")} == before


def test_other_shards_are_refused_or_overwritten(converted: Path, bpnet: Run) -> None:
    words = ("dataset_convert", "-e", converted / "spec.yaml", "-o", converted / "shards", "--shards", 2)
    result = bpnet(*words)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {converted / 'shards'}: holds shards of other photos, labels or settings; choose another folder or"
        " --overwrite\n"
    )
    assert bpnet(*words, "--overwrite").exit_code == 0
    assert len(list((converted / "shards").glob("*.tfrecord"))) == 4


def test_shards_need_to_be_made_of_files(converted: Path, bpnet: Run) -> None:
    result = bpnet("dataset_convert", "-e", converted / "records.yaml", "-o", converted / "again")
    assert result.exit_code == 1
    assert "dataset.train: " in result.output
    assert "are records already; give images and annotations" in result.output
    assert not (converted / "again").exists()


def test_lost_shards_are_told_before_training(converted: Path, bpnet: Run) -> None:
    (converted / "shards" / "train-00001-of-00003.tfrecord").unlink()
    result = bpnet("train", "-e", converted / "records.yaml", "-r", converted / "run")
    assert result.exit_code == 1
    assert "shard 1 of 3 is missing" in result.output
    assert "(dataset.train; paths are relative to the working directory)" in result.output
    assert not (converted / "run").exists()


def data_at(directory: Path, path: Path) -> Path:
    """The photos and labels where `write_spec` looks for them."""
    (directory / "annotations").mkdir()
    path.rename(directory / "annotations" / "person_keypoints.json")
    return directory


def test_refusals(tmp_path: Path, bpnet: Run, keras_loaded: None) -> None:
    data = data_at(tmp_path / "data", write_coco(tmp_path / "data", [coco_person()]))
    spec = write_spec(tmp_path, data, "{}")
    (tmp_path / "file").write_text("")

    def refused(output: str = "out") -> str:
        result = bpnet("dataset_convert", "-e", spec, "-o", tmp_path / output)
        assert result.exit_code == 1
        assert len(result.output.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()
        return result.output

    assert "file: is a file, not a folder for results" in refused("file")
    assert "can't be written: Not a directory" in refused("file/out")
    (data / "images" / "1.png").rename(tmp_path / "1.png")
    assert (
        "1.png does not exist (dataset.train, dataset.validation; paths are relative to the working directory)"
        in refused()
    )
    (data / "images").rmdir()
    assert "images: no such folder of photos" in refused()
    labels = data / "annotations" / "person_keypoints.json"
    raw = json.loads(labels.read_text())
    labels.write_text(json.dumps({**raw, "annotations": []}))
    assert "no annotation of category 'person'; nothing to use" in refused()
    labels.write_text("")
    assert "not JSON: the file is empty" in refused()
    labels.unlink()
    assert "no such annotation file" in refused()
    spec.write_text("name: x\n")
    assert "dataset.train: needed for converting" in refused()


def test_what_is_left_out_is_told_once_and_counted(tmp_path: Path, bpnet: Run, keras_loaded: None) -> None:
    files = {"1.jpg": jpeg(noise()), "2.jpg": jpeg(noise())[:-30], "3.jpg": b"", "4.jpg": jpeg(noise())}
    data = data_at(tmp_path / "data", write_photos(tmp_path / "data", files, (100, 120)))
    spec = write_spec(tmp_path, data, "{epochs: 1, steps_per_epoch: 1, batch_size: 2, log_images: 0}")
    line = f"photos left out: damaged, cut off or of an unknown format: 2 (first: {data / 'images' / '2.jpg'})"
    result = bpnet("dataset_convert", "-e", spec, "-o", tmp_path / "out", "--set", "dataset.validation=null")
    assert result.exit_code == 0
    assert f"train: {line}" in result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == ["train"]
    assert (summary["train"]["photos"], summary["train"]["people"]) == ({"kept": 2, "left_out": 2},) * 2
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", "dataset.validation=null")
    assert result.exit_code == 0, result.output
    assert result.output.count(line) == 1
