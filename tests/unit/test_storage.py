"""URLs as paths: what they mean, how errors read, what is asked of the storage, and atomic writing."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from bpnet_cli import storage
from bpnet_cli.data.address import is_address, without_login
from bpnet_cli.data.checks import find_photos
from bpnet_cli.data.convert import convert
from bpnet_cli.data.images import image_file
from bpnet_cli.data.labels import Image
from bpnet_cli.data.records import open_records
from bpnet_cli.data.video import VideoReader
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.files import atomic_path, check_folder, check_output, write_text
from bpnet_cli.inference.sources import find_inputs
from bpnet_cli.storage import StorageError, Stored, local_path, place
from tests.unit.test_video import GREY, encode, flat

fsspec = pytest.importorskip("fsspec")
BUCKET = "memory://bucket"


@pytest.fixture
def memory() -> Iterator[type]:
    """fsspec's storage in memory, which is empty before and after the test."""
    from fsspec.implementations.memory import MemoryFileSystem

    def clear() -> None:
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]

    clear()
    yield MemoryFileSystem
    clear()


def stored(name: str, data: bytes = b"x") -> Path:
    path = place(f"{BUCKET}/{name}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return path


def test_words_that_are_urls() -> None:
    for word in ("s3://bucket/a", "memory://a", "gs://b", "hf://datasets/u/r/a.jpg", "S3://bucket"):
        assert isinstance(place(word), Stored)
        assert not is_address(word)
    for word in ("rtsp://camera/live", "https://host/film.mp4", "udp://239.0.0.1:1234", "file:///tmp/a.mp4"):
        assert is_address(word)
        assert not isinstance(place(word), Stored)
    for word in ("photos", "/photos", "a:b.jpg", "12:30:00.mp4", "c:\\photos", Path("s3:/b")):
        assert type(place(word)) is type(Path())


def test_a_local_folder_whose_name_looks_like_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert type(place("s3://bucket")) is type(Path())


def test_names_of_a_url_are_those_of_a_path() -> None:
    path = place("s3://bucket/a/photo.jpg")
    assert str(path) == f"{path}" == path.as_posix() == "s3://bucket/a/photo.jpg"
    assert (path.name, path.stem, path.suffix) == ("photo.jpg", "photo", ".jpg")
    assert str(path.with_suffix(".index")) == "s3://bucket/a/photo.index"
    assert path.parent / "b" / "c" == place("s3://bucket/a/b/c")
    assert path.relative_to(place("s3://bucket")).as_posix() == "a/photo.jpg"
    assert str(place("s3://bucket/").parent / "x") == "s3://x"
    assert pickle.loads(pickle.dumps(path)) == path


def test_no_url_with_a_password_is_taken_or_printed() -> None:
    with pytest.raises(BpnetError, match="sftp://host/a: give the password in the environment") as error:
        place("sftp://me:secret@host/a")
    assert "secret" not in str(error.value)
    assert "FSSPEC_SFTP_PASSWORD" in str(error.value)
    assert without_login("sftp://me:secret@host/a") == "sftp://host/a"
    assert str(place("abfs://box@account/a")) == without_login("abfs://box@account/a") == "abfs://box@account/a"


def test_a_listed_url_with_a_password_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("sftp://me:secret@host/a\n")
    (problem,) = find_inputs([f"@{tmp_path / 'list.txt'}"]).problems
    assert "secret" not in " ".join(problem)
    assert problem.path == "sftp://host/a"


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "lost", {"class": "lost_fs.Lost", "err": "Install lost_fs"})
    err = 'Needs "lost-parts" to be installed'
    monkeypatch.setitem(known_implementations, "gone", {"class": "fsspec.implementations.gone.Gone", "err": err})
    for url, message in (
        ("lost://b/x", "lost://b/x: lost:// needs another package: pip install lost-fs"),
        ("gone://b/x", "gone://b/x: gone:// needs another package: pip install lost-parts"),
        ("mem0ry://b/x", "mem0ry:// is no protocol that fsspec or FFmpeg knows, did you mean 'memory'?"),
    ):
        with pytest.raises(BpnetError) as error:
            place(url).exists()
        assert message in str(error.value)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BpnetError, match=r"s3://b/x: URLs need fsspec: pip install 'bpnet-cli\[remote\]'"):
        find_inputs(["s3://b/x"])


def test_errors_of_any_package_become_one_line(memory: type, monkeypatch: pytest.MonkeyPatch) -> None:
    stored("a.jpg")

    def denied(*_: object, **__: object) -> None:
        raise RuntimeError("Access Denied\nRequest 1234")

    monkeypatch.setattr(memory, "cat_file", denied)
    monkeypatch.setattr(memory, "info", denied)
    with pytest.raises(DataError, match=r"^memory://bucket/a.jpg: can't be read: Access Denied$"):
        image_file(place(f"{BUCKET}/a.jpg")).read()
    with pytest.raises(StorageError, match=r"^memory://bucket/a.jpg: Access Denied$"):
        find_inputs([f"{BUCKET}/a.jpg"])
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"^memory://bucket/b.jpg: can't be read: no such file or folder$"):
        image_file(place(f"{BUCKET}/b.jpg")).read()
    for path in (place(f"{BUCKET}/b"), place(BUCKET) / "/b"):
        with pytest.raises(StorageError, match="no such file or folder"):
            path.stat()


@pytest.mark.parametrize("in_one_piece", [True, False])
def test_a_file_is_replaced_whole_or_not_at_all(
    memory: type, monkeypatch: pytest.MonkeyPatch, in_one_piece: bool
) -> None:
    if not in_one_piece:
        monkeypatch.setattr(storage, "_ONE_PIECE", 2)
    path = stored("deep/a.txt", b"before")
    with pytest.raises(ValueError, match="mine"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ValueError("mine")
    assert path.read_bytes() == b"before"

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "pipe_file" if in_one_piece else "put_file", fails)
        with pytest.raises(BpnetError, match=r"^memory://bucket/deep/a.txt: can't be written: No space left$"):
            write_text(path, "after")
    assert path.read_bytes() == b"before"
    write_text(path, "after")
    assert path.read_bytes() == b"after"
    assert [str(file) for file in place(BUCKET).rglob("*")] == [f"{BUCKET}/deep/a.txt"]


def test_a_folder_for_results_is_tried_and_left_empty(memory: type, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(f"{BUCKET}/new")
    assert not list(place(BUCKET).rglob("*"))
    stored("file")
    with pytest.raises(BpnetError, match=r"^memory://bucket/file: is a file, not a folder for results$"):
        check_folder(f"{BUCKET}/file")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(memory, "pipe_file", denied)
    with pytest.raises(BpnetError, match=r"^memory://bucket/new: can't be written: Access Denied$"):
        check_folder(f"{BUCKET}/new")


def test_what_must_be_local_says_so() -> None:
    for refused in (lambda: local_path("s3://b/run"), lambda: check_output("s3://b/m.onnx", ".onnx", False)):
        with pytest.raises(BpnetError, match=r"s3://b/\S+: must be on a local or mounted disk; copy the files"):
            refused()


def test_deleting(memory: type) -> None:
    path = stored("a")
    path.unlink()
    assert not path.exists()
    path.unlink(missing_ok=True)
    with pytest.raises(StorageError, match="no such file"):
        path.unlink()
    path.parent.rmdir()


def test_a_folder_is_searched_like_a_local_one(memory: type) -> None:
    names = ("b/2.jpg", "a.jpg", ".hidden.jpg", ".cache/3.jpg", "annotated/4.jpg", "deep/annotated/5.jpg", "note.txt")
    for name in names:
        stored(f"photos/{name}")
    stored("photos/deep/detections.json", b'{"model": {}}')
    found = find_inputs([f"{BUCKET}/photos"])
    assert [photo.name for photo in found.photos] == ["a.jpg", "annotated/4.jpg", "b/2.jpg"]
    assert found.left_out == (
        f"left out: {BUCKET}/photos/deep/annotated, drawn by an earlier run",
        "left out: 2 files that are not photos or videos (.json, .txt)",
    )
    for pattern, expected in (
        ("photos/*.jpg", ["a.jpg"]),
        ("photos/**/*.jpg", ["a.jpg", "annotated/4.jpg", "b/2.jpg"]),
        ("photos/[bd]*/?.jpg", ["b/2.jpg"]),
        ("photos/.*.jpg", [".hidden.jpg"]),
    ):
        assert [photo.name for photo in find_inputs([f"{BUCKET}/{pattern}"]).photos] == expected
    with pytest.raises(BpnetError, match=r"^memory://bucket/nothing\*: no such file, folder or match$"):
        find_inputs([f"{BUCKET}/nothing*"])


def test_kinds_are_read_only_where_the_ending_tells_nothing(
    memory: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photo = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    for name in ("a.jpg", "film.mp4", "noending", "text"):
        stored(name, photo if name == "noending" else b"hello")
    pages = [Picture.new("L", (8, 8), value) for value in (0, 255)]
    pages[0].save(tmp_path / "still.gif")
    pages[0].save(tmp_path / "moving.gif", save_all=True, append_images=pages[1:])
    for path in tmp_path.glob("*.gif"):
        stored(path.name, path.read_bytes())
    read: list[str] = []
    cat_file = memory.cat_file
    monkeypatch.setattr(memory, "cat_file", lambda self, key, **how: read.append(key) or cat_file(self, key, **how))
    found = find_inputs([BUCKET])
    assert [photo.name for photo in found.photos] == ["a.jpg", "noending", "still.gif"]
    assert [video.name for video in found.videos] == ["film.mp4", "moving.gif"]
    assert sorted(read) == ["/bucket/moving.gif", "/bucket/noending", "/bucket/still.gif", "/bucket/text"]


def test_a_video_is_read_in_place(memory: type, tmp_path: Path) -> None:
    encode(tmp_path / "v.mp4", flat(GREY))
    path = stored("v.mp4", (tmp_path / "v.mp4").read_bytes())
    with VideoReader(str(path)) as reader, VideoReader(str(tmp_path / "v.mp4")) as local:
        frames = list(reader.frames())
        assert len(frames) == len(GREY)
        assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, local.frames(), strict=True))
    with pytest.raises(DataError, match=r"^memory://bucket/none.mp4: can't be opened as a video \(no such file"):
        VideoReader(f"{BUCKET}/none.mp4")


def test_photos_are_looked_up_in_one_listing(memory: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        stored(f"images/{i}.jpg")
    monkeypatch.setattr(memory, "info", None)  # asking for a single file would fail
    images = {i: Image(f"below\\{i}.jpg" if i else "./0.jpg", 8, 8) for i in range(5)}
    found, problems = find_photos(place(f"{BUCKET}/images"), images)
    assert [image.file_name for image in found.values()] == ["./0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert len(problems) == 4


def test_readers_travel_to_other_processes(memory: type) -> None:
    path = stored("a.jpg", b"bytes")
    assert pickle.loads(pickle.dumps(image_file(path))).read() == b"bytes"


def test_urls_that_tensorflow_alone_reads(memory: type, drawn: Path, tmp_path: Path, keras_loaded: None) -> None:
    import tensorflow as tf

    sources = [(str(drawn / "images"), str(drawn / "annotations" / "person_keypoints.json"))]
    convert({"train": sources}, tmp_path, shards=2)
    for path in tmp_path.glob("train-*"):
        tf.io.gfile.copy(str(path), f"ram://alone/{path.name}", overwrite=True)
        stored(f"shards/{path.name}", path.read_bytes())
    local, ram, url = (
        open_records(f"{folder}/train-*.tfrecord")[0] for folder in (tmp_path, "ram://alone", f"{BUCKET}/shards")
    )
    for image_id, file in local.files.items():
        assert ram.files[image_id].read() == url.files[image_id].read() == file.read()
        assert pickle.loads(pickle.dumps(url.files[image_id])).read() == file.read()


def test_one_shard_by_its_name(memory: type, drawn: Path, keras_loaded: None) -> None:
    sources = [(str(drawn / "images"), str(drawn / "annotations" / "person_keypoints.json"))]
    convert({"train": sources}, f"{BUCKET}/shards", shards=1)
    (source,) = open_records(f"{BUCKET}/shards/train-00000-of-00001.tfrecord")
    assert len(source.files) == 12


def test_shards_that_cannot_be_read(memory: type, drawn: Path, keras_loaded: None) -> None:
    sources = [(str(drawn / "images"), str(drawn / "annotations" / "person_keypoints.json"))]
    convert({"train": sources}, f"{BUCKET}/shards", shards=2)
    pattern, first = f"{BUCKET}/shards/train-*.tfrecord", place(f"{BUCKET}/shards/train-00000-of-00002.tfrecord")
    (source,) = open_records(pattern)
    content = first.read_bytes()
    stored("shards/train-00000-of-00002.tfrecord", content[:-8])
    with pytest.raises(DataError, match="train-00000-of-00002.tfrecord: has .* bytes, but its index says"):
        open_records(pattern)
    file = source.files[min(source.files)]
    first.unlink()
    with pytest.raises(DataError, match="can't be read at 000000000001.jpg: no such file or folder"):
        file.read()
    stored("shards/train-00000-of-00002.tfrecord", bytes(len(content)))
    with pytest.raises(DataError, match="is damaged at 000000000001.jpg"):
        file.read()
    first.with_suffix(".index").unlink()
    with pytest.raises(DataError, match="train-00000-of-00002.tfrecord: its index .* is missing"):
        open_records(pattern)
    with pytest.raises(DataError, match="matches no .tfrecord file"):
        open_records(f"{BUCKET}/none/*.tfrecord")
