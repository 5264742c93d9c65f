"""Whether a file is a photo or a video, by its first bytes; its ending counts only where these tell nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bpnet_cli.data.heic import BRANDS
from bpnet_cli.data.pixels import PNG, TIFF
from bpnet_cli.storage import is_remote

Kind = Literal["photo", "video"]

_PHOTO_ENDINGS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".dib",
        ".webp",
        ".tif",
        ".tiff",
        ".jp2",
        ".heic",
        ".heif",
        ".avif",
        ".pbm",
        ".pgm",
        ".ppm",
        ".hdr",
    ]
)
_VIDEO_ENDINGS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mts",
        ".m2ts",
        ".3gp",
        ".3g2",
        ".wmv",
        ".asf",
        ".flv",
        ".ogv",
        ".dv",
        ".mxf",
        ".gif",
        ".vob",
    ]
)
_SOUND_ENDINGS = frozenset([".mp3", ".m4a", ".m4b", ".ogg", ".oga", ".opus", ".wma", ".mka", ".aac", ".flac", ".wav"])
_PHOTOS = (
    *(b"\xff\xd8\xff", PNG, b"BM", *TIFF, b"II+\x00", b"MM\x00+"),
    *(b"\x00\x00\x00\x0cjP  \r\n", b"\xff\x4f\xff\x51", b"#?RADIANCE", b"P5\n", b"P6\n", b"P5 ", b"P6 "),
)
_VIDEOS = (
    *(b"\x1a\x45\xdf\xa3", b"FLV\x01", b"OggS", b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"),
    *(b"\x06\x0e\x2b\x34", b"\x1f\x07\x00", b".RMF", b"YUV4MPEG2", b"DKIF"),
)
_STILL_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", *BRANDS)
# What QuickTime and MP4 begin with, after a length of four bytes.
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# A transport stream has this byte at the start of each packet; packets of .mts have four bytes more, in front.
_SYNC, _PACKETS = 0x47, ((0, 188), (4, 192))
# A GIF may be a photo or a video.
_EITHER = ".gif"
_HEAD = 600  # bytes; at least three packets


def kind_of(path: Path) -> Kind | None:
    """The kind of a file; None for anything else, also for sound.

    Where the file can't be read or its bytes are unknown, its ending counts, so that reading it gives a message.
    """
    ending = path.suffix.lower()
    if ending in _SOUND_ENDINGS:
        return None
    # Reading the first bytes at a URL is a request for each photo, so they count there only if the ending says nothing.
    if is_remote(path) and ending != _EITHER and (kind := _kind_of_ending(ending)):
        return kind
    try:
        head = _head_of(path)
    except OSError:
        head = b""
    if head.startswith(b"GIF8"):
        return "video" if _moves(path) else "photo"
    return _kind_of_bytes(head) or _kind_of_ending(ending)


def _head_of(path: Path) -> bytes:
    if is_remote(path):
        return path.read_part(0, _HEAD)
    with open(path, "rb", buffering=0) as file:
        return file.read(_HEAD)


def _kind_of_bytes(head: bytes) -> Kind | None:
    if head.startswith(_PHOTOS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "photo"
    if head.startswith(_VIDEOS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    if head[4:8] in _QUICKTIME:
        return "photo" if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS else "video"
    for first, step in _PACKETS:
        places = range(first, _HEAD - 1, step)
        if len(head) == _HEAD and all(head[place] == _SYNC for place in places):
            return "video"
    return None


def _kind_of_ending(ending: str) -> Kind | None:
    if ending in _PHOTO_ENDINGS:
        return "photo"
    return "video" if ending in _VIDEO_ENDINGS else None


def _moves(path: Path) -> bool:
    """Whether a GIF has more than one frame."""
    import av  # not needed for a photo, and slow to load

    try:
        with path.open("rb") as file, av.open(file, "r") as container:
            return sum(bool(packet.size) for packet, _ in zip(container.demux(video=0), range(2), strict=False)) > 1
    except (av.FFmpegError, OSError):
        return False  # it is damaged; reading it as a photo tells why
