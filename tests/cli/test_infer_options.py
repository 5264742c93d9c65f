"""What `bpnet infer` looks at and what it writes, by its options."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from bpnet_cli.cli import infer_verb
from bpnet_cli.inference.options import FORMATS
from tests.cli.conftest import Run
from tests.unit.test_video import encode, read

# With these the small network of the tests finds people everywhere.
EVERYBODY = [
    *("--set", "inference.decode.peak_threshold=0", "--set", "inference.decode.person_threshold=0"),
    *("--set", "inference.decode.limb_threshold=0", "--set", "inference.min_person_score=0"),
    *("--set", "inference.min_track_score=0"),
    *("--set", "inference.min_drawn_score=0"),
]


@pytest.fixture
def film(drawn: Path, tmp_path: Path) -> Path:
    """A film of twenty frames, with sound; each photo is shown for two frames."""
    photos = [cv2.imread(str(path))[..., ::-1] for path in sorted((drawn / "images").iterdir())[:10]]
    return encode(
        tmp_path / "in" / "film.mp4", [np.ascontiguousarray(p) for p in photos for _ in range(2)], sound="aac"
    )


@pytest.fixture
def hand(exported: Path, tmp_path: Path) -> Path:
    """The exported network, for a skeleton without a face."""
    model = onnx.load(exported)
    for entry in model.metadata_props:
        entry.value = entry.value.replace("nose", "tip").replace("_eye", "_nail").replace("_ear", "_palm")
    onnx.save(model, tmp_path / "hand.onnx")
    return tmp_path / "hand.onnx"


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_flags_know_all_formats() -> None:
    assert infer_verb.FORMATS == FORMATS


def test_all_formats_have_the_same_people(exported: Path, drawn: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    photo, out = drawn / "images" / "000000000001.jpg", tmp_path / "out"
    words = ("infer", photo, film, "-m", exported, "-r", out, "--format", "json,coco,openpose,csv", *EVERYBODY)
    for _ in range(2):  # the second run may overwrite the files of the first
        result = bpnet(*words)
        assert result.exit_code == 0, result.output
    frames = {f"openpose/film_{number:012}_keypoints.json" for number in range(20)}
    others = {"detections.json", "coco_results.json", "detections.csv", "film.mp4.jsonl", "film.mp4.csv"}
    pictures = {"annotated/000000000001.jpg", "annotated/film.mp4"}
    assert files_in(out) == frames | others | pictures | {"openpose/000000000001_keypoints.json"}
    _, *lines = lines_of(out / "film.mp4.jsonl")
    with open(out / "film.mp4.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(line["persons"]) for line in lines) > 0
    assert {(row["file"], row["id"]) for row in rows} == {("film.mp4", "")}
    for line in lines:
        scores = [person["score"] for person in line["persons"]]
        assert [float(row["score"]) for row in rows if row["frame"] == str(line["frame"])] == scores
        people = json.loads((out / f"openpose/film_{line['frame']:012}_keypoints.json").read_text())["people"]
        assert len(people) == len(scores)
    (image,) = json.loads((out / "detections.json").read_text())["images"]
    coco = json.loads((out / "coco_results.json").read_text())
    assert [entry["score"] for entry in coco] == pytest.approx(
        [person["score"] for person in image["persons"]], abs=1e-5
    )


def test_one_format_alone_and_again(exported: Path, drawn: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    for formats, expected in (
        ("csv", {"detections.csv", "film.mp4.csv"}),
        ("coco", {"coco_results.json"}),
        ("openpose", {"openpose/000000000001_keypoints.json", "openpose/film_000000000000_keypoints.json"}),
    ):
        out = tmp_path / formats
        words = (drawn / "images" / "000000000001.jpg", film, "-m", exported, "-r", out, "--no-annotate")
        for _ in range(2):
            assert bpnet("infer", *words, "--format", formats, "--max-frames", 1).exit_code == 0
        assert {name for name in files_in(out) if not name.startswith(".")} == expected
    result = bpnet("infer", film, "-m", exported, "-r", tmp_path / "x", "--format", "json,xml")
    assert result.exit_code == 2
    assert "must be one or more of json, coco, openpose, csv, parquet (got 'json,xml')" in result.output


def test_every_start_end_and_frames(exported: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    for flags, seconds in (
        (("--every", 8), [0.0, 0.8, 1.6]),
        (("--start", "0:01.5"), [1.5, 1.6, 1.7, 1.8, 1.9]),
        (("--start", "0.5", "--end", "1.05", "--every", 3), [0.5, 0.8]),
        (("--end", "0:0:0.5", "--max-frames", 2), [0.0, 0.1]),
    ):
        result = bpnet("infer", film, "-m", exported, "-r", tmp_path / "out", *flags)
        assert result.exit_code == 0, result.output
        _, *lines = lines_of(tmp_path / "out" / "film.mp4.jsonl")
        assert [line["seconds"] for line in lines] == seconds
        copy, _ = read(tmp_path / "out" / "annotated" / "film.mp4")
        assert [round(frame.seconds + seconds[0], 3) for frame in copy] == seconds
    result = bpnet("infer", film, "-m", exported, "-r", tmp_path / "out", "--start", "2:00")
    assert result.exit_code == 1
    assert "film.mp4: has no frame between --start and --end" in result.output
    for flags, message in (
        (("--start", "x"), "must be seconds or h:mm:ss"),
        (("--start", "5", "--end", "4"), "--end (4 s) must be after --start (5 s)"),
        (("--transparent",), "--transparent goes with --draw skeleton"),
    ):
        result = bpnet("infer", film, "-m", exported, *flags)
        assert result.exit_code == 2
        assert message in result.output


def test_max_people(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    def people(*flags: object) -> list[list[dict]]:
        words = ("infer", drawn / "images", "-m", exported, "-r", tmp_path / "out", "--no-annotate", *EVERYBODY)
        assert bpnet(*words, *flags).exit_code == 0
        return [image["persons"] for image in json.loads((tmp_path / "out" / "detections.json").read_text())["images"]]

    everybody = people()
    assert max(map(len, everybody)) > 2
    for keep, value in (("surest", lambda p: p["score"]), ("largest", lambda p: p["box"][2] * p["box"][3])):
        for all_of_them, kept in zip(everybody, people("--max-people", 2, "--keep", keep), strict=True):
            assert len(kept) == min(2, len(all_of_them))
            assert sorted(map(value, kept)) == pytest.approx(sorted(map(value, all_of_them))[-2:], abs=1.0)


def test_batches_change_nothing(exported: Path, drawn: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no photo")
    words = ("infer", drawn / "images", tmp_path / "in", "-m", exported, *EVERYBODY)
    for size in (1, 5):
        assert bpnet(*words, "--batch", size, "-r", tmp_path / str(size)).exit_code == 3
    for name in ("detections.json", "film.mp4.jsonl"):
        one, five = ((tmp_path / size / name).read_text() for size in ("1", "5"))
        assert one == five


def test_pictures_of_the_skeleton_alone(exported: Path, drawn: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    photo = drawn / "images" / "000000000001.jpg"
    words = ("infer", photo, film, "-m", exported, "-r", tmp_path / "out", *EVERYBODY, "--draw", "skeleton")
    assert bpnet(*words).exit_code == 0
    picture = cv2.imread(str(tmp_path / "out" / "annotated" / photo.name))
    assert np.median(picture) == 0
    assert picture.max() > 100
    frames, _ = read(tmp_path / "out" / "annotated" / "film.mp4")
    assert np.median(frames[0].image) < 3
    assert bpnet(*words, "--transparent", "--label", "score").exit_code == 0
    layer = cv2.imread(str(tmp_path / "out" / "annotated" / f"{photo.name}.png"), cv2.IMREAD_UNCHANGED)
    assert layer.shape[2] == 4
    assert (layer[..., 3] == 0).mean() > 0.1
    assert layer[..., 3].max() == 255


def test_faces_are_blurred_with_and_without_people(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    photo, out = drawn / "images" / "000000000001.jpg", tmp_path / "out"
    assert bpnet("infer", photo, "-m", exported, "-r", out, "--draw", "none").exit_code == 0
    assert files_in(out) == {"detections.json", "coco_results.json"}
    words = ("infer", photo, "-m", exported, "-r", out, "--draw", "none", "--blur-faces", *EVERYBODY)
    assert bpnet(*words).exit_code == 0
    before, after = cv2.imread(str(photo)), cv2.imread(str(out / "annotated" / photo.name))
    assert np.abs(before.astype(int) - after).max() > 40
    _, persons = before.shape, json.loads((out / "detections.json").read_text())["images"][0]["persons"]
    assert persons


def test_ids_in_videos(exported: Path, film: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("infer", film, "-m", exported, "-r", tmp_path / "out", *EVERYBODY, "--format", "json,openpose,csv")
    assert bpnet(*words, "--smooth").exit_code == 0
    _, *lines = lines_of(tmp_path / "out" / "film.mp4.jsonl")
    ids = [person["id"] for line in lines for person in line["persons"] if "id" in person]
    assert ids
    assert all(isinstance(number, int) and number > 0 for number in ids)
    for line in lines:
        people = json.loads((tmp_path / "out" / f"openpose/film_{line['frame']:012}_keypoints.json").read_text())[
            "people"
        ]
        assert [person["person_id"] for person in people] == [[person.get("id", -1)] for person in line["persons"]]
        known = [person["id"] for person in line["persons"] if "id" in person]
        assert len(set(known)) == len(known)


def test_a_list_with_a_missing_name_and_a_name_that_is_too_long(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run
) -> None:
    source = (drawn / "images" / "000000000001.jpg").read_bytes()
    long = tmp_path / f"{'n' * 250}.jpg"
    for path in (long, tmp_path / "z.jpg"):
        path.write_bytes(source)
    (tmp_path / "list.txt").write_text(f"{long}\n{tmp_path / 'none.jpg'}\n{tmp_path / 'z.jpg'}\n")
    words = ("infer", f"@{tmp_path / 'list.txt'}", "-m", exported, "-r", tmp_path / "out", "--format", "json,openpose")
    result = bpnet(*words)
    assert result.exit_code == 3
    assert "none.jpg: no such file" in result.output
    assert "its OpenPose file can't be written: File name too long" in result.output
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [entry["file"] for entry in found["images"]] == [long.name, "z.jpg"]
    assert len(found["failed"]) == 2


def test_tracking_without_a_video_is_told(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("infer", drawn / "images", "-m", exported, "-r", tmp_path / "out", "--track", "--no-annotate")
    assert result.exit_code == 0
    assert "--track and --smooth have no effect: they are for videos" in result.output


def test_further_pages_are_told(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    photos = [cv2.imread(str(path)) for path in sorted((drawn / "images").iterdir())[:2]]
    cv2.imwritemulti(str(tmp_path / "two.tif"), photos)
    result = bpnet("infer", tmp_path / "two.tif", "-m", exported, "-r", tmp_path / "out")
    assert result.exit_code == 0
    assert "only the first page or frame was used of 1 photo: two.tif" in result.output


INFER_WITHOUT_SPACE = """
import resource, sys
from bpnet_cli.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
main(sys.argv[2:])
"""


def test_a_copy_that_cannot_be_written_does_not_cost_the_people(exported: Path, tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (12, 256, 256, 3), np.uint8))
    film = encode(tmp_path / "noise.mp4", noise)
    words = ["infer", str(film), "-m", str(exported), "-r", str(tmp_path / "out")]
    command = [sys.executable, "-c", INFER_WITHOUT_SPACE, "150000", *words]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 3, result.stderr
    assert "noise.mp4: its annotated copy can't be written (File too large)" in result.stdout
    assert len(lines_of(tmp_path / "out" / "noise.mp4.jsonl")) == 1 + 12
    assert files_in(tmp_path / "out") == {"noise.mp4.jsonl"}


def test_without_a_display_nothing_begins(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        pytest.skip("there is a display")
    result = bpnet("infer", drawn / "images", "-m", exported, "-r", tmp_path / "out", "--show")
    assert result.exit_code == 1
    assert "--show: there is no display here" in result.output
    assert not (tmp_path / "out").exists()


def test_openpose_needs_a_body(hand: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("infer", drawn / "images", "-m", hand, "-r", tmp_path / "out", "--format", "openpose")
    assert result.exit_code == 1
    assert "can't be written in OpenPose's format" in result.output
    result = bpnet("infer", drawn / "images", "-m", hand, "-r", tmp_path / "out", "--blur-faces")
    assert result.exit_code == 1
    assert "tip" in result.output
    assert not (tmp_path / "out").exists()
