"""The framing of TFRecord files, which may lie on a disk or at a URL."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from bpnet_cli.storage import has_package, is_stored, place

# In a TFRecord file, the length and its checksum stand before a record's data; the data's checksum stands after it.
RECORD_HEAD_BYTES, RECORD_TAIL_BYTES = 12, 4


def rows_of(index: str) -> list[bytes]:
    """The records of an index. Raises an error of TensorFlow, or StorageError."""
    import tensorflow as tf

    def rows(path: str) -> list[bytes]:
        with tf.io.gfile.GFile(path, "rb") as file:
            _check_frames(file.read())
        batches = tf.data.TFRecordDataset([path]).batch(1024).as_numpy_iterator()
        return [row for batch in batches for row in batch.tolist()]

    if not by_fsspec(index):
        return rows(index)
    with tempfile.TemporaryDirectory(prefix="bpnet-") as folder:
        copy = Path(folder, "index")
        copy.write_bytes(place(index).read_bytes())
        return rows(str(copy))


def _check_frames(data: bytes) -> None:
    """Raise ValueError where the records don't fill a file: TensorFlow would believe any length, and crash."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place) if place + 8 <= len(data) else (len(data),)
        place += RECORD_HEAD_BYTES + length + RECORD_TAIL_BYTES
        if place > len(data):
            raise ValueError("it is cut off, or damaged")


def by_fsspec(name: str) -> bool:
    """Whether fsspec reads a file or glob, and not TensorFlow. TensorFlow reads some URLs without any other package."""
    import tensorflow as tf

    if not is_stored(name):
        return False
    return has_package(name) or name.split("://")[0] not in tf.io.gfile.get_registered_schemes()
