"""Readers of labels, for fuzzing."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.changes import as_json, bytes_of, trees
from tests.fuzz.target import Files, Target, of_text, one_of, only
from tests.unit.test_records import masked_crc32c


def _coco(seeds: Path) -> st.SearchStrategy[Files]:
    text = (seeds / "labels/coco/labels.json").read_bytes()
    return only("labels.json", st.one_of(trees([json.loads(text)]).map(as_json), bytes_of([text])))


def _read_coco(folder: Path) -> None:
    from bpnet_cli.data.sources import open_sources

    for source in open_sources(folder / "labels.json", folder / "images"):
        for image_id in source.files:
            source.ignore(image_id)


def _labels_of(
    tool: str, names: str
) -> tuple[Callable[[Path], st.SearchStrategy[Files]], Callable[[Path], object], str]:
    def read(folder: Path) -> None:
        from bpnet_cli.labelling.workflow import import_labels

        files = [path for path in folder.iterdir() if path.suffix in (".xml", ".json")]
        import_labels(files[0] if tool in ("cvat", "label_studio") else folder, folder / "out")

    return lambda seeds: one_of(seeds / "labels" / tool, names, of_text), read, f"labels/{tool}"


def _rows(data: bytes) -> list[bytes]:
    rows = []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        rows.append(data[12 : 12 + length])
        data = data[16 + length :]
    return rows


def _framed(rows: list[bytes]) -> bytes:
    def one(row: bytes) -> bytes:
        length = struct.pack("<Q", len(row))
        return length + struct.pack("<I", masked_crc32c(length)) + row + struct.pack("<I", masked_crc32c(row))

    return b"".join(map(one, rows))


@st.composite
def _indexes(draw: Any, data: bytes) -> bytes:
    """An index with right checksums and one row changed: the header as JSON, another one as features or bytes."""
    from bpnet_cli.data.records import from_example, to_example

    first, *rest = _rows(data)
    kind = draw(st.sampled_from(["header", "features", "row", "file"]))
    if kind == "file":
        return draw(bytes_of([data]))
    if kind == "header":
        return _framed([as_json(draw(trees([json.loads(first)]))), *rest])
    if kind == "row":
        return _framed([first, draw(bytes_of(rest)), *rest[1:]])
    features = from_example(rest[0])
    name = draw(st.sampled_from(sorted(features)))
    values = features[name]
    place = draw(st.integers(0, len(values)))
    new = draw(
        st.sampled_from([[], values[:1], values[:2] * 2, [0], [-1], [2**62], [1e300], [float("nan")], [b"\xff"]])
    )
    features[name] = values[:place] + new + values[place + draw(st.integers(0, 1)) :]
    kinds = {type(value) for value in features[name]}
    if len(kinds) > 1:
        features[name] = new
    return _framed([first, to_example(features), *rest[1:]])


def _shards(seeds: Path) -> st.SearchStrategy[Files]:
    folder = seeds / "labels/shards"
    (index,), (shard,) = folder.glob("*.index"), folder.glob("*.tfrecord")
    return st.one_of(only(index.name, _indexes(index.read_bytes())), only(shard.name, bytes_of([shard.read_bytes()])))


def _read_shards(folder: Path) -> None:
    from bpnet_cli.data.records import open_records
    from bpnet_cli.errors import DataError

    for source in open_records(str(folder / "*.tfrecord")):
        for image_id, file in source.files.items():
            source.ignore(image_id)
            with suppress(DataError):
                file.rgb()


LABEL_TARGETS: dict[str, Target] = {
    "coco": Target(_coco, _read_coco, "labels/coco"),
    "cvat": Target(*_labels_of("cvat", "*.xml")),
    "label-studio": Target(*_labels_of("label_studio", "*.json")),
    "labelme": Target(*_labels_of("labelme", "labels/*.json")),
    "yolo": Target(*_labels_of("yolo", "**/*.[ty][xa][tm]*")),
    "deeplabcut": Target(*_labels_of("deeplabcut", "**/*.[cy][sa][vm]*")),
    "shards": Target(_shards, _read_shards, "labels/shards"),
}
