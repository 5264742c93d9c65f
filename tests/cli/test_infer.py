"""`bpnet infer` and the Python interface, with an exported network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18
from bpnet_cli.data.video import VideoReader
from bpnet_cli.files import write_text
from tests.cli.conftest import Run


def test_infer_on_a_folder_keeps_names_and_reports_failures(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run
) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    source = cv2.imread(str(drawn / "images" / "000000000001.jpg"))
    cv2.imwrite(str(photos / "a.png"), source)
    cv2.imwrite(str(photos / "deep" / "000000000042.jpg"), source)
    (photos / "broken.jpg").write_bytes(b"no photo")
    result = bpnet(
        "infer", photos, "-m", exported, "-r", tmp_path / "out", "--set", "inference.decode.peak_threshold=0.0"
    )
    assert result.exit_code == 3, result.output
    assert "broken.jpg: can't be decoded" in result.output
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert set(found) == {"model", "skeleton", "images", "failed"}
    assert found["skeleton"]["keypoints"] == list(BODY_18.keypoints)
    assert [entry["file"] for entry in found["images"]] == ["a.png", "deep/000000000042.jpg"]
    assert (found["images"][0]["width"], found["images"][0]["height"]) == (128, 128)
    assert [entry["file"] for entry in found["failed"]] == ["broken.jpg"]
    assert f"failed: {photos / 'broken.jpg'}: " in result.output
    assert "name: 2 of 3 names are not numbers" in result.output
    for entry in found["images"]:
        for person in entry["persons"]:
            assert len(person["keypoints"]) == 18
            assert all(point is None or len(point) == 3 for point in person["keypoints"])
    drawn_names = {str(p.relative_to(tmp_path / "out" / "annotated")) for p in (tmp_path / "out").rglob("*.[pj][np]g")}
    assert drawn_names == {"a.png", "deep/000000000042.jpg"}
    coco = json.loads((tmp_path / "out" / "coco_results.json").read_text())
    assert {entry["image_id"] for entry in coco} <= {1, 2, 3}
    assert all(len(entry["keypoints"]) == 51 for entry in coco)


def test_infer_on_a_video(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for value in (10, 120, 240):
        writer.write(np.full((64, 96, 3), value, np.uint8))
    writer.release()
    result = bpnet("infer", path, "-m", exported, "-r", tmp_path / "out", "--max-frames", 2)
    assert result.exit_code == 0, result.output
    head, *lines = [json.loads(line) for line in (tmp_path / "out" / "v.avi.jsonl").read_text().splitlines()]
    assert head["skeleton"]["keypoints"] == list(BODY_18.keypoints)
    assert head["model"]["file"] == str(exported)
    assert [(line["frame"], line["seconds"], line["width"]) for line in lines] == [(0, 0.0, 96), (1, 0.1, 96)]
    assert stamps(tmp_path / "out" / "annotated" / "v.avi.mp4") == [0.0, 0.1]


def stamps(path: Path) -> list[float]:
    """Time stamps of a video's frames, in seconds."""
    with VideoReader(str(path)) as video:
        return [round(frame.seconds, 3) for frame in video.frames()]


def make_video(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for value in range(frames):
        writer.write(np.full((64, 96, 3), 20 * value % 256, np.uint8))
    writer.release()
    return path


def test_videos_of_one_name_are_told_apart(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    paths = [make_video(tmp_path / folder / "v.avi", frames) for folder, frames in (("a", 2), ("b", 3))]
    assert bpnet("infer", *paths, "-m", exported, "-r", tmp_path / "out").exit_code == 0
    found = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == {"v.avi.jsonl", "b/v.avi.jsonl", "annotated/v.avi.mp4", "annotated/b/v.avi.mp4"}
    assert len((tmp_path / "out" / "b" / "v.avi.jsonl").read_text().splitlines()) == 1 + 3


def test_a_video_that_ends_early_or_is_stopped(
    exported: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "v.avi", 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    result = bpnet("infer", path, "-m", exported, "-r", tmp_path / "out")
    assert result.exit_code == 3
    assert re.search(r"v.avi: ends at \d\.\d s, but the file says \d\.\d s; is the file complete", result.output)
    assert len((tmp_path / "out" / "v.avi.jsonl").read_text().splitlines()) > 1

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bpnet_cli.inference.frame_files.image_entry", interrupt)
    result = bpnet("infer", path, "-m", exported, "-r", tmp_path / "cut")
    assert result.exit_code == 1
    assert "stopped before the first frame of v.avi was finished" in result.output
    assert [p for p in (tmp_path / "cut").rglob("*") if p.is_file()] == []


def interrupt_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Ctrl-C while the picture of that number is drawn."""
    calls = iter(range(1, call + 1))

    def draw(photo: np.ndarray, *_: object, **options: object) -> np.ndarray:
        if next(calls, call) == call:
            raise KeyboardInterrupt
        return photo

    monkeypatch.setattr("bpnet_cli.inference.people.draw_persons", draw)
    monkeypatch.setattr("bpnet_cli.inference.workflow.core_count", lambda: 1)


def test_ctrl_c_keeps_the_photos_that_are_done(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("infer", drawn / "images", make_video(tmp_path / "v.avi", 2), "-m", exported, "-r", tmp_path / "out")
    with monkeypatch.context() as patched:
        interrupt_at(patched, 6)
        result = bpnet(*words)
    assert result.exit_code == 1
    assert "in 5 photos: " in result.output
    assert result.output.endswith("stopped after 5 of 12 photos\n")
    files = [f"{number:012}.jpg" for number in range(1, 6)]
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [entry["file"] for entry in found["images"]] == files
    coco = json.loads((tmp_path / "out" / "coco_results.json").read_text())
    assert len(coco) == sum(len(entry["persons"]) for entry in found["images"])
    assert {p.name for p in (tmp_path / "out" / "annotated").iterdir()} >= set(files)
    assert not (tmp_path / "out" / "v.avi.jsonl").exists()
    assert bpnet(*words).exit_code == 0


def test_ctrl_c_ends_a_video_where_it_is(
    exported: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 3)
    result = bpnet("infer", make_video(tmp_path / "v.avi", 5), "-m", exported, "-r", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.endswith("stopped after 2 frames of v.avi\n")
    assert len((tmp_path / "out" / "v.avi.jsonl").read_text().splitlines()) == 1 + 2
    assert stamps(tmp_path / "out" / "annotated" / "v.avi.mp4") == [0.0, 0.1]


def test_results_are_not_taken_for_input(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.imread(str(drawn / "images" / "000000000001.jpg")))
    for _ in range(2):
        assert bpnet("infer", tmp_path, "-m", exported, "-r", tmp_path / "results").exit_code == 0
    entries = json.loads((tmp_path / "results" / "detections.json").read_text())["images"]
    assert [entry["file"] for entry in entries] == ["a.png"]


def test_photos_inside_of_the_results_folder(
    exported: Path, drawn: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    photo = shutil.copy(drawn / "images" / "000000000001.jpg", tmp_path / "photos" / "a.jpg")
    before = Path(photo).read_bytes()
    monkeypatch.chdir(tmp_path)
    for words in (
        ("photos/a.jpg", "-r", "."),
        ("photos/a.jpg", "-r", "photos"),
        ("photos", "-r", "."),
        ("photos", "-r", "photos"),
        (".", "-r", "out"),
        (".",),
    ):
        result = bpnet("infer", *words, "-m", exported)
        assert result.exit_code == 0, result.output
        assert "in 1 photo: " in result.output, words
    assert "left out: annotated, out/annotated, photos/annotated, drawn by an earlier run" in result.output
    result = bpnet("infer", "photos/annotated/a.jpg", "-m", exported, "-r", "photos")
    assert result.exit_code == 1
    assert "photos/annotated/a.jpg: is an input" in result.output
    assert Path(photo).read_bytes() == before


def test_files_that_no_run_wrote_stay(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    for name in ("annotated/000000000003.jpg", "coco_results.json", "detections.json"):
        out = tmp_path / name.replace("/", "_")
        write_text(out / name, "mine")
        result = bpnet("infer", drawn / "images", "-m", exported, "-r", out)
        assert result.exit_code == 1
        assert f"{out / name}: exists already" in result.output
        assert [p.read_text() for p in out.rglob("*") if p.is_file()] == ["mine"]
    write_text(tmp_path / "v" / "v.avi.jsonl", "mine")
    result = bpnet("infer", make_video(tmp_path / "v.avi", 1), "-m", exported, "-r", tmp_path / "v")
    assert f"{tmp_path / 'v' / 'v.avi.jsonl'}: exists already" in result.output


def test_where_nobody_is_found_a_line_helps(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    weak = ("peak_threshold=0", "person_threshold=0", "limb_threshold=0")
    flags = [word for key in weak for word in ("--set", f"inference.decode.{key}")]
    words = ("infer", drawn / "images" / "000000000001.jpg", "-m", exported, "-r", tmp_path, *flags, "--set")
    everyone = bpnet(*words, "inference.min_person_score=0")
    count = len(json.loads((tmp_path / "detections.json").read_text())["images"][0]["persons"])
    assert count > 0
    assert f"{count} {'person' if count == 1 else 'people'} in 1 photo: " in everyone.output
    weaker = bpnet(*words, "inference.min_person_score=99")
    assert "0 people in 1 photo: " in weaker.output
    assert f"{count} weaker pe" in weaker.output
    assert "below inference.min_person_score (99): --set inference.min_person_score=0 shows all" in weaker.output
    nobody = bpnet(*words, "inference.decode.person_threshold=999")
    assert "nobody was found at any score" in nobody.output
    assert "--set inference.input_height=128" in nobody.output


def test_what_the_file_has_fixed_cannot_be_set(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    result = bpnet("infer", drawn / "images", "-m", exported, "-r", tmp_path, "--set", "model.stages=3")
    assert result.exit_code == 1
    assert "--set model: " in result.output
    assert "of a trained network can't be changed" in result.output


def test_results_folders_are_checked_first(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "file").write_text("")
    words = ("--images", drawn / "images", "--annotations", drawn / "annotations" / "person_keypoints.json")
    for result in (
        bpnet("infer", drawn / "images", "-m", exported, "-r", tmp_path / "file"),
        bpnet("evaluate", "-m", exported, *words, "-r", tmp_path / "file"),
        bpnet("infer", drawn / "images", "-m", exported, "-r", "/proc/nothing"),
    ):
        assert result.exit_code == 1
        assert "not a folder" in result.output or "can't be written" in result.output


def test_infer_errors(exported: Path, tmp_path: Path, bpnet: Run) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"x")
    for words, message in (
        ((tmp_path / "none",), "no such file, folder or match"),
        ((tmp_path / "bad.jpg",), "none of the inputs could be used"),
    ):
        result = bpnet("infer", *words, "-m", exported, "-r", tmp_path / "out")
        assert result.exit_code == 1
        assert message in result.output
    assert not (tmp_path / "out" / "detections.json").exists()


def test_onnx_inference_needs_neither_keras_nor_tensorflow(exported: Path, drawn: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf2onnx', 'onnx', 'jax', 'torch'): sys.modules[name] = None\n"
        "from bpnet_cli.cli import main\n"
        f"main(['infer', {str(drawn / 'images')!r}, '-m', {str(exported)!r}, '-r', {str(tmp_path)!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(json.loads((tmp_path / "detections.json").read_text())["images"]) == 12


def test_the_python_interface(exported: Path, drawn: Path) -> None:
    import bpnet_cli

    photo = cv2.cvtColor(cv2.imread(str(drawn / "images" / "000000000001.jpg")), cv2.COLOR_BGR2RGB)
    predictor = bpnet_cli.load_predictor(exported)
    assert isinstance(predictor, bpnet_cli.Predictor)
    for person in predictor.predict(photo):
        assert person.keypoints.shape == (18, 3)
