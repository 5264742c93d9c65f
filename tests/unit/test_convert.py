"""Converting to shards: workers, reruns and interruptions change no byte; what is no longer true is not kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpnet_cli.data.checks import DAMAGED
from bpnet_cli.data.convert import convert
from bpnet_cli.data.labels import summarise
from bpnet_cli.data.records import open_records
from bpnet_cli.errors import BpnetError
from tests.unit.test_bad_data import jpeg, noise, write_photos

pytestmark = pytest.mark.usefixtures("keras_loaded")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_workers_change_no_byte(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    for workers in (1, 5):
        convert({"train": sources}, tmp_path / str(workers), shards=3, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "5")


def test_rerunning_writes_what_is_missing_and_keeps_the_rest(
    tmp_path: Path, sources: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    convert({"train": sources}, tmp_path, shards=3)
    before = contents(tmp_path)
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    (tmp_path / "summary.json").unlink()
    kept = tmp_path / "train-00002-of-00003.tfrecord"
    time = kept.stat().st_mtime_ns
    capsys.readouterr()
    convert({"train": sources}, tmp_path, shards=3)
    assert "keeping 2 complete shards that are there already" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert kept.stat().st_mtime_ns == time


def test_an_interruption_leaves_no_half_shard(
    tmp_path: Path, sources: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert({"train": sources}, tmp_path / "whole", shards=3)
    seen = []

    def interrupt(items: object, total: int, what: str) -> object:
        for item in items:
            seen.append(item)
            if len(seen) == 9:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr("bpnet_cli.data.convert.progress", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert({"train": sources}, tmp_path / "cut", shards=3)
    assert sorted(contents(tmp_path / "cut")) == ["train-00000-of-00003.index", "train-00000-of-00003.tfrecord"]
    convert({"train": sources}, tmp_path / "cut", shards=3)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_shards_of_a_changed_input_are_not_kept(tmp_path: Path) -> None:
    labels = write_photos(tmp_path, {f"{i}.jpg": jpeg(noise()) for i in range(4)}, (100, 120))
    sources = {"train": [(str(tmp_path / "images"), str(labels))]}
    out = tmp_path / "out"
    convert(sources, out, shards=2)
    refused = r"out: holds shards of other photos, labels or settings; choose another folder or --overwrite"
    (tmp_path / "images" / "3.jpg").write_bytes(jpeg(255 - noise()))
    with pytest.raises(BpnetError, match=refused):
        convert(sources, out, shards=2)
    convert(sources, out, shards=2, overwrite=True)
    assert open_records(f"{out}/*")[0].files[4].read() == jpeg(255 - noise())
    with pytest.raises(BpnetError, match=refused):
        convert(sources, out, shards=3)
    labels.write_text(labels.read_text().replace("1800", "1801"))
    with pytest.raises(BpnetError, match=refused):
        convert(sources, out, shards=2)
    convert(sources, out, shards=1, overwrite=True)
    assert sorted(contents(out)) == ["summary.json", "train-00000-of-00001.index", "train-00000-of-00001.tfrecord"]


def test_a_photo_that_only_decoding_finds_damaged_is_left_out(tmp_path: Path) -> None:
    broken = bytearray(jpeg(noise()))
    start = broken.index(b"\xff\xdb")  # tables of quantisation that aren't there
    broken[start + 1] = 0xE5
    labels = write_photos(tmp_path, {"1.jpg": jpeg(noise()), "2.jpg": bytes(broken)}, (100, 120))
    summary = convert({"train": [(str(tmp_path / "images"), str(labels))]}, tmp_path / "out", shards=5)
    assert summary["train"]["photos"] == {"kept": 1, "left_out": 1}
    assert summary["train"]["people"] == {"kept": 1, "left_out": 1}
    (source,) = open_records(f"{tmp_path}/out/train-*.tfrecord")
    assert list(source.files) == [1]
    assert summarise(source.problems) == [f"{DAMAGED}: 1 (first: {tmp_path / 'images' / '2.jpg'})"]


def test_a_summary_of_something_else_is_not_replaced(tmp_path: Path, sources: list[tuple[str, str]]) -> None:
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(BpnetError, match="choose another folder or --overwrite"):
        convert({"train": sources}, tmp_path, shards=2)
    assert contents(tmp_path) == {"summary.json": b"mine"}
