"""The commands with URLs: in memory, and on a local S3 server where s3fs and moto are installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpnet_cli.data.images import image_file
from bpnet_cli.storage import place
from tests.cli.conftest import FINDING, TINY_MODEL, Run, labelled, write_spec
from tests.cli.test_dataset_convert import losses

fsspec = pytest.importorskip("fsspec")
BUCKET = "memory://bucket"


@pytest.fixture
def bucket(drawn: Path) -> Iterator[Any]:
    """fsspec's storage in memory, with the drawn photos in `BUCKET`/images and their labels in `BUCKET`/labels.json."""
    files = fsspec.filesystem("memory")
    fill(files, "bucket", drawn)
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def fill(files: Any, name: str, drawn: Path) -> None:
    for path in (drawn / "images").iterdir():
        files.pipe_file(f"{name}/images/{path.name}", path.read_bytes())
    files.pipe_file(f"{name}/labels.json", (drawn / "annotations" / "person_keypoints.json").read_bytes())


def names(files: Any, folder: str) -> list[str]:
    return sorted(name.split(f"{folder}/", 1)[1] for name in files.find(f"bucket/{folder}"))


def spec_with(directory: Path, sources: dict[str, Any]) -> Path:
    path = directory / "urls.yaml"
    text = f"name: test\ndataset: {json.dumps(sources)}\naugmentation: {{crop: photo}}\n{TINY_MODEL}"
    path.write_text(f"{text}training: {{epochs: 1, steps_per_epoch: 1, batch_size: 4}}\n")
    return path


def images_of(found: bytes) -> list[dict[str, Any]]:
    return json.loads(found)["images"]


def test_infer_is_the_same_as_from_and_to_the_disk(
    exported: Path, drawn: Path, bucket: Any, tmp_path: Path, bpnet: Run
) -> None:
    bucket.pipe_file("bucket/images/.hidden.jpg", b"no photo")
    words = ("-m", exported, *FINDING, "--format", "json,coco,csv,openpose")
    assert bpnet("infer", drawn / "images", "-r", tmp_path / "out", *words).exit_code == 0
    for inputs in (f"{BUCKET}/images", f"{BUCKET}/images/*.jpg"):
        result = bpnet("infer", inputs, "-r", f"{BUCKET}/out", *words)  # the second run overwrites the first one
        assert result.exit_code == 0, result.output
        assert f"in 12 photos: {BUCKET}/out/detections.json" in result.output
        local = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
        assert names(bucket, "out") == local
        for name in local:
            assert bucket.cat(f"bucket/out/{name}") == (tmp_path / "out" / name).read_bytes()
    assert any(image["persons"] for image in images_of(bucket.cat("bucket/out/detections.json")))


def test_shards_in_a_bucket_and_their_merge(
    exported: Path, drawn: Path, bucket: Any, tmp_path: Path, bpnet: Run
) -> None:
    words = ("-m", exported, *FINDING, "--format", "json,coco,csv", "--no-annotate")
    assert bpnet("infer", drawn / "images", "-r", tmp_path, *words).exit_code == 0
    for shard in ("1/2", "0/2", "0/2"):
        result = bpnet("infer", f"{BUCKET}/images", "-r", f"{BUCKET}/out", *words, "--shard", shard)
        assert result.exit_code == 0, result.output
    assert "1 of 1 parts are finished already" in result.output
    assert bpnet("infer", "--merge", "-r", f"{BUCKET}/out").exit_code == 0
    for name in ("detections.json", "coco_results.json", "detections.csv"):
        assert bucket.cat(f"bucket/out/{name}") == (tmp_path / name).read_bytes()
    other = bpnet("infer", f"{BUCKET}/images", "-r", f"{BUCKET}/out", *words, "--shard", "0/2", "--max-people", 1)
    assert f"{BUCKET}/out: holds parts of another run" in other.output


def test_infer_asks_for_each_photo_once(
    exported: Path, bucket: Any, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {"cat_file": [], "info": [], "find": []}

    def counting(name: str) -> Any:
        original = getattr(type(bucket), name)
        return lambda self, key, *rest, **how: asked[name].append(key) or original(self, key, *rest, **how)

    for name in asked:
        monkeypatch.setattr(type(bucket), name, counting(name))
    assert bpnet("infer", f"{BUCKET}/images", "-r", f"{BUCKET}/out", "-m", exported).exit_code == 0
    assert sorted(key for key in asked["cat_file"] if key.endswith(".jpg")) == sorted(bucket.find("bucket/images"))
    assert not [key for key in asked["info"] if key.endswith(".jpg")]
    assert len(asked["find"]) < 5


def test_a_photo_that_cannot_be_read_is_listed(
    exported: Path, bucket: Any, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe_file("bucket/images/damaged.jpg", b"no photo")
    original = type(bucket).cat_file

    def denied(self: Any, key: str, **how: Any) -> bytes:
        if key.endswith("03.jpg"):
            raise RuntimeError("the connection was lost")
        return original(self, key, **how)

    monkeypatch.setattr(type(bucket), "cat_file", denied)
    result = bpnet("infer", f"{BUCKET}/images", "-r", f"{BUCKET}/out", "-m", exported, "--no-annotate")
    assert result.exit_code == 3, result.output
    assert f"failed: {BUCKET}/images/000000000003.jpg: can't be read: the connection was lost" in result.output
    assert f"failed: {BUCKET}/images/damaged.jpg: can't be decoded as an image" in result.output
    assert len(images_of(bucket.cat("bucket/out/detections.json"))) == 11


def test_files_of_others_and_of_killed_runs(exported: Path, bucket: Any, bpnet: Run) -> None:
    words = ("infer", f"{BUCKET}/images", "-m", exported, "-r", f"{BUCKET}/out")
    bucket.pipe_file("bucket/out/annotated/000000000001.jpg", b"mine")
    result = bpnet(*words)
    assert result.exit_code == 1
    assert f"{BUCKET}/out/annotated/000000000001.jpg: exists already, and there is no sign" in result.output
    assert names(bucket, "out") == ["annotated/000000000001.jpg"]
    journal = json.dumps({"unfinished": ["annotated/000000000001.jpg"]}).encode()
    bucket.pipe_file("bucket/out/.bpnet-unfinished.json", journal)
    assert bpnet(*words).exit_code == 0
    assert bucket.cat("bucket/out/annotated/000000000001.jpg") != b"mine"
    assert ".bpnet-unfinished.json" not in names(bucket, "out")


def test_results_that_cannot_be_stored(
    exported: Path, bucket: Any, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = type(bucket).pipe_file

    def full(self: Any, key: str, data: bytes, **how: Any) -> None:
        if key.endswith("detections.json"):
            raise RuntimeError("quota exceeded")
        original(self, key, data, **how)

    monkeypatch.setattr(type(bucket), "pipe_file", full)
    words = ("infer", f"{BUCKET}/images", "-m", exported, "-r", f"{BUCKET}/out", "--no-annotate")
    result = bpnet(*words)
    assert result.exit_code == 1
    assert f"{BUCKET}/out/detections.json: can't be written: quota exceeded" in result.output
    assert names(bucket, "out") == []


def test_evaluate_is_the_same_as_from_the_disk(
    exported: Path, drawn: Path, bucket: Any, tmp_path: Path, bpnet: Run
) -> None:
    urls = ("--images", f"{BUCKET}/images", "--annotations", f"{BUCKET}/labels.json")
    assert bpnet("evaluate", "-m", exported, *labelled(drawn), "-r", tmp_path / "out").exit_code == 0
    result = bpnet("evaluate", "-m", exported, *urls, "-r", f"{BUCKET}/eval")
    assert result.exit_code == 0, result.output
    assert f"per second: {BUCKET}/eval/report.html" in result.output
    assert names(bucket, "eval") == ["coco_results.json", "metrics.json", "report.html", "results.csv"]
    local = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {**json.loads(bucket.cat("bucket/eval/metrics.json")), "seconds": 0} == {**local, "seconds": 0}


def test_shards_are_the_same_as_on_the_disk(
    drawn: Path, bucket: Any, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    spec = write_spec(tmp_path, drawn, "{}")
    words = ("dataset_convert", "-e", spec, "--shards", 3)
    assert bpnet(*words, "-o", tmp_path / "shards").exit_code == 0
    result = bpnet(*words, "-o", f"{BUCKET}/shards")
    assert result.exit_code == 0, result.output
    assert f"MB: {BUCKET}/shards/train-*-of-00003.tfrecord" in result.output
    local = sorted(path.name for path in (tmp_path / "shards").iterdir())
    assert names(bucket, "shards") == local
    assert len(local) == 13
    for name in local:
        assert bucket.cat(f"bucket/shards/{name}") == (tmp_path / "shards" / name).read_bytes()
    bucket.rm_file("bucket/shards/train-00001-of-00003.tfrecord")
    result = bpnet(*words, "-o", f"{BUCKET}/shards")
    assert "keeping 5 complete shards that are there already" in result.output
    assert names(bucket, "shards") == local


def test_training_from_photos_and_shards_in_a_bucket(
    bucket: Any, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    photos = {"images": f"{BUCKET}/images", "annotations": f"{BUCKET}/labels.json"}
    spec = spec_with(tmp_path, {"train": photos, "validation": photos})
    result = bpnet("train", "-e", spec, "-r", tmp_path / "photos")
    assert result.exit_code == 0, result.output
    for keeping in (0, 4):  # the fingerprint of the photos is the same as long as they are
        result = bpnet("dataset_convert", "-e", spec, "-o", f"{BUCKET}/shards", "--shards", 2)
        assert result.exit_code == 0, result.output
        assert (f"keeping {keeping} complete" in result.output) == bool(keeping)
    bucket.pipe_file("bucket/images/000000000001.jpg", bucket.cat("bucket/images/000000000001.jpg"))
    result = bpnet("dataset_convert", "-e", spec, "-o", f"{BUCKET}/shards", "--shards", 2)
    assert "holds shards of other photos, labels or settings" in result.output
    records = {name: {"records": f"{BUCKET}/shards/{name}-*.tfrecord"} for name in ("train", "validation")}
    result = bpnet("train", "-e", spec_with(tmp_path, records), "-r", tmp_path / "shards")
    assert result.exit_code == 0, result.output
    assert losses(tmp_path / "photos") == pytest.approx(losses(tmp_path / "shards"), rel=1e-4)


def test_what_is_missing_is_named(exported: Path, drawn: Path, bucket: Any, tmp_path: Path, bpnet: Run) -> None:
    photos = {"images": f"{BUCKET}/none", "annotations": f"{BUCKET}/labels.json"}
    spec = spec_with(tmp_path, {"train": photos})
    for words, message in (
        (("infer", "memory://none", "-m", exported), "memory://none: no such file, folder or match"),
        (("train", "-e", spec, "-r", tmp_path / "run"), f"{BUCKET}/none: no such folder of photos (dataset.train"),
        (
            ("evaluate", "-m", exported, "--images", f"{BUCKET}/images", "--annotations", f"{BUCKET}/none.json"),
            f"{BUCKET}/none.json: no such annotation file (--images and --annotations)",
        ),
    ):
        folder = () if "train" in words else ("-r", tmp_path / "out")
        result = bpnet(*words, *folder)
        assert result.exit_code == 1
        assert message in result.output
        assert "Traceback" not in result.output


def test_models_and_runs_are_kept_on_disks(trained: Path, model: Path, tmp_path: Path, bpnet: Run) -> None:
    for words in (
        ("train", "-e", trained / "spec.yaml", "-r", f"{BUCKET}/run"),
        ("export", "-m", model, "-o", f"{BUCKET}/model.onnx"),
        ("export", "-m", model, "--format", "saved_model", "-o", f"{BUCKET}/model"),
        ("export", "-m", model, "--triton", f"{BUCKET}/models"),
        ("export", "-m", model, "--web", f"{BUCKET}/page", "--with-peaks"),
        ("prune", "-m", model, "--threshold", 0.1, "-o", f"{BUCKET}/small.keras"),
        ("dataset", "synthetic", "-o", f"{BUCKET}/drawn", "--images", 1),
        ("dataset", "synthetic", "-o", f"{BUCKET}/drawn", "--video"),
    ):
        result = bpnet(*words)
        assert result.exit_code == 1, words
        assert f"Error: {BUCKET}/" in result.output
        assert ": must be on a local or mounted disk; copy the files from there afterwards" in result.output


def test_an_s3_server(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch, keras_loaded: None
) -> None:
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
        ):
            monkeypatch.setenv(name, value)
        files = s3fs.S3FileSystem()
        files.mkdir("bucket")
        fill(files, "bucket", drawn)
        words = ("-m", exported, *FINDING)
        assert bpnet("infer", drawn / "images", "-r", tmp_path / "out", *words).exit_code == 0
        requests: list[str] = []
        call = s3fs.S3FileSystem._call_s3
        for inputs in ("s3://bucket/images", "s3://bucket/images/*.jpg"):
            with monkeypatch.context() as patch:
                patch.setattr(
                    s3fs.S3FileSystem, "_call_s3", lambda self, *a, **k: requests.append(a[0]) or call(self, *a, **k)
                )
                result = bpnet("infer", inputs, "-r", "s3://bucket/out", *words)
            assert result.exit_code == 0, result.output
        assert requests.count("get_object") >= 2 * 12  # each photo is read in one request
        assert requests.count("head_object") < 2 * 12
        files.touch("bucket/empty.jpg")
        assert image_file(place("s3://bucket/empty.jpg")).read() == b""
        local = json.loads((tmp_path / "out" / "detections.json").read_text())
        assert json.loads(files.cat("bucket/out/detections.json")) == local
        photos = {"images": "s3://bucket/images", "annotations": "s3://bucket/labels.json"}
        result = bpnet("dataset_convert", "-e", spec_with(tmp_path, {"train": photos}), "-o", "s3://bucket/shards")
        assert result.exit_code == 0, result.output
        spec = spec_with(tmp_path, {"train": {"records": "s3://bucket/shards/train-*.tfrecord"}, "validation": photos})
        result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
        assert result.exit_code == 0, result.output
        result = bpnet("infer", "s3://nobucket/images", "-r", tmp_path / "none", *words)
        assert result.output.endswith("Error: s3://nobucket/images: no such file, folder or match\n")
        result = bpnet("infer", "s3://bucket/images", "-r", "s3://nobucket/out", *words)
        assert result.output.endswith("s3://nobucket/out: can't be written: The specified bucket does not exist\n")
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
