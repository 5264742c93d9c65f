"""Reading and writing of video, with films that FFmpeg's libraries write and OpenCV reads."""

from __future__ import annotations

import http.server
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from bpnet_cli import BpnetError
from bpnet_cli.data.address import is_address
from bpnet_cli.data.images import PIXELS_VARIABLE
from bpnet_cli.data.live import Camera, Stream, open_video
from bpnet_cli.data.pictures import Clock
from bpnet_cli.data.video import Frame, VideoReader
from bpnet_cli.data.video_writer import VideoWriter, video_name

GREY = tuple(range(20, 240, 20))


def encode(
    path: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    sound: str = "",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """A film by PyAV alone.

    times: in milliseconds, by default 100 apart. sound: codec of three seconds of it. options: of the encoder.
    container: options of the file.
    """
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for key, value in settings.items():
            setattr(stream.codec_context, key, value)
        heard = output.add_stream(sound, rate=44100) if sound else None
        for picture, time in zip(pictures, times or range(0, 100 * len(pictures), 100), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            for packet in stream.encode(frame):
                output.mux(packet)
        output.mux(stream.encode(None))
        if heard is not None:
            for start in range(0, 3 * 44100, 1024):
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                samples.sample_rate, samples.pts, samples.time_base = 44100, start, Fraction(1, 44100)
                output.mux(heard.encode(samples))
            output.mux(heard.encode(None))
    return path


def flat(values: Sequence[int], height: int = 48, width: int = 64) -> list[np.ndarray]:
    return [np.full((height, width, 3), value, np.uint8) for value in values]


def read(path: str | Path, **options: Any) -> tuple[list[Frame], VideoReader]:
    with VideoReader(str(path), **options) as video:
        return list(video.frames()), video


def write_copy(path: Path, copy: Path) -> None:
    """A copy of a film with its pictures, time stamps and sound, as `infer` writes it."""
    with VideoReader(str(path)) as video, VideoWriter(copy, video.rate, video.base, video.sound) as writer:
        for frame in video.frames():
            writer.add(frame.image, frame.time * frame.base, frame.duration * frame.base)
            writer.add_sound(frame.sound)
        writer.add_sound(video.late_sound)


def test_frames_are_in_order_with_the_time_stamps_of_the_file(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 540, 1500, 1540, 2000, 2040, 2700, 2740]
    path = encode(tmp_path / "v.mkv", flat(GREY), times)
    frames, video = read(path)
    assert [round(1000 * frame.seconds) for frame in frames] == times
    assert [frame.number for frame in frames] == list(range(len(times)))
    np.testing.assert_allclose([frame.image.mean() for frame in frames], GREY, atol=2)
    assert video.problem == ""


def test_every_start_and_end(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", flat([value for value in GREY for _ in range(10)]), options={"g": "10"})
    for options, expected in (
        ({"every": 25}, [0.0, 2.5, 5.0, 7.5, 10.0]),
        ({"start": 3.05, "end": 3.4}, [3.1, 3.2, 3.3]),
        ({"start": 10.7}, [10.7, 10.8, 10.9]),
        ({"start": 1.0, "end": 2.0, "every": 4}, [1.0, 1.4, 1.8]),
    ):
        frames, video = read(path, **options)
        assert [round(frame.seconds, 3) for frame in frames] == expected
        assert video.problem == ""
        assert abs(video.count - len(frames)) <= 1
        for frame in frames:
            assert abs(frame.image.mean() - GREY[int(frame.seconds + 1e-6)]) < 2


def test_interlaced_pictures_become_whole_ones(tmp_path: Path) -> None:
    """A bar that moves between the two fields of each picture has combs; without interlacing it has straight edges."""
    pictures = []
    for step in range(6):
        picture = np.full((96, 128, 3), 30, np.uint8)
        picture[0::2, 20 + 12 * step : 40 + 12 * step] = 220
        picture[1::2, 26 + 12 * step : 46 + 12 * step] = 220
        pictures.append(picture)
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = encode(tmp_path / "v.mp4", pictures, options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    frames, _ = read(path)
    assert len(frames) == 6

    def combs(image: np.ndarray) -> float:
        rows = image[..., 0].astype(float)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    for frame, picture in list(zip(frames, pictures, strict=True))[1:-1]:
        assert frame.image.max() > 180
        assert combs(frame.image) < 0.35 * combs(picture)


def joined(path: Path, *sizes: tuple[int, int], sound: str = "") -> Path:
    """Interlaced films of (height, width) one behind the other in one file, as in broadcasts."""
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    parts = [
        encode(path.with_name(f"{k}.ts"), flat(GREY, *size), options=options, sound=sound)
        for k, size in enumerate(sizes)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_an_interlaced_film_whose_size_changes(tmp_path: Path) -> None:
    frames, video = read(joined(tmp_path / "v.ts", (96, 128), (480, 640), (96, 64)))
    assert [frame.image.shape[:2] for frame in frames] == [(96, 128)] * 11 + [(480, 640)] * 11 + [(96, 64)] * 11
    for frame, grey in zip(frames, GREY * 3, strict=True):
        np.testing.assert_allclose(frame.image, grey, atol=4)
    assert video.problem == ""


def test_pictures_that_are_too_large_later_in_a_film_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PIXELS_VARIABLE, "20000")
    frames, video = read(joined(tmp_path / "v.ts", (96, 128), (480, 640)))
    assert {frame.image.shape[:2] for frame in frames} == {(96, 128)}
    assert "damaged" in video.problem


def test_pixels_that_are_not_square_and_turned_films(tmp_path: Path) -> None:
    disc = np.zeros((96, 128, 3), np.uint8)
    cv2.circle(disc, (64, 48), 30, (255, 255, 255), cv2.FILLED)
    squeezed = cv2.resize(disc, (64, 96), interpolation=cv2.INTER_AREA)
    path = encode(tmp_path / "wide.mp4", [squeezed] * 3, sample_aspect_ratio=Fraction(2, 1))
    frames, _ = read(path)
    assert frames[0].image.shape == disc.shape
    assert np.abs(frames[0].image.astype(int) - disc).mean() < 6


def test_odd_sizes_and_a_size_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with VideoWriter(path, Fraction(10)) as writer:
        for picture in (*flat([200], 47, 63), *flat([100], 80, 63), *flat([50], 47, 64)):
            writer.add(picture)
    capture = cv2.VideoCapture(str(path))
    means = [capture.read()[1].mean() for _ in range(3)]
    np.testing.assert_allclose(means, [200, 100, 50], atol=4)
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 48)
    assert capture.get(cv2.CAP_PROP_FPS) == 10


def test_colours_of_a_copy_are_those_of_the_pictures(tmp_path: Path) -> None:
    colours = [(230, 40, 40), (40, 230, 40), (40, 40, 230), (200, 200, 60)]
    with VideoWriter(tmp_path / "v.mp4", Fraction(10)) as writer:
        for colour in colours:
            writer.add(np.full((64, 64, 3), colour, np.uint8))
    frames, _ = read(tmp_path / "v.mp4")
    for frame, colour in zip(frames, colours, strict=True):
        np.testing.assert_allclose(frame.image[32, 32], colour, atol=6)


@pytest.mark.parametrize(("ending", "sound"), [("mp4", "aac"), ("mkv", "ac3"), ("mkv", "pcm_s16le"), ("mp4", "")])
def test_a_copy_has_the_sound_the_time_stamps_and_the_length(tmp_path: Path, ending: str, sound: str) -> None:
    times = [0, 40, 80, 500, 540, 1500, 1540, 2000, 2040, 2700, 2740]
    path = encode(tmp_path / f"v.{ending}", flat(GREY), times, sound=sound)
    copy = tmp_path / "copy" / f"v.{ending}"
    write_copy(path, copy)
    with av.open(str(copy)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        heard = [stream.codec_context.name for stream in container.streams.audio]
        assert heard == (["aac"] if sound else [])
        seconds = container.duration / av.time_base
        if sound:
            samples = sum(frame.samples for frame in container.decode(audio=0))
            assert abs(samples / 44100 - 3) < 0.1
            assert abs(seconds - 3) < 0.1
    assert [round(1000 * frame.seconds) for frame in read(copy)[0]] == times


@pytest.mark.parametrize("sound", ["aac", "ac3"])
def test_a_copy_of_joined_films_has_the_sound_of_both(tmp_path: Path, sound: str) -> None:
    """In the file, all time stamps begin again at the second film."""
    path = joined(tmp_path / "v.ts", (96, 128), (48, 64), sound=sound)
    copy = tmp_path / "copy.mp4"
    write_copy(path, copy)
    with av.open(str(copy)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples / 44100 - 6) < 0.2
    seconds = [frame.seconds for frame in read(copy)[0]]
    np.testing.assert_allclose(np.diff(seconds), 0.1, atol=0.01)
    assert len(seconds) == 22


def test_a_film_that_begins_late_has_a_copy_that_begins_at_zero(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mkv", flat(GREY), [10_000 + 100 * i for i in range(len(GREY))])
    frames, video = read(path)
    assert (frames[0].seconds, frames[-1].seconds, video.problem) == (10.0, 11.0, "")
    with VideoWriter(tmp_path / "c.mp4", video.rate, video.base) as writer:
        for frame in frames:
            writer.add(frame.image, frame.time * frame.base)
    assert [round(frame.seconds, 3) for frame in read(tmp_path / "c.mp4")[0]][::10] == [0.0, 1.0]


def test_a_file_that_was_cut_off_gives_its_frames_and_says_so(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8))
    path = encode(tmp_path / "v.mp4", noise, container={"movflags": "faststart"})
    assert read(path)[1].problem == ""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, video = read(path)
    assert 20 < len(frames) < 40
    assert "but the file says 5.0 s; is the file complete?" in video.problem


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="ipod") as container:
        heard = container.add_stream("aac", rate=44100)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 44100
        container.mux(heard.encode(samples))
        container.mux(heard.encode(None))
    for name, message in (
        ("text.mp4", "can't be opened as a video"),
        ("none.mp4", "No such file"),
        ("sound.m4a", "has no video, only audio"),
    ):
        with pytest.raises(BpnetError, match=f"{name}: .*{message}"):
            VideoReader(str(tmp_path / name))


def test_names_with_colons_and_bytes_that_are_not_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "v.mp4", flat(GREY))
    monkeypatch.chdir(tmp_path)
    for name in ("12:30:00.mp4", os.fsdecode(b"caf\xe9.mp4"), "https:file.mp4"):
        os.link("v.mp4", name)
        assert len(read(name)[0]) == len(GREY)
        assert not is_address(name)


WRITE_WITHOUT_SPACE = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from bpnet_cli.data.video_writer import VideoWriter
from bpnet_cli.errors import BpnetError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
noise = np.random.default_rng(0).integers(0, 256, (20, 120, 160, 3), np.uint8)
try:
    with VideoWriter(Path(sys.argv[1]), Fraction(10)) as writer:
        for picture in noise:
            writer.add(picture)
except BpnetError as error:
    print(error)
"""


@pytest.mark.parametrize("share", [0.3, 0.999])
def test_without_space_no_copy_is_left(tmp_path: Path, share: float) -> None:
    """The second limit lets all frames be written, but not the index without which a film can't be played."""
    paths = [tmp_path / name / "v.mp4" for name in ("whole", "cut")]
    size = resource.RLIM_INFINITY
    for path in paths:
        path.parent.mkdir()
        words = [sys.executable, "-c", WRITE_WITHOUT_SPACE, str(path), str(size)]
        result = subprocess.run(words, capture_output=True, text=True, check=True)
        size = int(share * paths[0].stat().st_size)
    assert f"{paths[1]}: can't be written (File too large)" in result.stdout
    assert list(paths[1].parent.iterdir()) == []


def test_an_error_in_the_block_leaves_no_copy(tmp_path: Path) -> None:
    with pytest.raises(KeyError), VideoWriter(tmp_path / "v.mp4", Fraction(10)) as writer:
        writer.add(flat([9])[0])
        raise KeyError
    with VideoWriter(tmp_path / "w.mp4", Fraction(10)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_endings_that_cannot_hold_h264_get_one_more() -> None:
    names = ("a/v.MP4", "v.mkv", "v.avi", "v.webm", "v")
    assert [video_name(name) for name in names] == ["a/v.MP4", "v.mkv", "v.avi.mp4", "v.webm.mp4", "v.mp4"]


class Packet:
    def __init__(self, pts: int | None, duration: int = 0) -> None:
        self.pts, self.time_base, self.duration = pts, Fraction(1, 100), duration


class Track:
    time_base = Fraction(1, 1000)


def test_time_never_goes_back() -> None:
    clock = Clock(Track(), Fraction(25))
    stamps = [None, 8, 8, 12, None, 9000, 100, 104, 102]
    expected = [0, 80, 81, 120, 160, 90_000, 90_040, 90_080, 90_081]
    assert [clock.stamp(Packet(pts))[0] for pts in stamps] == expected


class Dropping(http.server.BaseHTTPRequestHandler):
    """Sends a live film; the first connection breaks off in the middle."""

    data = b""
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        part = self.data[: len(self.data) // 2] if self.requests == 1 else self.data
        for start in range(0, len(part), 4096):
            chunk = part[start : start + 4096]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if self.requests == 1:
            self.wfile.write(b"1000\r\nhalf of a chunk")
        if self.requests > 1:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    noise = list(np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8))
    Dropping.data, Dropping.requests = encode(tmp_path / "v.ts", noise, options={"g": "5"}).read_bytes(), 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dropping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/live.ts"
    server.shutdown()
    server.server_close()


def test_a_stream_goes_on_after_a_lost_connection(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpnet_cli.data.live._WAITS", (0.0, 0.0))
    with open_video(served) as video:
        assert isinstance(video, Stream)
        frames = list(video.frames())
    assert Dropping.requests >= 2
    assert len(frames) > 30
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert all(one.time < two.time for one, two in pairwise(frames))


def test_damaged_pictures_are_no_lost_connection(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the beginning of a stream that is joined in the middle."""
    monkeypatch.setattr("bpnet_cli.data.live._WAITS", (0.0,))
    Dropping.requests = 1  # this connection will end well
    with open_video(served) as video:
        video.reader.problem = "some frames are damaged and were left out"
        assert len(list(video.frames())) == 30
    assert Dropping.requests == 2


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(BpnetError, match="camera:97: can't be opened; is it connected"):
        open_video(97)


class Lens:
    """What OpenCV has for a camera, of four pictures."""

    def __init__(self, number: int) -> None:
        self.left, self.number = 4, number

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return self.left >= 0, np.full((4, 6, 3), (255, 0, 0), np.uint8)

    def release(self) -> None:
        self.left = -9


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Lens)
    with open_video(2, every=2) as video:
        assert isinstance(video, Camera)
        frames = list(video.frames())
    assert [frame.number for frame in frames] == [0, 2]
    assert frames[0].image[0, 0].tolist() == [0, 0, 255]
    assert video.rate == 15
    assert video.problem == "the camera sent no more pictures"
    assert video.capture.left == -9
