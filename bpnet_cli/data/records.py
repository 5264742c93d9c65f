"""Photos and labels in TFRecord shards: the content of a record, and reading shards as a data source.

A shard `train-00000-of-00004.tfrecord` holds one `tf.train.Example` per photo, with its labels and its encoded image,
in the order of the data set. Its index, `train-00000-of-00004.index`, is a TFRecord file too. The index begins with a
JSON header. Then it repeats the labels of each record, with the position of the image's bytes in the shard. So all
labels are read without reading an image, and an image needs one read.
"""

from __future__ import annotations

import errno
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bpnet_cli.data.choice import ANYTHING, Choice, chosen_names
from bpnet_cli.data.images import EncodedImage
from bpnet_cli.data.labels import Entry, Image, LabelSource, Problem, gather
from bpnet_cli.data.runs import check_runs
from bpnet_cli.data.tfrecord import by_fsspec, rows_of
from bpnet_cli.engine import load_tensorflow
from bpnet_cli.errors import DataError
from bpnet_cli.storage import StorageError, is_remote, place, split_pattern
from bpnet_cli.untrusted import json_of, typed

FORMAT = 1
# The kind of the values of each feature of a row that is read.
_KINDS = {
    **dict.fromkeys(("image/id", "image/height", "image/width", "image/as_stored", "image/offset"), int),
    **dict.fromkeys(("image/length", "image/crc32", "source/number", "source/category_id"), int),
    **dict.fromkeys(("person/visibilities", "person/crowds"), int),
    **dict.fromkeys(("person/keypoints", "person/boxes", "person/areas"), float),
    **dict.fromkeys(("image/file_name", "source/keypoint_names", "ignore/counts"), bytes),
}
SHARD_SUFFIX, INDEX_SUFFIX = ".tfrecord", ".index"


@dataclass(frozen=True)
class ShardHeader:
    """The header of an index, which describes the shard.

    set: fingerprint of everything that was converted, the same in all shards of a set. shard: its number, from 0.
    shards: number of shards in the set. size: of the shard in bytes. photos: number in the shard. people: number with
    keypoints in the shard. problems: what was left out or changed; problems of the labels are all in shard 0. notes: of
    each source, all in shard 0. format: version of the shards.
    """

    set: str
    shard: int
    shards: int
    size: int
    photos: int
    people: int
    problems: list[Problem] = field(default_factory=list)
    notes: list[list[str]] = field(default_factory=list)
    format: int = FORMAT

    def to_json(self) -> bytes:
        """The header as JSON: the first record of the index."""
        return json.dumps(asdict(self)).encode()


def index_of(shard: str) -> str:
    """The name of the index of a shard."""
    return shard.removesuffix(SHARD_SUFFIX) + INDEX_SUFFIX


def label_features(source: LabelSource, number: int, image_id: int) -> dict[str, Any]:
    """The labels of a photo as TFRecord features, with people and crowds in the order of the annotation file.

    number: of the source in the set, from 0. All lengths are in pixels of the photo. `person/keypoints`: x, y of every
    keypoint of the data set, in its order. `person/visibilities`: 0 unlabelled, 1 occluded, 2 visible. `person/boxes`:
    x, y, width, height. `person/areas`: in square pixels, 0 if the file gives none. `ignore/counts`: compressed run
    lengths as in COCO, for the size of the photo. Raises DataError for a region that can't be decoded.
    """
    image, people = source.labels.images[image_id], source.labels.people_of(image_id)
    ignore = source.ignore(image_id)
    return {
        "image/id": [image_id],
        "image/file_name": [image.file_name.encode()],
        "image/height": [image.height],
        "image/width": [image.width],
        "image/as_stored": [int(source.files[image_id].as_stored)],
        "source/number": [number],
        "source/category_id": [source.labels.category_id],
        "source/keypoint_names": [name.encode() for name in source.labels.keypoint_names],
        "person/keypoints": people.keypoints[..., :2].ravel().tolist(),
        "person/visibilities": people.keypoints[..., 2].astype(int).ravel().tolist(),
        "person/boxes": people.boxes.ravel().tolist(),
        "person/areas": people.areas.tolist(),
        "person/crowds": people.crowds.astype(int).tolist(),
        "person/num_keypoints": (people.keypoints[..., 2] > 0).sum(axis=1).tolist(),
        "ignore/counts": [ignore["counts"]] if ignore else [],
    }


def to_example(features: Mapping[str, Sequence[Any]]) -> bytes:
    """Serialise features as `tf.train.Example`. The same features always give the same bytes."""
    from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

    kinds = {bytes: ("bytes_list", BytesList), float: ("float_list", FloatList), int: ("int64_list", Int64List)}
    made = {}
    for name, values in features.items():
        key, kind = kinds[type(values[0])] if values else kinds[int]
        made[name] = Feature(**{key: kind(value=values)})
    data: bytes = Example(features=Features(feature=made)).SerializeToString(deterministic=True)
    return data


def from_example(data: bytes) -> dict[str, list[Any]]:
    """The features of a serialised `tf.train.Example`. Raises ValueError where it is none."""
    from google.protobuf.message import DecodeError
    from tensorflow.train import Example

    try:
        features = Example.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return {name: list(getattr(values, values.WhichOneof("kind")).value) for name, values in features.items()}


def read_index(shard: str) -> tuple[ShardHeader, list[dict[str, list[Any]]]]:
    """Header and records of a shard's index. Raises DataError if it is missing, damaged or of another version."""
    import tensorflow as tf

    try:
        first, *rest = rows_of(index_of(shard)) or [b""]
        if json_of(first)["format"] != FORMAT:
            raise DataError(f"{index_of(shard)}: is of another version of bpnet; convert the data set again")
        return typed(ShardHeader, first), [from_example(data) for data in rest]
    except (tf.errors.NotFoundError, StorageError) as error:
        if isinstance(error, StorageError) and error.errno != errno.ENOENT:
            raise
        raise DataError(f"{shard}: its index {index_of(shard)} is missing; copy the two together") from None
    except (tf.errors.OpError, ValueError, TypeError, AttributeError, KeyError) as error:
        text = getattr(error, "message", None) or error
        raise DataError(f"{index_of(shard)}: can't be read ({text}); convert the data set again") from None


def open_records(pattern: str, choice: Choice = ANYTHING) -> list[LabelSource]:
    """The data sources in the shards that a glob matches, in the order of the shards' names.

    pattern: a glob of local paths or URLs; URLs for which fsspec has no package are left to TensorFlow. choice: gives
    the spelling of keypoints. Raises DataError if nothing matches, a shard has another size than its index says, an
    index or a shard of a set is missing, or a folder has matches from more than one set (such as train and validation).
    """
    load_tensorflow("reading TFRecord shards")
    shards = _find(pattern)
    with ThreadPoolExecutor(8) as pool:
        indexes = list(pool.map(read_index, shards))
    groups: dict[tuple[str, str], list[tuple[str, ShardHeader, list[dict[str, list[Any]]]]]] = {}
    for shard, (header, rows) in zip(shards, indexes, strict=True):
        _check_size(shard, header)
        groups.setdefault((str(PurePosixPath(shard).parent), header.set), []).append((shard, header, rows))
    if len({folder for folder, _ in groups}) < len(groups):
        raise DataError(f"{pattern}: matches more than one set of shards, such as train and validation; name one")
    return [source for group in groups.values() for source in _sources_of(pattern, group, choice)]


def _find(pattern: str) -> list[str]:
    import tensorflow as tf

    try:
        names = map(str, _listed(pattern)) if by_fsspec(pattern) else tf.io.gfile.glob(pattern)
        shards = sorted(name for name in names if name.endswith(SHARD_SUFFIX))
    except tf.errors.OpError as error:
        raise DataError(f"{pattern}: can't be listed: {error.message}") from None
    if not shards:
        raise DataError(f"{pattern}: matches no {SHARD_SUFFIX} file; give a glob, as in shards/train-*{SHARD_SUFFIX}")
    return shards


def _listed(pattern: str) -> Iterator[Path]:
    folder, rest = split_pattern(pattern)
    return folder.glob(rest)


def _check_size(shard: str, header: ShardHeader) -> None:
    import tensorflow as tf

    size = place(shard).stat().st_size if by_fsspec(shard) else tf.io.gfile.stat(shard).length
    if size != header.size:
        raise DataError(f"{shard}: has {size} bytes, but its index says {header.size}; copy or convert it again")


def _sources_of(
    pattern: str, group: Sequence[tuple[str, ShardHeader, list[dict[str, list[Any]]]]], choice: Choice
) -> Iterator[LabelSource]:
    """The sources of one converted set. Raises DataError if a shard of the set is missing."""
    first = group[0][1]
    there = {header.shard for _, header, _ in group}
    missing = next((number for number in range(first.shards) if number not in there), None)
    if missing is not None:
        raise DataError(f"{pattern}: shard {missing} of {first.shards} is missing, counted from 0")
    problems = [problem for _, header, _ in group for problem in header.problems]
    by_source: dict[int, list[tuple[str, dict[str, list[Any]]]]] = {}
    try:
        for shard, header, rows in group:
            for row in rows:
                _check_kinds(row)
                if not 0 <= row["image/offset"][0] <= row["image/offset"][0] + row["image/length"][0] <= header.size:
                    raise ValueError("a photo lies outside of its shard")
                by_source.setdefault(row["source/number"][0], []).append((shard, row))
        notes = dict(enumerate(group[0][1].notes))
        for number in sorted(by_source):
            yield _source_of(pattern, by_source[number], problems, notes.get(number, []), choice)
            problems = []
    except (KeyError, IndexError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError(f"{pattern}: an index can't be right ({reason}); convert the data set again") from None


def _check_kinds(row: Mapping[str, list[Any]]) -> None:
    """Raise KeyError for a feature that a row lacks, ValueError for one of another kind."""
    for name, kind in _KINDS.items():
        if not all(type(value) is kind for value in row[name]):
            raise ValueError(f"{name} must be {kind.__name__}")


def _source_of(
    pattern: str,
    rows: Sequence[tuple[str, dict[str, list[Any]]]],
    problems: Sequence[Problem],
    notes: Sequence[str],
    choice: Choice,
) -> LabelSource:
    images, files, ignore = {}, {}, {}
    entries: list[Entry] = []
    names, lines = chosen_names([name.decode() for name in rows[0][1]["source/keypoint_names"]], choice)
    category_id = rows[0][1]["source/category_id"][0]
    for shard, row in rows:
        (image_id,), (height,), (width,) = row["image/id"], row["image/height"], row["image/width"]
        name = row["image/file_name"][0].decode()
        images[image_id] = Image(name, height, width)
        entries += _entries_of(row, image_id, len(names), f"{shard}: {name}")
        place = (row["image/offset"][0], row["image/length"][0], row["image/crc32"][0])
        read = partial(_read_image, shard, name, *place)
        files[image_id] = EncodedImage(f"{shard}: {name}", read, bool(row["image/as_stored"][0]))
        counts = row["ignore/counts"]
        if counts:
            check_runs(counts[0], height, width)
        ignore[image_id] = {"size": [height, width], "counts": counts[0]} if counts else None
    labels = gather(pattern, names, images, entries, category_id=category_id)
    people = int(labels.people.labelled.sum())
    told = [*notes, *(f"{pattern}: {line}" for line in lines)]
    return LabelSource(labels, files, ignore.__getitem__, problems, people, told)


def _entries_of(row: Mapping[str, list[Any]], image_id: int, count: int, where: str) -> Iterator[Entry]:
    """The people and crowds of a photo. They need no regions, because the row holds the photo's ignore region."""
    people = len(row["person/areas"])
    keypoints = np.empty((people, count, 3))
    keypoints[..., :2] = np.reshape(row["person/keypoints"], (people, count, 2))
    keypoints[..., 2] = np.reshape(row["person/visibilities"], (people, count))
    boxes = np.reshape(row["person/boxes"], (people, 4)).tolist()
    parts = zip(boxes, row["person/areas"], row["person/crowds"], strict=True)
    for points, (box, area, crowd) in zip(keypoints.reshape(people, -1).tolist(), parts, strict=True):
        yield Entry(image_id, points, box, area, bool(crowd), (), None, where)


def _read_image(shard: str, name: str, offset: int, length: int, crc32: int) -> bytes:
    """The encoded bytes of a photo in a shard. Raises DataError if they can't be read or are damaged."""
    import tensorflow as tf

    data: bytes
    try:
        if is_remote(path := place(shard)) and by_fsspec(shard):
            data = path.read_part(offset, offset + length)
        else:
            with tf.io.gfile.GFile(shard, "rb") as file:
                file.seek(offset)
                data = file.read(length)
    except (tf.errors.OpError, StorageError) as error:
        raise DataError(
            f"{shard}: can't be read at {name}: {getattr(error, 'message', None) or error.strerror}"
        ) from None
    if len(data) != length or zlib.crc32(data) != crc32:
        raise DataError(f"{shard}: is damaged at {name}; convert the data set again")
    return data
