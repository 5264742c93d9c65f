"""Files behind URLs that fsspec knows, such as s3://bucket/photos, with the interface of `pathlib`.

Local paths load none of its packages. Credentials come from the environment only.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeGuard, cast

from bpnet_cli.errors import BpnetError, did_you_mean

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)[^/]*:[^/]*@")
# What FFmpeg reads, as a stream, and not fsspec.
_STREAM = re.compile(
    "async|cache|concatf?|crypto|data|fd|ffrtmphttp|file|gophers?|hls|https?|httpproxy|icecast|ipfs|ipns|local|mms[ht]"
    "|pipe|rist|rtmp|rtmpt?[es]|rtmpt|rtp|rtsps?|satip|sctp|sdp|srtp?|subfile|tcp|tls|udp|udplite|unix"
)
_ABSENT = "no such file or folder"
# Larger files are read in parts while they are sent (bytes).
_ONE_PIECE = 64 << 20


class StorageError(BpnetError, OSError):
    """A URL that can't be read or written. strerror: the reason. errno: ENOENT if nothing is there, otherwise EIO."""

    page = "distributed"

    def __init__(self, number: int, reason: str, url: str) -> None:
        super().__init__(number, reason)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url}: {self.strerror}"


def is_stored(word: str | Path) -> bool:
    """Whether a word is a URL of a file or folder: not a local path, and not a stream such as rtsp://..."""
    match = _URL.match(word) if isinstance(word, str) else None
    return is_remote(word) or bool(match and not _STREAM.fullmatch(match[1].lower()) and not os.path.exists(word))


def is_remote(path: object) -> TypeGuard[Stored]:
    """Whether a path is a `Stored`."""
    return isinstance(path, Stored)


def place(word: str | Path) -> Path:
    """The path that a user's word means: a `pathlib.Path`, or a `Stored` for a URL. Doesn't look whether it exists.

    A `Stored` has the part of Path's interface that is used on paths of photos, labels and results.
    Raises BpnetError for a URL with a password: results and specs would show it.
    """
    if not isinstance(word, str):
        return word
    if not is_stored(word):
        return Path(word)
    if _PASSWORD.search(word):
        protocol = word.split("://")[0]
        names = f"FSSPEC_{protocol.upper()}_USERNAME, FSSPEC_{protocol.upper()}_PASSWORD"
        raise BpnetError(f"{without_password(word)}: give the password in the environment ({names}), not in a URL")
    return cast(Path, Stored(word))


def local_path(word: str | Path) -> Path:
    """The local path that a user's word means. Raises BpnetError for a URL."""
    path = place(word)
    if is_remote(path):
        raise BpnetError(f"{path}: must be on a local or mounted disk; copy the files from there afterwards")
    return path


def without_password(url: str) -> str:
    """A URL without a name and password in it; other words stay as they are."""
    return _PASSWORD.sub("", url)


def split_pattern(pattern: str) -> tuple[Path, str]:
    """The folder of a URL up to its first part with a wildcard, or up to its last part, and the rest."""
    protocol, _, rest = pattern.partition("://")
    parts = rest.split("/")
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return place(f"{protocol}://{'/'.join(parts[:first])}"), "/".join(parts[first:])


def has_package(url: str) -> bool:
    """Whether fsspec and the package of a URL's protocol are installed."""
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(url.split("://")[0].lower())
    except (ImportError, ValueError):
        return False
    return True


class Stored(PurePosixPath):
    """A URL as a path. All that asks the storage raises StorageError, and BpnetError where a package is missing.

    There are no links, and folders exist only as parts of names.
    """

    __slots__ = ()

    def __str__(self) -> str:
        head, *parts = self.parts or ("",)
        return f"{head}//{'/'.join(parts)}" if _URL.match(f"{head}//") else super().__str__()

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return self._info() is not None

    def is_file(self) -> bool:
        """Whether it is a file."""
        return (self._info() or {}).get("type") == "file"

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return (self._info() or {}).get("type") == "directory"

    def is_symlink(self) -> bool:
        """False."""
        return False

    def stat(self) -> os.stat_result:
        """The size of the file; all else is 0."""
        info = self._info()
        if info is None:
            raise StorageError(errno.ENOENT, _ABSENT, str(self))
        return os.stat_result((*[0] * 6, int(info["size"]), 0, 0, 0))

    def read_bytes(self) -> bytes:
        """The content of the file."""
        try:
            return self.read_part(0, None)  # without a range, s3fs asks for the size first
        except StorageError as error:
            if error.errno == errno.ENOENT:
                raise
            return self.read_part(None, None)  # an empty file has no range

    def read_part(self, start: int | None, end: int | None) -> bytes:
        """The bytes from `start` to before `end`, in one request."""
        with _asking(self) as (files, key):
            return bytes(files.cat_file(key, start=start, end=end))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file to read any parts of it. mode: "rb"."""
        with _asking(self) as (files, key):
            return io.BufferedReader(_Reader(self, files.open(key, mode)))

    def put(self, local: Path) -> None:
        """Store the content of a local file under this name. Object stores show it when it is whole."""
        with _asking(self) as (files, key):
            if local.stat().st_size <= _ONE_PIECE:
                files.pipe_file(key, local.read_bytes())
            else:
                files.put_file(str(local), key)

    def try_writing(self) -> None:
        """Store an empty file in this folder and delete it."""
        with _asking(self) as (files, key):
            probe = f"{key}/.bpnet-{uuid.uuid4().hex}"
            files.pipe_file(probe, b"")
            files.rm_file(probe)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        try:
            with _asking(self) as (files, key):
                files.rm_file(key)
        except StorageError as error:
            if not (missing_ok and error.errno == errno.ENOENT):
                raise

    def rmdir(self) -> None:
        """Nothing: a folder goes with its last file. Some packages would delete the bucket."""

    def below(self) -> dict[str, str]:
        """The files in a folder and its subfolders: name relative to the folder -> text that changes with the content.

        One request lists many files. Empty where the folder doesn't exist.
        """
        return {name: repr(sorted(info.items(), key=str)) for name, info in self._listed("find", "").items()}

    def rglob(self, pattern: str) -> Iterator[Path]:
        """The files below a folder. pattern: "*"."""
        return (cast(Path, self / name) for name in self.below())

    def glob(self, pattern: str) -> Iterator[Path]:
        """The files below a folder that match a pattern."""
        return (cast(Path, self / name) for name in self._listed("glob", pattern))

    def _listed(self, method: str, pattern: str) -> dict[str, Mapping[str, Any]]:
        """Information on files by their names relative to this folder."""
        try:
            with _asking(self, fresh=True) as (files, key):
                what = f"{glob.escape(key)}/{pattern}" if pattern else key
                listed = getattr(files, method)(what, detail=True)
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            return {}
        found = {name.removeprefix(key).lstrip("/"): info for name, info in listed.items()}
        return {name: info for name, info in found.items() if info.get("type") == "file" and name and name[-1] != "/"}

    def _info(self) -> Mapping[str, Any] | None:
        """What the storage knows of a file or folder; None where there is none."""
        try:
            with _asking(self, fresh=True) as (files, key):
                return cast(Mapping[str, Any], files.info(key))
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            return None


class _Reader(io.RawIOBase):
    """A file of fsspec whose errors are StorageErrors."""

    def __init__(self, path: Stored, file: Any) -> None:
        self._path, self._file = path, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _explained(str(self._path)):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _explained(str(self._path)):
            return int(self._file.seek(offset, whence))

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _asking(path: Stored, fresh: bool = False) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the name in it. fresh: forget what was listed before, others may have changed it."""
    url = str(path)
    if not (match := _URL.match(url)):
        raise StorageError(errno.ENOENT, _ABSENT, url)  # for example the name /photo.jpg in a file of labels
    protocol = match[1].lower()
    try:
        from fsspec import available_protocols
        from fsspec.core import url_to_fs
    except ImportError:
        raise BpnetError(f"{url}: URLs need fsspec: pip install 'bpnet-cli[remote]'") from None
    if protocol not in available_protocols():
        hint = did_you_mean(protocol, available_protocols())
        raise BpnetError(f"{url}: {protocol}:// is no protocol that fsspec or FFmpeg knows{hint}")
    with _explained(url):
        try:
            files, key = url_to_fs(url)
        except ImportError as error:
            raise BpnetError(f"{url}: {protocol}:// needs {_package(protocol, str(error))}") from None
        if fresh:
            files.dircache.clear()
        yield files, key


def _package(protocol: str, text: str) -> str:
    """The package of a protocol and the line that installs it. text: of fsspec's ImportError."""
    from fsspec.registry import known_implementations

    module = known_implementations.get(protocol, {}).get("class", "fsspec").split(".")[0]
    named = re.search(r'"([\w-]+)"', text)
    name = module.replace("_", "-") if module != "fsspec" else named[1] if named else ""
    return f"another package: {f'pip install {name}' if name else text}"


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn any error of the block into a StorageError."""
    try:
        yield
    except BpnetError:
        raise
    except FileNotFoundError as error:
        text = str(error)  # mostly the name again, but a missing bucket is explained
        raise StorageError(errno.ENOENT, text if " " in text and "/" not in text else _ABSENT, url) from error
    except Exception as error:  # the package of each protocol has exceptions of its own
        text = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
        raise StorageError(errno.EIO, text.splitlines()[0], url) from error
