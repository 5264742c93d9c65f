"""Inputs, and the contents of result files."""

import io
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18, BpnetError, Person, Skeleton
from bpnet_cli.files import atomic_path, write_text
from bpnet_cli.inference.outputs import drawn_before
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.inference.results import coco_entries, coco_order, image_entry, image_ids
from bpnet_cli.inference.sources import find_inputs
from tests.conftest import COCO_NAMES


def photo(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 12, 3), value, np.uint8))
    return path


def names(inputs: object) -> list[str]:
    return [p.name for p in inputs.photos]


def test_folders_are_searched_and_keep_relative_names(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "1.jpg")
    photo(tmp_path / "a" / "deep" / "2.PNG")
    (tmp_path / "a" / "notes.txt").write_text("")
    found = find_inputs([str(tmp_path / "a")])
    assert names(found) == ["1.jpg", "deep/2.PNG"]
    assert found.problems == ()


def test_globs_and_files(tmp_path: Path) -> None:
    for name in ("x1.jpg", "x2.jpg", "y.jpg"):
        photo(tmp_path / name)
    assert names(find_inputs([str(tmp_path / "x*.jpg")])) == ["x1.jpg", "x2.jpg"]
    assert names(find_inputs([str(tmp_path / "y.jpg"), str(tmp_path / "x1.jpg")])) == ["y.jpg", "x1.jpg"]
    photo(tmp_path / "d" / "z.jpg")
    assert names(find_inputs([str(tmp_path / "**" / "z.jpg")])) == ["d/z.jpg"]


def test_a_photo_given_twice_runs_once_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    a, b = photo(tmp_path / "a" / "1.jpg"), photo(tmp_path / "b" / "1.jpg")
    assert names(find_inputs([str(a), str(a), str(b)])) == ["1.jpg", "b/1.jpg"]


def test_videos_and_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    found = find_inputs([str(tmp_path / "v.mp4"), "camera:0", "3"])
    assert [v.name for v in found.videos] == ["v.mp4", "camera_0.mp4", "camera_3.mp4"]
    assert [v.source for v in found.videos] == [str(tmp_path / "v.mp4"), 0, 3]
    with pytest.raises(BpnetError, match="a camera needs a number"):
        find_inputs(["camera:front"])
    monkeypatch.chdir(photo(tmp_path / "3" / "a.jpg").parents[1])
    assert names(find_inputs(["3"])) == ["a.jpg"]  # a folder of that name


def test_addresses_keep_their_login_to_themselves() -> None:
    (video,) = find_inputs(["rtsp://me:secret@camera.lan:554/live/main?x=1"]).videos
    assert video.source == "rtsp://me:secret@camera.lan:554/live/main?x=1"
    assert video.shown == "rtsp://camera.lan:554/live/main?x=1"
    assert video.name == "camera.lan_554_live_main"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_lists_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    paths = [photo(tmp_path / "a b.jpg"), tmp_path / "caf\udce9.jpg"]
    paths[1].write_bytes(paths[0].read_bytes())
    data = end.join(os.fsencode(path) for path in [*paths, tmp_path / "none.jpg"]) + end
    (tmp_path / "list.txt").write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    for word in (f"@{tmp_path / 'list.txt'}", "-"):
        found = find_inputs([word])
        assert names(found) == ["a b.jpg", "caf\udce9.jpg"]
        assert [failure.path for failure in found.problems] == [str(tmp_path / "none.jpg")]
        assert found.problems[0].reason == "no such file, folder or match"
    with pytest.raises(BpnetError, match="@none.txt: the list can't be read: No such file"):
        find_inputs(["@none.txt"])


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(BpnetError, match="no such file, folder or match"):
        find_inputs([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BpnetError, match="no photos or videos found"):
        find_inputs([str(tmp_path / "empty")])
    (tmp_path / "x.txt").write_text("")
    assert "is not a photo or video of a known format" in find_inputs([str(tmp_path / "x.txt")]).problems[0][1]


def results_of_a_run(folder: Path, *names: str) -> Path:
    """What a run leaves, as far as later ones look at it."""
    for name in names:
        photo(folder / "annotated" / name)
    write_text(folder / "detections.json", json.dumps({"model": {"file": "m.onnx"}, "images": []}))
    return folder


def test_what_an_earlier_run_drew_is_left_out_of_searches(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "annotated" / "mine.jpg")
    drawn = results_of_a_run(tmp_path / "out", "a.jpg") / "annotated"
    for word in (tmp_path, tmp_path / "**" / "*.jpg"):
        found = find_inputs([str(word)])
        assert names(found) == ["a.jpg", "annotated/mine.jpg"]
        assert found.left_out[0] == f"left out: {drawn}, drawn by an earlier run"
    for word in (drawn, drawn / "a.jpg", drawn / "*.jpg"):
        assert names(find_inputs([str(word)])) == ["a.jpg"]
    with pytest.raises(BpnetError, match="no photos or videos found; left out: .*annotated, drawn"):
        find_inputs([str(tmp_path / "out")])


def test_drawn_videos_are_known_by_their_frames(tmp_path: Path) -> None:
    drawn = photo(tmp_path / "annotated" / "deep" / "v.jpg").parents[1]
    for name, text, known in (("detections.json", "{}", False), ("deep/v.jpg.jsonl", '{"frame": 0, "s": 1}', True)):
        write_text(tmp_path / name, text)
        assert drawn_before(drawn) is known
    assert not drawn_before(drawn / "deep")


def test_hidden_and_other_files_are_left_out_of_folders(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    for name in ("._1.jpg", ".trash/2.jpg", "a.txt", "b.MP3", "c"):
        write_text(tmp_path / name, "")
    found = find_inputs([str(tmp_path)])
    assert names(found) == ["1.jpg"]
    assert found.left_out == ("left out: 3 files that are not photos or videos (.mp3, .txt, no ending)",)
    assert names(find_inputs([str(tmp_path / "._1.jpg")])) == ["._1.jpg"]
    (tmp_path / "c").unlink()
    (tmp_path / "b.MP3").unlink()
    assert find_inputs([str(tmp_path)]).left_out == ("left out: 1 file that is not a photo or video (.txt)",)


def test_links_are_followed_once(tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "1.jpg")
    inside = photo(tmp_path / "in" / "deep" / "2.jpg").parents[1]
    os.mkfifo(inside / "pipe.jpg")
    for name, target in (("a", "../elsewhere"), ("b", "../elsewhere"), ("up", ".."), ("self", "."), ("dead.jpg", "no")):
        (inside / name).symlink_to(target)
    found = find_inputs([str(inside)])
    assert names(found) == ["a/1.jpg", "dead.jpg", "deep/2.jpg"]
    with pytest.raises(BpnetError, match=r"dead.jpg: can't be read: No such file"):
        read_photo(found.photos[1].path)


def test_a_glob_beside_a_folder_of_its_first_letters(tmp_path: Path) -> None:
    photo(tmp_path / "x1.jpg")
    (tmp_path / "x").mkdir()
    assert names(find_inputs([str(tmp_path / "x*.jpg")])) == ["x1.jpg"]


def test_photos_are_rgb_and_damage_is_named(tmp_path: Path) -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 2] = 200  # red, in OpenCV's order
    cv2.imwrite(str(tmp_path / "r.png"), picture)
    assert read_photo(tmp_path / "r.png")[0, 0].tolist() == [200, 0, 0]
    for name, data in (("empty.jpg", b""), ("bad.jpg", b"\xff\xd8\xff nonsense")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BpnetError, match=f"{name}: can't be decoded"):
            read_photo(tmp_path / name)
    with pytest.raises(BpnetError, match="can't be read"):
        read_photo(tmp_path / "none.jpg")


def test_grey_and_16_bit_photos_become_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "g.png"), np.full((4, 5), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "d.png"), np.full((4, 5, 3), 9 * 257, np.uint16))
    for name in ("g.png", "d.png"):
        image = read_photo(tmp_path / name)
        assert image.shape == (4, 5, 3)
        assert image.dtype == np.uint8
        assert image[0, 0].tolist() == [9, 9, 9]


def test_result_entries() -> None:
    keypoints = np.full((18, 3), np.nan, np.float32)
    keypoints[0] = (10.126, 20, 0.9)
    keypoints[4] = (30, 50, 0.5)
    person = Person(keypoints, 1.25)
    entry = image_entry("a/b.jpg", 100, 80, [person])
    assert json.loads(json.dumps(entry)) == entry
    assert entry["persons"][0]["box"] == [10.13, 20.0, 19.87, 30.0]
    assert entry["persons"][0]["keypoints"][:2] == [[10.13, 20.0, 0.9], None]
    coco = coco_entries(7, [person], BODY_18, ["right_wrist", "nose", "tail"])
    assert coco == [
        {
            "image_id": 7,
            "category_id": 1,
            "keypoints": [30.0, 50.0, 0.5, 10.126, 20.0, 0.9, 0.0, 0.0, 0.0],
            "score": 1.25,
        }
    ]


def test_coco_results_are_in_cocos_order() -> None:
    assert coco_order(BODY_18) == COCO_NAMES
    own = Skeleton("s", ("a", "m", "b"), (), (), (0.1,) * 3, (("m", "a", "b"),))
    assert coco_order(own) == ["a", "b"]


def test_numbers_in_names_are_image_ids_where_all_are_and_differ() -> None:
    assert image_ids(["a/000000000007.jpg", "3.png"]) == ([7, 3], "")
    assert image_ids(["a.jpg", "b.jpg"]) == ([1, 2], "")
    assert image_ids(["a/7.jpg", "b/007.jpg", "8.jpg"]) == ([1, 2, 3], "several photos have the number 7")
    assert image_ids(["7.jpg", "x.jpg", "²x.jpg"]) == ([1, 2, 3], "2 of 3 names are not numbers")


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list((tmp_path / "new").iterdir()) == []
    write_text(target, "whole")
    assert target.read_text() == "whole"
    (tmp_path / "blocked").write_text("")
    with pytest.raises(BpnetError, match="can't be written"):
        write_text(tmp_path / "blocked" / "x", "")
