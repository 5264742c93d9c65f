"""Names that clear a terminal or pass for lines of ours, and label files that no parser likes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bpnet_cli.log import one_line, shown
from tests.cli.conftest import Run

FORGED = "a.jpg\nError: all is lost\x1b[2J.jpg"


def test_what_a_terminal_shows() -> None:
    assert shown("two\nlines\tand \x1b[31mred\x07 \u202egnp.exe\x9b\u2028") == (
        "two\nlines\tand \\x1b[31mred\\x07 \\u202egnp.exe\\x9b\\u2028"
    )
    assert one_line("a\nb\tc\rd") == "a\\nb\\tc\\x0dd"
    assert shown("Ünïcödé 人 😀") == one_line("Ünïcödé 人 😀") == "Ünïcödé 人 😀"


def test_a_photo_whose_name_is_a_message(exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(drawn / "images" / "000000000001.jpg", folder / "good.jpg")
    (folder / FORGED).write_bytes(b"no photo")
    for words in ((folder,), (folder / FORGED, folder / "good.jpg"), (folder, "--shard", "0/1")):
        result = bpnet("infer", *words, "-m", exported, "-r", tmp_path / f"out{len(words)}{words[-1] == '0/1'}")
        assert result.exit_code == 3
        assert "a.jpg\\nError: all is lost\\x1b[2J.jpg: can't be decoded" in result.output
        assert "\x1b" not in result.output
        assert not any(line.startswith("Error") for line in result.output.splitlines())
    found = json.loads((tmp_path / "out1False" / "detections.json").read_text())
    assert [failure["file"] for failure in found["failed"]] == [FORGED]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not JSON: it is nested too deeply"),
        ('{"images": ' * 50_000, "not JSON: it is nested too deeply"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "not JSON: Exceeds the limit"),
        (b"\xff\xfe{}", "not JSON"),
        ('{"images": [', "not JSON: Expecting value: line 1 column 13"),
    ],
)
def test_label_files_that_no_parser_likes(
    text: str | bytes, message: str, drawn: Path, exported: Path, tmp_path: Path, bpnet: Run
) -> None:
    labels = tmp_path / "labels.json"
    labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ("evaluate", "-m", exported, "--images", drawn / "images", "--annotations", labels, "-r", tmp_path / "out")
    result = bpnet(*words)
    assert result.exit_code == 1
    assert f"{labels}: {message}" in result.output
    assert len(result.output) < len(str(tmp_path)) * 3 + 500
    assert not (tmp_path / "out").exists()


def labels_with(drawn: Path, name: object, folder: Path) -> Path:
    """The labels of the drawn photos, with another file name for the fourth photo."""
    content = json.loads((drawn / "annotations" / "person_keypoints.json").read_text())
    assert content["images"][3]["file_name"] == "000000000004.jpg"
    content["images"][3]["file_name"] = name
    labels = folder / "labels.json"
    labels.write_text(json.dumps(content))
    return labels


@pytest.mark.parametrize("name", [FORGED, "x" * 5000, "", "a\0.jpg", 7, None])
def test_file_names_in_labels(name: object, drawn: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    labels = labels_with(drawn, name, tmp_path)
    words = ("evaluate", "-m", exported, "--images", drawn / "images", "--annotations", labels, "-r", tmp_path / "out")
    result = bpnet(*words)
    assert result.exit_code == 1
    assert "file_name must be a path, without control characters (got " in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert len(result.output) < len(str(tmp_path)) + 600


def test_a_file_name_that_is_too_long_for_the_disk(drawn: Path, exported: Path, tmp_path: Path, bpnet: Run) -> None:
    labels = labels_with(drawn, "x" * 1000, tmp_path)
    words = ("evaluate", "-m", exported, "--images", drawn / "images", "--annotations", labels, "-r", tmp_path / "out")
    result = bpnet(*words)
    assert result.exit_code == 1
    assert "xxx does not exist" in result.output


@pytest.mark.parametrize("name", ["../outside.jpg", "{folder}/outside.jpg", "a/../../outside.jpg"])
def test_labels_read_no_file_outside_of_the_photos(
    name: str, drawn: Path, exported: Path, tmp_path: Path, bpnet: Run
) -> None:
    images = tmp_path / "in" / "images"
    shutil.copytree(drawn / "images", images)
    shutil.move(images / "000000000004.jpg", images.parent / "outside.jpg")
    labels = labels_with(drawn, name.format(folder=images.parent), tmp_path)
    words = ("evaluate", "-m", exported, "--annotations", labels, "-r", tmp_path / "out", "--images")
    refused = bpnet(*words, images)
    assert refused.exit_code == 1
    assert f"outside.jpg leads out of the folder of photos, {images}" in refused.output
    assert not (tmp_path / "out").exists()
    (images / "outside.jpg").symlink_to(images.parent / "outside.jpg")  # the user's own link is no danger
    assert bpnet(*words, images).exit_code == 0
