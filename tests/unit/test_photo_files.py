"""Photos with names, sizes and pasts that real folders have, and the files of runs that were cut off."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BpnetError
from bpnet_cli.data.images import PIXELS_VARIABLE
from bpnet_cli.files import write_text
from bpnet_cli.inference.outputs import Outputs, announced, check_overwriting, drawn_before
from bpnet_cli.inference.photo_files import read_photo, write_photo
from bpnet_cli.inference.photos import photos_of_folder
from bpnet_cli.inference.sources import find_inputs


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_photo(path, np.zeros((8, 12, 3), np.uint8))
    return path


def outputs(lines: Path | None, *pictures: Path, table: Path | None = None, openpose: Path | None = None) -> Outputs:
    return Outputs(lines, None, table, () if openpose is None else (openpose,), pictures)


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    taken, free = photo(tmp_path / "annotated" / "a.jpg"), tmp_path / "annotated" / "b.jpg"
    lines = tmp_path / "detections.json"
    check_overwriting(outputs(lines, free), [taken], tmp_path)
    with pytest.raises(BpnetError, match=r"a.jpg: exists already, and there is no sign that"):
        check_overwriting(outputs(lines, free, taken), [], tmp_path)
    write_text(lines, '{"boxes": []}')
    with pytest.raises(BpnetError, match=r"detections.json: exists already"):
        check_overwriting(outputs(lines), [], tmp_path)
    write_text(lines, '{"model": {"name": "mine"}, "images": []}')
    check_overwriting(outputs(lines, taken), [], tmp_path)
    with pytest.raises(BpnetError, match=r"a.jpg: is an input"):
        check_overwriting(outputs(lines, taken), [tmp_path / "annotated" / ".." / "annotated" / "a.jpg"], tmp_path)


def test_a_table_of_ours_shows_that_the_other_files_are_too(tmp_path: Path) -> None:
    taken, table = photo(tmp_path / "annotated" / "a.jpg"), tmp_path / "detections.csv"
    write_text(table, "file,number\n")
    with pytest.raises(BpnetError, match=r"detections.csv: exists already"):
        check_overwriting(outputs(None, table=table), [], tmp_path)
    write_text(table, "file,frame,seconds,id,score,box_x,box_y\n")
    check_overwriting(outputs(None, taken, table=table), [], tmp_path)
    assert drawn_before(tmp_path / "annotated")


def test_files_of_openpose_itself_stay(tmp_path: Path) -> None:
    begin, theirs = tmp_path / "openpose" / "clip_", tmp_path / "openpose" / "clip_000000000003_keypoints.json"
    check_overwriting(outputs(None, openpose=begin), [], tmp_path)
    write_text(theirs, '{"version":1.3,"people":[]}')
    with pytest.raises(BpnetError, match=r"clip_000000000003_keypoints.json: exists already"):
        check_overwriting(outputs(None, openpose=begin), [], tmp_path)
    # A run that writes nothing else leaves its journal, and may then overwrite its files.
    with announced([begin], tmp_path, keep=lambda: True):
        pass
    check_overwriting(outputs(None, openpose=begin), [], tmp_path)
    with pytest.raises(BpnetError, match="exists already"):
        check_overwriting(outputs(None, theirs.with_name("other_1_keypoints.json"), theirs), [], tmp_path / "openpose")


def test_what_a_killed_run_left_may_be_overwritten_and_nothing_else(tmp_path: Path) -> None:
    drawn, own = tmp_path / "annotated" / "latin \udce9.jpg", tmp_path / "annotated" / "own.jpg"
    lines = tmp_path / "detections.json"
    killed = announced([lines, drawn], tmp_path, keep=lambda: False)
    killed.__enter__()  # and never left
    photo(own)
    drawn.write_bytes(b"half of a picture")
    assert drawn_before(tmp_path / "annotated")
    check_overwriting(outputs(lines, drawn), [], tmp_path)
    with pytest.raises(BpnetError, match=r"own.jpg: exists already, and there is no sign that"):
        check_overwriting(outputs(lines, own), [], tmp_path)
    # A run that an error ends adds its own names; those of the first stay known until a run ends well.
    with pytest.raises(KeyError), announced([own], tmp_path, keep=lambda: False):
        raise KeyError
    check_overwriting(outputs(lines, drawn, own), [], tmp_path)
    with announced([lines], tmp_path, keep=lambda: False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["annotated"]
    with pytest.raises(BpnetError, match="exists already"):
        check_overwriting(outputs(lines, drawn), [], tmp_path)


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), announced([tmp_path / "r" / "detections.json"], tmp_path / "r", keep=lambda: False):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_photo_is_taken_under_its_own_name_and_its_links_are_told(tmp_path: Path) -> None:
    photo(tmp_path / "b.jpg")
    for name in ("a.jpg", "c.jpg"):
        (tmp_path / name).symlink_to("b.jpg")
    found = find_inputs([str(tmp_path), str(tmp_path / "b.jpg")])
    assert [one.name for one in found.photos] == ["b.jpg"]
    assert found.left_out == ("left out: 3 inputs given twice or as a link to another input",)


def huge_png(path: Path, width: int, height: int) -> Path:
    """A PNG whose header states so many pixels, and that has none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    coded = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(coded))
    return path


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (20_000, 20_000, "has 20000 x 20000 pixels, more than 268,435,456; make it smaller, or set the environment"),
        (2_000_000, 2, "is too large: 2000000 x 2 pixels, and OpenCV reads at most 1,048,576 in a row or column"),
    ],
)
def test_a_photo_beyond_the_limits_is_refused_by_its_size(tmp_path: Path, width: int, height: int, reason: str) -> None:
    with pytest.raises(BpnetError, match=reason):
        read_photo(huge_png(tmp_path / "huge.png", width, height))


def test_a_whole_bomb_is_refused_before_it_is_decoded_and_the_limit_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    assert cv2.imwrite(str(path), np.zeros((400, 300, 3), np.uint8))
    monkeypatch.setenv(PIXELS_VARIABLE, "119999")
    with pytest.raises(BpnetError, match="has 300 x 400 pixels, more than 119,999"):
        read_photo(path)
    monkeypatch.setenv(PIXELS_VARIABLE, "120000")
    assert read_photo(path).shape == (400, 300, 3)


def test_names_that_are_not_utf_8_or_very_long(tmp_path: Path) -> None:
    image = np.full((8, 12, 3), 200, np.uint8)
    for name in (b"\xe9.png", b"n" * 251 + b".png", "\u65e5".encode() * 83 + b".png"):
        path = tmp_path / os.fsdecode(name)
        write_photo(path, image)
        np.testing.assert_array_equal(read_photo(path), image)


def test_a_picture_that_its_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(BpnetError, match=r"wide.webp: can't be encoded"):
        write_photo(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_photos_of_a_folder_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    for number in range(40):
        photo(tmp_path / f"{number:02}.png")
    photos = photos_of_folder(tmp_path, "calibration", most=33)
    assert len(photos) == 33
    assert [image.shape for image in photos[:2]] == [(8, 12, 3)] * 2
    (tmp_path / "00.png").write_bytes(b"no photo")
    with pytest.raises(BpnetError, match=r"00.png: can't be .*; repair it or remove it from the calibration photos"):
        next(iter(photos))
    np.testing.assert_array_equal(photos[-1], read_photo(tmp_path / "39.png"))
