"""Whether each file of a folder is whole: read by the libraries that its users would take, not by ours."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import yaml


def broken(folder: Path, but: Sequence[str] = ()) -> list[str]:
    """A line for each file that is not whole. Names that begin with a dot are temporary. but: folders to leave out."""
    lines = []
    for path in _finished(folder, but):
        name = path.relative_to(folder)
        check = next((CHECKS[suffix] for suffix in CHECKS if path.name.endswith(suffix)), None)
        if check is None:
            lines.append(f"{name}: no check for this kind of file")
            continue
        try:
            check(path)
        except Exception as error:  # noqa: BLE001 - the libraries raise any exception for files that are not whole
            lines.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return lines


def _finished(folder: Path, but: Sequence[str] = ()) -> Iterator[Path]:
    """The files, in order, without those under temporary names, which begin with a dot. but: folders to leave out."""
    # TensorBoard's events are a log, whose reader leaves out a record that is cut off.
    left_out = ("tensorboard", *but)
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_dir() and not any(part.startswith(".") or part in left_out for part in parts):
            yield path


def hidden(folder: Path) -> list[str]:
    """Temporary files and folders that are left."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith("."))


def _json(path: Path) -> None:
    json.loads(path.read_text())


def _lines(path: Path) -> None:
    text = path.read_text()
    assert text.endswith("\n"), "ends within a line"
    for line in text.splitlines():
        json.loads(line)


def _log_of_steps(path: Path) -> None:
    """A log that grows line by line: only the last line may be incomplete."""
    for line in path.read_text().splitlines()[:-1]:
        json.loads(line)


def _table(path: Path) -> None:
    text = path.read_bytes().decode()
    assert text.endswith("\r\n") or text.endswith("\n"), "ends within a row"
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1, "rows of different lengths"


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()


def _arrays(path: Path) -> None:
    with np.load(path) as archive:
        for name in archive.files:
            assert archive[name] is not None


def _onnx(path: Path) -> None:
    import onnx

    onnx.checker.check_model(str(path))


def _openvino(path: Path) -> None:
    import openvino

    openvino.Core().read_model(path)


def _litert(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    Interpreter(model_path=str(path)).allocate_tensors()


def _image(path: Path) -> None:
    assert cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None


def _film(path: Path) -> None:
    import av

    with av.open(str(path)) as container:
        stated = container.streams.video[0].frames
        assert stated == sum(1 for _ in container.decode(video=0)) > 0


def _shard(path: Path) -> None:
    import tensorflow as tf

    for _ in tf.data.TFRecordDataset([str(path)]):
        pass


def _parquet(path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.read_table(path)


def _page(path: Path) -> None:
    assert path.read_text().rstrip().endswith(">"), "ends within a picture or a text"


def _text(path: Path) -> None:
    assert path.read_text().endswith("\n")


def _saved_model(path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.load(str(path.parent))


def _with_the_others(path: Path) -> None:
    """Read together with another file."""


CHECKS: dict[str, Callable[[Path], object]] = {
    "saved_model.pb": _saved_model,
    "fingerprint.pb": _with_the_others,
    "variables.index": _with_the_others,
    ".data-00000-of-00001": _with_the_others,
    ".txt": _text,
    ".sh": _text,
    "status.jsonl": _log_of_steps,
    ".jsonl": _lines,
    ".json": _json,
    ".csv": _table,
    ".keras": _archive,
    ".npz": _arrays,
    ".onnx": _onnx,
    ".xml": lambda path: (ElementTree.parse(path), _openvino(path)),
    ".bin": lambda path: _openvino(path.with_suffix(".xml")),
    ".tflite": _litert,
    ".jpg": _image,
    ".png": _image,
    ".mp4": _film,
    ".tfrecord": _shard,
    ".index": _shard,
    ".html": _page,
    ".js": _text,
    ".parquet": _parquet,
    ".yaml": lambda path: yaml.safe_load(path.read_text()),
    ".pbtxt": _text,
}


def contents(folder: Path) -> dict[str, str]:
    """A checksum of each file: of the members of an archive, and of an ONNX file's constants.

    Of films, pages and logs, which hold the time, and of SavedModels and OpenVINO's files, only the names count.
    """
    found = {}
    for path in _finished(folder):
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name != "metadata.json"]
                data = b"".join(archive.read(name) for name in sorted(names))
            # Keras numbers shared objects by their places in memory.
            data = re.sub(rb'"shared_object_id": \d+', b"", data).replace(b"/golden/", b"/out/")
        elif path.name == "history.csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
            data = json.dumps([{key: row[key] for key in row if "second" not in key} for row in rows]).encode()
        elif path.name == "metrics.json":
            data = json.dumps(json.loads(data) | {"seconds": 0}).encode()
        elif path.suffix == ".onnx":
            import onnx

            graph = onnx.load(str(path)).graph  # tf2onnx numbers constants differently from run to run
            data = b"".join(
                [*sorted(each.raw_data for each in graph.initializer), *(n.op_type.encode() for n in graph.node)]
            )
        elif path.suffix in (".mp4", ".html", ".pb", ".xml", ".bin") or path.name == "status.jsonl":
            data = b""
        found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def differing(there: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [name for name in sorted(there.keys() | wanted.keys()) if there.get(name) != wanted.get(name)]
