"""TFRecord shards: the same photos, labels and batches as from the files they were made of."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.build import photos_of
from bpnet_cli.data.augment import Augmentation
from bpnet_cli.data.checks import DAMAGED
from bpnet_cli.data.convert import convert
from bpnet_cli.data.pipeline import make_loader, make_pipeline
from bpnet_cli.data.records import from_example, open_records, to_example
from bpnet_cli.data.runs import check_runs
from bpnet_cli.data.samples import list_samples
from bpnet_cli.errors import DataError
from bpnet_cli.evaluation.coco import evaluate_detections, without_area
from bpnet_cli.evaluation.evaluate import load_labelled
from bpnet_cli.spec.dataset import DataSource, RecordSource, Source

pytestmark = pytest.mark.usefixtures("keras_loaded")


def from_files(sources: list[tuple[str, str]]) -> list[Source]:
    return [DataSource(images=images, annotations=annotations) for images, annotations in sources]


def from_shards(directory: Path, name: str = "train") -> list[Source]:
    return [RecordSource(records=f"{directory}/{name}-*")]


def batches(sources: list[Source], crop: str, workers: int) -> list:
    samples = list_samples(
        photos_of(sources, BODY_18), crop=crop, min_keypoints=5, min_area_px=64, min_distance_ratio=0.3
    )
    loader = make_loader(samples, BODY_18, Augmentation(crop=crop), height=64, width=96, stride=8, seed=3)
    return list(make_pipeline(loader, 4, workers=workers).take(1 + 2 * len(samples) // 4).as_numpy_iterator())


def assert_same(a: list, b: list) -> None:
    assert len(a) == len(b)
    for (images, labels), (other_images, other_labels) in zip(a, b, strict=True):
        np.testing.assert_array_equal(images, other_images)
        for name in labels:
            np.testing.assert_array_equal(labels[name], other_labels[name])


@pytest.mark.parametrize("crop", ["person", "photo"])
@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (3, 4), (3, 1)])
def test_batches_are_those_of_the_files(
    tmp_path: Path, sources: list[tuple[str, str]], shards: int, workers: int, crop: str
) -> None:
    summary = convert({"train": sources}, tmp_path, shards=shards)
    assert len(list(tmp_path.glob("*.tfrecord"))) == summary["train"]["shards"] == shards
    expected = batches(from_files(sources), crop, workers=2)
    assert any((labels["mask"] == 0).any() for _, labels in expected)
    assert_same(expected, batches(from_shards(tmp_path), crop, workers))


def test_what_was_left_out_is_told_alike(
    tmp_path: Path, messy: Path, sources: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    photos_of(from_files(sources), BODY_18)
    told = capsys.readouterr().err
    assert told.count("(first: ") == 6
    summary = convert({"train": sources}, tmp_path, shards=3)
    capsys.readouterr()
    photos_of(from_shards(tmp_path), BODY_18)
    assert capsys.readouterr().err == told
    kept = summary["train"]
    assert kept["photos"] == {"kept": 16, "left_out": 2}
    raw = json.loads((messy / "labels.json").read_text())
    assert kept["people"]["left_out"] == 3  # one on each photo left out, one outside of its photo
    people = sum(len(photo.keypoints) for photo in photos_of(from_files(sources[1:]), BODY_18))
    assert kept["people"]["kept"] == people + len(raw["annotations"]) - 3 - 2
    assert kept["problems"][DAMAGED] == {"count": 1, "names": [str(messy / "images" / "2.jpg")]}
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_evaluation_sees_the_same_photos_and_people(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    convert({"validation": sources}, tmp_path, shards=2)
    expected = load_labelled(from_files(sources), BODY_18)
    labelled = load_labelled(from_shards(tmp_path, "validation"), BODY_18)
    assert list(labelled.files) == list(expected.files)
    assert without_area(labelled.truth) == without_area(expected.truth)
    assert without_area(expected.truth).startswith("1 of ")
    for image_id, file in expected.files.items():
        np.testing.assert_array_equal(labelled.files[image_id].rgb(), file.rgb())
    rng = np.random.default_rng(0)
    found = [
        {"image_id": i, "category_id": 1, "score": 1.0, "keypoints": (points + rng.normal(0, 2, 51)).tolist()}
        for i in expected.truth.images
        for points in expected.truth.people_of(i).keypoints.reshape(-1, 51)
    ]
    metrics = evaluate_detections(expected.truth, found, BODY_18).metrics
    assert 0.1 < metrics["AP"] < 0.99
    assert evaluate_detections(labelled.truth, found, BODY_18).metrics == metrics


def test_a_record_holds_everything_in_the_data_sets_own_order(tmp_path: Path, drawn: Path) -> None:
    import tensorflow as tf

    labels = drawn / "annotations" / "person_keypoints.json"
    convert({"train": [(str(drawn / "images"), str(labels))]}, tmp_path, shards=1)
    raw = json.loads(labels.read_text())
    records = tf.data.TFRecordDataset([str(tmp_path / "train-00000-of-00001.tfrecord")])
    floats, ints, texts = (tf.io.VarLenFeature(kind) for kind in (tf.float32, tf.int64, tf.string))
    kinds = {
        **{"image/encoded": texts, "image/file_name": texts, "image/id": ints, "source/keypoint_names": texts},
        **{"person/keypoints": floats, "person/visibilities": ints, "person/boxes": floats, "person/areas": floats},
    }
    parsed = [tf.io.parse_single_example(record, kinds) for record in records]
    assert len(parsed) == len(raw["images"])
    for image, record in zip(raw["images"], parsed, strict=True):
        values = {name: value.values.numpy() for name, value in record.items()}
        assert values["image/encoded"][0] == (drawn / "images" / image["file_name"]).read_bytes()
        assert values["image/file_name"][0].decode() == image["file_name"]
        assert values["image/id"] == [image["id"]]
        assert [name.decode() for name in values["source/keypoint_names"]] == raw["categories"][0]["keypoints"]
        people = [a for a in raw["annotations"] if a["image_id"] == image["id"]]
        points = np.array([a["keypoints"] for a in people], np.float32).reshape(-1, 3)
        np.testing.assert_array_equal(values["person/keypoints"].reshape(-1, 2), points[:, :2])
        np.testing.assert_array_equal(values["person/visibilities"], points[:, 2])
        np.testing.assert_array_equal(values["person/boxes"], np.array([a["bbox"] for a in people], "f4").ravel())
        np.testing.assert_array_equal(values["person/areas"], np.array([a["area"] for a in people], "f4"))


def cut_shard(out: Path) -> None:
    path = out / "train-00001-of-00003.tfrecord"
    path.write_bytes(path.read_bytes()[:-7])


def lose_index(out: Path) -> None:
    (out / "train-00001-of-00003.index").unlink()


def cut_index(out: Path) -> None:
    path = out / "train-00001-of-00003.index"
    path.write_bytes(path.read_bytes()[:-7])


def empty_index(out: Path) -> None:
    (out / "train-00001-of-00003.index").write_bytes(b"")


def lose_shard(out: Path) -> None:
    (out / "train-00001-of-00003.tfrecord").unlink()


def lose_all(out: Path) -> None:
    for path in out.glob("*.tfrecord"):
        path.unlink()


def state_many(out: Path) -> None:
    """A number of shards that no list can hold."""
    import tensorflow as tf

    for path in out.glob("*.index"):
        first, *rest = [bytes(record.numpy()) for record in tf.data.TFRecordDataset([str(path)])]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in (json.dumps(json.loads(first) | {"shards": 10**18}).encode(), *rest):
                writer.write(record)


SPOILT = [
    (state_many, r"train-\*: shard 3 of 1000000000000000000 is missing, counted from 0"),
    (cut_shard, r"train-00001-of-00003.tfrecord: has \d+ bytes, but its index says \d+; copy or convert it again"),
    (lose_index, r"train-00001-of-00003.tfrecord: its index .*train-00001-of-00003.index is missing"),
    (cut_index, r"train-00001-of-00003.index: can't be read"),
    (empty_index, r"train-00001-of-00003.index: can't be read \(Expecting value"),
    (lose_shard, r"train-\*: shard 1 of 3 is missing, counted from 0"),
    (lose_all, r"train-\*: matches no .tfrecord file"),
]


def rewrite_index(out: Path, change: Callable[[dict[str, list]], None]) -> None:
    """Change the first photo's row of an index; checksums are right afterwards."""
    import tensorflow as tf

    path = next(out.glob("*00001-of-00003.index"))
    first, second, *rest = [bytes(record.numpy()) for record in tf.data.TFRecordDataset([str(path)])]
    row = from_example(second)
    change(row)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (first, to_example(row), *rest):
            writer.write(record)


def huge_length(out: Path) -> None:
    """A length of 10^15 with a right checksum; TensorFlow alone would crash."""
    path = next(out.glob("*00001-of-00003.index"))
    data = path.read_bytes()
    length = struct.pack("<Q", 10**15)
    path.write_bytes(length + struct.pack("<I", masked_crc32c(length)) + data[12:])


def masked_crc32c(data: bytes) -> int:
    """RFC 3720, appendix B.4; masked as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


WRONG_ROWS = {
    "KeyError: 'person/areas'": lambda row: row.pop("person/areas"),
    "cannot reshape": lambda row: row["person/keypoints"].pop(),
    "not enough values to unpack": lambda row: row["image/id"].clear(),
    "its counts are no run lengths": lambda row: row.update({"ignore/counts": [b"\xff\xff"]}),
    "its run lengths have 1 pixels, the image has": lambda row: row.update({"ignore/counts": [b"1"]}),
    "a photo lies outside of its shard": lambda row: row.update({"image/length": [10**15]}),
}


@pytest.mark.parametrize("reason", WRONG_ROWS)
def test_rows_that_cannot_be_true_are_refused(tmp_path: Path, sources: list[tuple[str, str]], reason: str) -> None:
    convert({"train": sources[1:]}, tmp_path, shards=3)
    rewrite_index(tmp_path, WRONG_ROWS[reason])
    with pytest.raises(DataError, match=rf"an index can't be right \(.*{reason}"):
        photos_of(from_shards(tmp_path), BODY_18)


def test_a_length_that_no_file_has(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    convert({"train": sources[1:]}, tmp_path, shards=3)
    huge_length(tmp_path)
    with pytest.raises(DataError, match=r"00001-of-00003.index: can't be read \(it is cut off, or damaged\)"):
        photos_of(from_shards(tmp_path), BODY_18)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_those_of_pycocotools(seed: int) -> None:
    from pycocotools import mask

    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 90, 2)
    pixels = (rng.random((height, width)) < rng.choice([0, 0.02, 0.5, 0.98, 1])).astype(np.uint8)
    counts = mask.encode(np.asfortranarray(pixels))["counts"]
    check_runs(counts, height, width)
    check_runs(counts.decode(), height, width)
    with pytest.raises(ValueError, match="pixels, the image has"):
        check_runs(counts, height, width + 1)
    for spoilt in (counts[:-1] + b"o", counts + b"\x00", b"o" * 9, b"`"):
        with pytest.raises(ValueError, match="counts|run lengths"):
            check_runs(spoilt, height, width)
    with pytest.raises(ValueError, match="its counts are int, not text"):
        check_runs(3, height, width)


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_shards_that_are_not_whole_are_refused(
    tmp_path: Path, sources: list[tuple[str, str]], spoil: object, message: str
) -> None:
    convert({"train": sources[1:]}, tmp_path, shards=3)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        photos_of(from_shards(tmp_path), BODY_18)


def test_a_glob_of_two_sets_is_refused(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    convert({"train": sources, "validation": sources[1:]}, tmp_path, shards=2)
    with pytest.raises(DataError, match="matches more than one set of shards, such as train and validation"):
        open_records(f"{tmp_path}/*.tfrecord")
    assert len(open_records(f"{tmp_path}/train-*.tfrecord")) == 2


def test_a_damaged_photo_in_a_shard_is_named(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    convert({"train": sources[1:]}, tmp_path, shards=1)
    path = tmp_path / "train-00000-of-00001.tfrecord"
    data = bytearray(path.read_bytes())
    image = Path(sources[1][0], "000000000002.jpg").read_bytes()
    data[data.index(image) + 500] ^= 1
    path.write_bytes(data)
    (source,) = open_records(str(path))
    assert source.files[1].decode().shape == (128, 128, 3)
    with pytest.raises(DataError, match=r"train-00000-of-00001.tfrecord: is damaged at 000000000002.jpg"):
        source.files[2].decode()


def test_shards_may_lie_wherever_tensorflow_reads(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    import tensorflow as tf

    convert({"train": sources}, tmp_path, shards=2)
    for path in tmp_path.iterdir():
        tf.io.gfile.copy(str(path), f"ram://shards/{path.name}", overwrite=True)
    remote = photos_of([RecordSource(records="ram://shards/train-*.tfrecord")], BODY_18)
    for photo, expected in zip(remote, photos_of(from_files(sources), BODY_18), strict=True):
        assert photo.image.read() == expected.image.read()
        np.testing.assert_array_equal(photo.keypoints, expected.keypoints)
