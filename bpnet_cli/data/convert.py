"""Converting labelled photos to TFRecord shards; `data.records` describes the shards."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bpnet_cli.data.checks import DAMAGED, PHOTO_REASONS, states
from bpnet_cli.data.choice import Choice
from bpnet_cli.data.labels import LabelSource, Problem, summarise
from bpnet_cli.data.records import (
    FORMAT,
    INDEX_SUFFIX,
    SHARD_SUFFIX,
    ShardHeader,
    index_of,
    label_features,
    read_index,
    to_example,
)
from bpnet_cli.data.sources import open_source
from bpnet_cli.data.tfrecord import RECORD_HEAD_BYTES, RECORD_TAIL_BYTES
from bpnet_cli.engine import load_tensorflow
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.files import atomic_path, check_folder, write_text
from bpnet_cli.log import progress, say
from bpnet_cli.sharing import ShareOut, Work
from bpnet_cli.storage import place

SUMMARY = "summary.json"
# How many photos are in memory at once.
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class _Plan:
    """A set of shards to write.

    photos: (number of the source, image id), in the order of the set. fingerprint: checksum of everything that is
    converted; shards are kept if it is the same.
    """

    name: str
    sources: Sequence[LabelSource]
    photos: Sequence[tuple[int, int]]
    shards: int
    fingerprint: str

    def path(self, directory: Path, shard: int) -> Path:
        return directory / f"{self.name}-{shard:05d}-of-{self.shards:05d}{SHARD_SUFFIX}"

    def part(self, shard: int) -> Sequence[tuple[int, int]]:
        """The photos of a shard. They are consecutive, so all shards read in order give the data set's order."""
        start, end = (len(self.photos) * i // self.shards for i in (shard, shard + 1))
        return self.photos[start:end]


# Folder of photos, annotation file and, if not everything is wanted, what is wanted of the labels.
Paths = tuple[str, str] | tuple[str, str, Choice]


def convert(
    sets: Mapping[str, Sequence[Paths]],
    directory: str | Path,
    *,
    shards: int,
    workers: int | None = None,
    overwrite: bool = False,
    share: ShareOut | None = None,
) -> dict[str, Any]:
    """Write the shards of each set and DIR/summary.json; return the summary.

    sets: by name, the `Paths` of each source. shards: number per set; a set gets at most
    one shard per photo. workers: photos checked at once, by default one per core; the written bytes don't depend on
    it. Complete shards of the same photos and labels are kept. overwrite: replace other shards instead of refusing.
    share: other processes write the shards, one at a time each, with `workers` (by default 1) photos at once.
    Raises DataError for unusable sources, and BpnetError for a directory that can't be used or written.
    """
    load_tensorflow("dataset_convert")
    directory = place(directory)
    check_folder(directory)
    plans = [_make_plan(name, sources, shards) for name, sources in sets.items()]
    headers = _whole_shards(directory, plans)
    if len(headers) < len(_existing(directory)) or (not headers and (directory / SUMMARY).exists()):
        if not overwrite:
            raise BpnetError(
                f"{directory}: holds shards of other photos, labels or settings; choose another folder or --overwrite"
            )
        _clear(directory)
        headers = {}
    if headers:
        say(f"{directory}: keeping {len(headers)} complete shards that are there already")
    missing = [(p, shard) for p in plans for shard in range(p.shards) if p.path(directory, shard) not in headers]
    total = sum(len(plan.part(shard)) for plan, shard in missing)
    write = partial(_write_here, workers or os.cpu_count() or 1)
    if share is not None:
        write = partial(_write_shared, workers or 1, share)
    with closing(write(missing, directory)) as written:
        for _ in progress(written, total, "converting"):
            pass
    summary = {plan.name: _summary(plan, directory) for plan in plans}
    write_text(directory / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def _make_plan(name: str, sources: Sequence[Paths], shards: int) -> _Plan:
    opened = [open_source(*paths) for paths in sources]
    photos = [(number, i) for number, source in enumerate(opened) for i in sorted(source.labels.images)]
    shards = min(shards, len(photos))
    content = hashlib.sha256(f"{FORMAT} {name} {shards}".encode())
    for (images, labels, *choice), source in zip(sources, opened, strict=True):
        content.update(hashlib.sha256(place(labels).read_bytes()).digest())
        content.update(repr([tuple(wanted) for wanted in choice]).encode() if choice else b"")
        ids = sorted(source.labels.images)
        for i, state in zip(ids, states(images, [source.labels.images[i].file_name for i in ids]), strict=True):
            content.update(f"{i} {state} ".encode())
    return _Plan(name, opened, photos, shards, content.hexdigest())


_Missing = Sequence[tuple[_Plan, int]]


def _write_here(workers: int, missing: _Missing, directory: Path) -> Generator[None, None, None]:
    """Write shards in this process; yields once per photo."""
    with ThreadPoolExecutor(workers) as pool:
        for plan, shard in missing:
            yield from _write_shard(plan, shard, directory, pool)


def _write_shared(workers: int, share: ShareOut, missing: _Missing, directory: Path) -> Generator[None, None, None]:
    """Write shards in other processes; yields once per photo, when its shard is finished."""
    plans = list({id(plan): plan for plan, _ in missing}.values())
    items = [(plans.index(plan), shard) for plan, shard in missing]
    for photos in share(_shard_writer, (plans, directory, workers), items):
        for _ in range(photos):
            yield


def _shard_writer(plans: Sequence[_Plan], directory: Path, workers: int) -> Work:
    """What another process does: it writes the shard (number of the plan, number of the shard)."""
    load_tensorflow("dataset_convert")

    def write(item: tuple[int, int]) -> int:
        return sum(1 for _ in _write_here(workers, [(plans[item[0]], item[1])], directory))

    return write


def _existing(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"*-?????-of-?????{SHARD_SUFFIX}") if path.is_file())


def _whole_shards(directory: Path, plans: Sequence[_Plan]) -> dict[Path, ShardHeader]:
    """Headers of the shards of these plans that need not be written again, by path.

    A damaged index or another fingerprint or size means that the shard is written again. A shard without an index
    can't come from an interrupted run, because the index gets its name first.
    """
    headers = {}
    for plan in plans:
        for shard in range(plan.shards):
            path = plan.path(directory, shard)
            if not path.is_file():
                continue
            try:
                header, _ = read_index(str(path))
            except DataError:
                continue
            if header.set == plan.fingerprint and header.size == path.stat().st_size:
                headers[path] = header
    return headers


def _clear(directory: Path) -> None:
    (directory / SUMMARY).unlink(missing_ok=True)
    for path in _existing(directory):
        path.unlink()
        place(index_of(str(path))).unlink(missing_ok=True)


def _write_shard(plan: _Plan, shard: int, directory: Path, pool: ThreadPoolExecutor) -> Iterator[None]:
    """Write a shard and its index; yield once per photo."""
    import tensorflow as tf

    path = plan.path(directory, shard)
    problems = [problem for source in plan.sources for problem in source.problems] if shard == 0 else []
    notes = [list(source.notes) for source in plan.sources] if shard == 0 else []
    rows, people, end = [], 0, 0
    try:
        # The inner file gets its final name first, so there is never a shard without its index.
        with atomic_path(path) as data_path, atomic_path(path.with_suffix(INDEX_SUFFIX)) as index_path:
            with tf.io.TFRecordWriter(str(data_path)) as writer:
                for (number, image_id), encoded in _decoded(plan, plan.part(shard), pool):
                    yield
                    source = plan.sources[number]
                    if encoded is None:
                        problems.append(Problem(DAMAGED, source.files[image_id].name))
                        continue
                    record, row = _make_record(source, number, image_id, encoded, end)
                    writer.write(record)
                    rows.append(row)
                    end += RECORD_HEAD_BYTES + len(record) + RECORD_TAIL_BYTES
                    people += int(source.labels.people_of(image_id).labelled.sum())
            header = ShardHeader(plan.fingerprint, shard, plan.shards, end, len(rows), people, problems, notes)
            with tf.io.TFRecordWriter(str(index_path)) as writer:
                for row in (header.to_json(), *rows):
                    writer.write(row)
    except tf.errors.OpError as error:
        raise BpnetError(f"{path}: can't be written: {error.message}") from None


def _make_record(source: LabelSource, number: int, image_id: int, encoded: bytes, start: int) -> tuple[bytes, bytes]:
    """The record of a photo, which begins at byte `start` of the shard, and the photo's row of the index."""
    labels = label_features(source, number, image_id)
    record = to_example({**labels, "image/encoded": [encoded]})
    place = {
        "image/offset": [start + RECORD_HEAD_BYTES + record.index(encoded)],
        "image/length": [len(encoded)],
        "image/crc32": [zlib.crc32(encoded)],
    }
    return record, to_example({**labels, **place})


def _decoded(
    plan: _Plan, photos: Sequence[tuple[int, int]], pool: ThreadPoolExecutor
) -> Iterator[tuple[tuple[int, int], bytes | None]]:
    """Each photo with its encoded bytes; None in place of the bytes if they don't decode to the size in the labels."""

    def check(photo: tuple[int, int]) -> bytes | None:
        source, image_id = plan.sources[photo[0]], photo[1]
        image, file = source.labels.images[image_id], source.files[image_id]
        encoded = file.read()
        try:
            shape = file.decode_bytes(encoded).shape
        except DataError:
            return None
        return encoded if shape[:2] == (image.height, image.width) else None

    for start in range(0, len(photos), _CHUNK):
        chunk = photos[start : start + _CHUNK]
        yield from zip(chunk, pool.map(check, chunk), strict=True)


def _summary(plan: _Plan, directory: Path) -> dict[str, Any]:
    """Counts of a finished set, and the names of photos and people that were left out or changed.

    Raises DataError if no photo is left.
    """
    headers = [read_index(str(plan.path(directory, shard)))[0] for shard in range(plan.shards)]
    problems = [problem for header in headers for problem in header.problems]
    photos, people = sum(header.photos for header in headers), sum(header.people for header in headers)
    if not photos:
        raise DataError(f"{plan.name}: no photo is left: {'; '.join(summarise(problems))}")
    notes = [note for header in headers for lines in header.notes for note in lines]
    for line in (*notes, *summarise(problems)):
        say(f"{plan.name}: {line}")
    reasons = {reason: [name for other, name in problems if other == reason] for reason, _ in problems}
    return {
        "shards": plan.shards,
        "bytes": sum(header.size for header in headers),
        "photos": {"kept": photos, "left_out": sum(reason in PHOTO_REASONS for reason, _ in problems)},
        "people": {"kept": people, "left_out": sum(source.people for source in plan.sources) - people},
        "notes": notes,
        "problems": {reason: {"count": len(names), "names": names} for reason, names in reasons.items()},
    }
