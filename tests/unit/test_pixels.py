"""Photos as viewers show them: bit depths, transparent pixels, HEIC, further pages; and the kinds of files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet_cli import BpnetError
from bpnet_cli.data.images import decode_image, read_bytes, read_image
from bpnet_cli.data.pixels import has_more_pages
from bpnet_cli.inference.kinds import kind_of
from bpnet_cli.inference.photo_files import picture_name, read_photo, write_photo
from tests.unit.test_video import encode, flat


def ramp() -> np.ndarray:
    return np.repeat(np.arange(0, 256, 2, np.uint8)[None, :, None], 3, 2).repeat(16, 0)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_cameras_that_write_fewer_bits_into_16_are_as_bright_as_with_8(tmp_path: Path, bits: int) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), ramp().astype(np.uint16) << (bits - 8))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), ramp())


def test_16_bits_and_floats(tmp_path: Path) -> None:
    for name, values in (
        ("full.png", ramp().astype(np.uint16) * 257),
        ("dark.png", np.minimum(ramp(), 9).astype(np.uint16) * 257),
        ("unit.tif", ramp().astype(np.float32) / 255),
        ("bytes.tif", ramp().astype(np.float32)),
    ):
        cv2.imwrite(str(tmp_path / name), values)
        np.testing.assert_array_equal(read_image(tmp_path / name), np.minimum(ramp(), 9) if name[0] == "d" else ramp())


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("factor", [1, 2])
def test_pixels_that_nobody_sees_are_white(ending: str, factor: int) -> None:
    image = np.dstack([np.full((32, 64, 3), (200, 40, 10), np.uint8), np.full((32, 64), 255, np.uint8)])
    image[:, 20:40, 3], image[:, 40:, 3] = 0, 128
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == ".webp" else []
    data = cv2.imencode(ending, image, options)[1].tobytes()
    shown = decode_image(data, "x", cv2.IMREAD_COLOR if factor == 1 else cv2.IMREAD_REDUCED_COLOR_2)
    for column, expected in ((8, (200, 40, 10)), (30, (255, 255, 255)), (52, (200, 40, 10))):
        np.testing.assert_allclose(shown[8 // factor, column // factor].astype(int), expected, atol=1)


def test_an_opaque_photo_with_an_alpha_channel_stays_as_it_is() -> None:
    image = np.dstack([ramp(), np.full(ramp().shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(cv2.imencode(".png", image)[1].tobytes(), "x"), ramp())


def test_heic_is_read_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8), (0, 0), 4)
    heif.from_pillow(Image.fromarray(picture)).save(tmp_path / "a.heic", quality=95)
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")
    assert kind_of(tmp_path / "a.jpg") == "photo"
    assert np.abs(read_photo(tmp_path / "a.jpg").astype(int) - picture).mean() < 4
    reduced = decode_image(read_bytes(tmp_path / "a.jpg"), "a", cv2.IMREAD_REDUCED_COLOR_2)
    assert reduced.shape == (32, 48, 3)
    data = read_bytes(tmp_path / "a.jpg")
    with pytest.raises(BpnetError, match="cut: can't be decoded as HEIC"):
        decode_image(data[: len(data) // 2], "cut")
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(BpnetError, match=r"a.jpg: is HEIC; to read it: pip install 'bpnet-cli\[heif\]'"):
        read_photo(tmp_path / "a.jpg")


def test_files_with_more_pages_are_known(tmp_path: Path) -> None:
    from PIL import Image

    first, second = (Image.fromarray(np.full((16, 24, 3), value, np.uint8)) for value in (10, 200))
    for ending in ("tif", "png", "webp", "gif"):
        one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
        first.save(one)
        first.save(two, save_all=True, append_images=[second])
        moves = ending == "gif"  # a GIF that moves is a video
        assert (has_more_pages(read_bytes(one)), has_more_pages(read_bytes(two))) == (False, not moves)
        assert (kind_of(one), kind_of(two)) == ("photo", "video" if moves else "photo")
        if not moves:
            assert abs(read_photo(two).mean() - 10) < 2
    cut = read_bytes(tmp_path / "two.tif")[:20]
    assert not has_more_pages(cut)


def test_files_are_known_by_content_and_not_by_ending(tmp_path: Path) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    for ending in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".jp2", ".avif", ".ppm"):
        (tmp_path / "x").write_bytes(cv2.imencode(ending, picture)[1].tobytes())
        assert kind_of(tmp_path / "x") == "photo", ending
    for ending in ("mp4", "mkv", "avi", "ts", "flv"):
        path = encode(tmp_path / f"v.{ending}", flat([0] * 8, 64, 96))
        path.rename(tmp_path / "x")
        assert kind_of(tmp_path / "x") == "video", ending


def test_unknown_bytes_are_what_their_ending_says(tmp_path: Path) -> None:
    for name, kind in (
        ("a.jpg", "photo"),
        ("a.MP4", "video"),
        ("a.gif", "video"),
        ("a.mp3", None),
        ("a.ts", None),  # more often a program in TypeScript
        ("a.txt", None),
        ("a", None),
    ):
        (tmp_path / name).write_text("let a = 1\n" * 90)
        assert kind_of(tmp_path / name) == kind
    assert kind_of(tmp_path / "none.png") == "photo"


def test_names_of_pictures_and_transparent_ones(tmp_path: Path) -> None:
    names = ("a.JPG", "b.heic", "c.gif", "d.webp", "e.jfif")
    assert [picture_name(name) for name in names] == ["a.JPG", "b.heic.jpg", "c.gif.jpg", "d.webp", "e.jfif"]
    assert [picture_name(name, alpha=True) for name in names[:4]] == ["a.JPG.png", "b.heic.png", "c.gif.png", "d.webp"]
    layer = np.zeros((4, 6, 4), np.uint8)
    layer[:, :3] = (250, 20, 10, 255)
    write_photo(tmp_path / "a.png", layer)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), -1)[..., [2, 1, 0, 3]], layer)
    write_photo(tmp_path / "e.jfif", layer[..., :3])
    assert (tmp_path / "e.jfif").read_bytes().startswith(b"\xff\xd8\xff")
