"""People as Parquet tables, which pandas, Spark, DuckDB and Ray read."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path

# Rows of a video that are in memory at once.
_ROWS = 1000


def check_parquet() -> None:
    """Raise BpnetError where the package that writes Parquet is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise BpnetError("--format parquet needs pyarrow: pip install 'bpnet-cli[parquet]'")


def write_parquet(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write photos as `detections.json` has them (`image_entry`), one row for each. Raises BpnetError."""
    with atomic_path(path) as temporary:
        rows = ParquetRows(temporary)
        try:
            for entry in entries:
                rows.add(entry)
        finally:
            rows.close()


class ParquetRows:
    """A Parquet file that gets one photo or frame after the other. To be closed."""

    def __init__(self, path: Path, frames: bool = False) -> None:
        """frames: rows also have `frame` and `seconds`, as the lines of a video's `.jsonl`."""
        import pyarrow.parquet

        self._schema = _schema(frames)
        self._writer: Any = pyarrow.parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, entry: dict[str, Any]) -> None:
        """Append a row."""
        self._rows.append(entry)
        if len(self._rows) == _ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, self._schema))
        self._rows = []


def _schema(frames: bool) -> Any:
    import pyarrow as pa

    numbers = pa.list_(pa.float64())
    person = pa.struct(
        [("id", pa.int64()), ("score", pa.float64()), ("box", numbers), ("keypoints", pa.list_(numbers))]
    )
    times = [("frame", pa.int64()), ("seconds", pa.float64())] if frames else []
    sizes = [("width", pa.int32()), ("height", pa.int32())]
    return pa.schema([*times, ("file", pa.string()), *sizes, ("persons", pa.list_(person))])
