"""`bpnet infer --shard` and `--merge`: the files of one run, made by several."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference import parts, photo_run
from bpnet_cli.inference.photo_files import read_photo
from tests.cli.conftest import FINDING, Run
from tests.unit.test_video import encode

FORMATS = "json,coco,csv,openpose"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """36 photos in two folders, of which two are damaged, and a film."""
    folder = tmp_path_factory.mktemp("mixed") / "in"
    shutil.copytree(photos, folder)
    for name in ("bad.jpg", "below/bad.jpg"):
        (folder / name).write_bytes(b"\xff\xd8 no photo")
    frames = [np.ascontiguousarray(read_photo(path)) for path in sorted(photos.glob("*.jpg"))[:3]]
    encode(folder / "film.mp4", frames)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, mixed: Path, exported: Path, bpnet: Run) -> Path:
    """The results of a run of one process."""
    out = tmp_path_factory.mktemp("whole")
    result = bpnet("infer", *line(mixed, exported, out))
    assert result.exit_code == 3
    return out


def line(mixed: Path, model: Path, out: Path, *more: object) -> tuple[object, ...]:
    return mixed, "-m", model, "-r", out, "--format", FORMATS, *FINDING, *more


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files but those of the parts, and but the copy of the film, which holds a date."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if "-of-" not in name and name != "parts.json" and not name.endswith(".mp4")
    }


def test_shards_in_any_order_make_the_files_of_one_run(
    whole: Path, mixed: Path, exported: Path, tmp_path: Path, bpnet: Run
) -> None:
    out = tmp_path / "out"
    for shard, code in (("2/3", 3), ("0/3", 0)):
        assert bpnet("infer", *line(mixed, exported, out, "--shard", shard)).exit_code == code
    early = bpnet("infer", "--merge", "-r", out)
    assert early.exit_code == 1
    assert f"{out}: 2 parts of 6 are missing (1, 4); repeat the lines that began them" in early.output
    assert bpnet("infer", *line(mixed, exported, out, "--shard", "1/3")).exit_code == 3
    merged = bpnet("infer", "--merge", "-r", out)
    assert merged.exit_code == 3
    assert "failed: bad.jpg: can't be decoded" in merged.output
    assert bytes_of(out) == bytes_of(whole)
    people = len(json.loads((whole / "coco_results.json").read_text()))
    assert people > 32
    assert f"{people} people in 32 photos: {out / 'detections.json'}, " in merged.output


def test_lines_of_parts_are_the_entries_of_a_whole_run(
    whole: Path, mixed: Path, exported: Path, tmp_path: Path, bpnet: Run
) -> None:
    bpnet("infer", *line(mixed, exported, tmp_path, "--shard", "0/1"))
    files = sorted(tmp_path.glob("detections-*-of-00006.jsonl"))
    heads, entries = [], []
    for path in files:
        head, *rest = [json.loads(text) for text in path.read_text().splitlines()]
        heads.append(head)
        entries += rest
    detections = json.loads((whole / "detections.json").read_text())
    assert entries == detections["images"]
    assert [failure for head in heads for failure in head["failed"]] == detections["failed"]
    assert [head["part"] for head in heads] == list(range(6))
    assert [head.get("video") for head in heads] == [None] * 5 + ["film.mp4"]
    assert all(head["model"] == detections["model"] for head in heads)
    assert all(head["skeleton"] == detections["skeleton"] for head in heads)


def test_parquet_holds_the_same_entries(mixed: Path, exported: Path, whole: Path, tmp_path: Path, bpnet: Run) -> None:
    table = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    words = (mixed, "-m", exported, "--no-annotate", "--format", "parquet", *FINDING)
    bpnet("infer", *words, "-r", tmp_path / "one")
    bpnet("infer", *words, "-r", tmp_path / "parts", "--shard", "0/1")
    assert bpnet("infer", "--merge", "-r", tmp_path / "parts").exit_code == 3
    rows = without_ids(table.read_table(tmp_path / "one" / "detections.parquet").to_pylist())
    assert rows == json.loads((whole / "detections.json").read_text())["images"]
    assert without_ids(table.read_table(tmp_path / "parts" / "detections.parquet").to_pylist()) == rows
    _, *frames = [json.loads(text) for text in (whole / "film.mp4.jsonl").read_text().splitlines()]
    assert without_ids(table.read_table(tmp_path / "one" / "film.mp4.parquet").to_pylist()) == frames


def without_ids(rows: list) -> list:
    """Parquet has a column for ids also where nobody has one."""
    for row in rows:
        for person in row["persons"]:
            assert person.pop("id") is None
    return rows


def test_a_shard_goes_on_where_it_stopped(
    whole: Path, mixed: Path, exported: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = photo_run.read_first_page, []

    def stopping(path: Path) -> object:
        seen.append(path.name)
        if len(seen) == 20:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(photo_run, "read_first_page", stopping)
    monkeypatch.setattr("bpnet_cli.inference.part_run.core_count", lambda: 1)
    words = ("infer", *line(mixed, exported, tmp_path, "--shard", "0/1"))
    stopped = bpnet(*words)
    assert stopped.exit_code == 1
    assert "stopped after 19 of 34 photos" in stopped.output
    finished = sorted(path.name for path in tmp_path.glob("detections-*"))
    assert finished == [f"detections-{number:05d}-of-00006.{end}" for number in (0, 1) for end in ("csv", "jsonl")]
    seen.clear()
    monkeypatch.setattr(photo_run, "read_first_page", lambda path: seen.append(path) or read(path))
    again = bpnet(*words)
    assert again.exit_code == 3
    assert f"{tmp_path}: 2 of 6 parts are finished already" in again.output
    assert len(seen) == 34 - 2 * 8
    bpnet("infer", "--merge", "-r", tmp_path)
    assert bytes_of(tmp_path) == bytes_of(whole)
    nothing = bpnet(*words)
    assert nothing.exit_code == 0
    assert "6 of 6 parts are finished already" in nothing.output


def test_parts_of_another_run_are_refused(mixed: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    words = (mixed, "-m", exported, "-r", tmp_path, "--no-annotate", "--shard", "0/2")
    assert bpnet("infer", *words).exit_code == 3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    for change in (("--max-people", "1"), ("--set", "inference.input_height=96"), ("--format", "csv")):
        result = bpnet("infer", *words, *change)
        assert result.exit_code == 1
        assert f"{tmp_path}: holds parts of another run (other names, model or settings)" in result.output
    (mixed / "more.jpg").write_bytes((mixed / "below" / "000000000001.jpg").read_bytes())
    try:
        result = bpnet("infer", *words)
    finally:
        (mixed / "more.jpg").unlink()
    assert "(its 34 photos and 1 videos, these are 35 photos and 1 videos)" in result.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_files_that_bpnet_did_not_write_are_kept(mixed: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    theirs = tmp_path / "annotated" / "below" / "000000000001.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    result = bpnet("infer", *line(mixed, exported, tmp_path, "--shard", "0/2"))
    assert result.exit_code == 1
    assert f"{theirs}: exists already, and there is no sign that an earlier run wrote it" in result.output
    assert theirs.read_text() == "mine"
    assert not (tmp_path / "parts.json").exists()


def test_inputs_of_which_none_can_be_used(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    result = bpnet("infer", tmp_path / "notes.txt", "-m", exported, "-r", tmp_path / "out", "--shard", "0/2")
    assert result.exit_code == 1
    assert "none of the inputs could be used" in result.output
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_merged(mixed: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    assert f"{tmp_path}: has no parts.json" in bpnet("infer", "--merge", "-r", tmp_path).output
    bpnet("infer", mixed, "-m", exported, "-r", tmp_path, "--no-annotate", "--shard", "0/1")
    part = tmp_path / "detections-00003-of-00006.jsonl"
    part.write_text('{"run": "of another", "failed": []}\n')
    assert (
        f"{part}: is not a part of this run, or damaged; delete it" in bpnet("infer", "--merge", "-r", tmp_path).output
    )
    assert not (tmp_path / "detections.json").exists()
    (tmp_path / "parts.json").write_text("[]")
    assert "is not a file that bpnet infer wrote" in bpnet("infer", "--merge", "-r", tmp_path).output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.jpg", "--shard", "2/2"), "must be I/N with I from 0 to N-1, as in 0/4 (got '2/2')"),
        (("x.jpg", "--shard", "half"), "must be I/N with I from 0 to N-1"),
        (("x.jpg", "--merge"), "--merge takes no INPUT"),
        (("--merge", "--shard", "0/2"), "--shard, --merge and --ray exclude each other"),
        (("x.jpg", "--ray", "photos"), "must be HOST:PORT, auto or local (got 'photos'); if 'photos' is an input"),
        (("x.jpg", "--ray-cpus", "2"), "--ray-cpus goes with --ray"),
    ],
)
def test_flags_that_make_no_sense(words: tuple[str, ...], message: str, bpnet: Run) -> None:
    result = bpnet("infer", *words)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(("photos", "expected"), [(1, 1), (8, 1), (9, 2), (400, 50), (100_000, 256), (10**6, 1954)])
def test_how_many_parts(photos: int, expected: int) -> None:
    size = parts.photos_in_a_part(photos)
    assert -(-photos // size) == expected
