"""The table of the formats of model files. All code that opens a model uses it. Formats are recognised by content.

Each upper layer has one table of what it does with the formats, with the same keys: `inference.backends.LOADERS` (runs
a network), `inference.info.DESCRIBERS` (describes it), `export.writers.WRITERS` (writes a Keras network in the
format), `importing.workflow.READERS` (imports it).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from bpnet_cli.box import no_such_model
from bpnet_cli.errors import ModelFileError
from bpnet_cli.models.metadata import KERAS_MEMBER, MOST_BYTES, ONNX_KEY, ModelMetadata, read_keras_metadata
from bpnet_cli.untrusted import member_of

# So many bytes at the start of a file are enough to recognise its format.
_HEAD = 64
# Endings of files of NVIDIA TAO.
_OF_TAO = (".tlt", ".hdf5", ".engine")
# Possible first members of a `.keras` archive. The zip signature is not enough: a `.npz` is a zip archive too.
_KERAS_MEMBERS = (b"metadata.json", b"config.json", b"model.weights.h5")
# When OpenVINO converts an ONNX file, it keeps the file's metadata here.
_RT_INFO = f"rt_info/framework/{ONNX_KEY}"
# Files in a SavedModel folder: the graph, and bpnet's metadata.
_SAVED_MODEL = "saved_model.pb"
SAVED_MODEL_METADATA = f"assets.extra/{KERAS_MEMBER}"
# Field numbers in ONNX's ModelProto and StringStringEntryProto; bytes of a field by protobuf's wire type.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_FIXED_SIZES = {1: 8, 5: 4}
# Bits of a protobuf number, at least.
_LONGEST = 64


@dataclass(frozen=True)
class Format:
    """A format of model files.

    name: key in all tables. suffix: file ending; "" for a folder. words: name in messages.
    matches: tells from the first 64 bytes whether a file has this format.
    metadata: reads the file's bpnet metadata; None if the file has none, for example a file of another tool.
    engines: engines that can run such a file, the default first.
    """

    name: str
    suffix: str
    words: str
    matches: Callable[[bytes], bool]
    metadata: Callable[[str | Path], ModelMetadata | None]
    engines: tuple[str, ...]


def format_of(path: str | Path) -> Format:
    """The format of a model file.

    If the content is of no known format, the ending decides: then the code that opens the file reports what is wrong.
    Raises ModelFileError if there is no such file, if the ending is unknown, or if the content is of a known format
    that doesn't have this ending.
    """
    path = Path(path)
    if (path / _SAVED_MODEL).is_file():
        return FORMATS["saved_model"]
    if (best := path / "model.keras").is_file():
        raise ModelFileError(f"{path}: is a folder of a training run; its model is {best}")
    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder, but not a SavedModel: it has no {_SAVED_MODEL}")
    if not path.is_file():
        raise no_such_model(path)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    by_ending = next((each for each in FORMATS.values() if each.suffix and each.suffix == path.suffix), None)
    by_content = next((each for each in FORMATS.values() if each.matches(head)), None)
    if by_content not in (None, by_ending):
        right = path.with_suffix(by_content.suffix).name
        raise ModelFileError(f"{path}: by its content, this is {by_content.words}; rename it to {right}")
    if by_ending is None:
        hint = "; only TAO reads its own files: export this one with TAO to .onnx" if path.suffix in _OF_TAO else ""
        raise ModelFileError(f"{path}: must be {_any_of(FORMATS)}{hint}")
    return by_ending


def size_of(path: str | Path) -> int:
    """The bytes of a model: of its file, of both files of OpenVINO, or of all files in its folder."""
    path = Path(path)
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    weights = [path.with_suffix(".bin")] if path.suffix == FORMATS["openvino"].suffix else []
    return sum(each.stat().st_size for each in (path, *weights))


def check_format(path: str | Path, names: Collection[str], what: str) -> Format:
    """The format of a file. names: the formats that are accepted. what: the command, for the message.

    Raises ModelFileError if the format is not in `names`, or as `format_of` does.
    """
    found = format_of(path)
    if found.name not in names:
        raise ModelFileError(f"{path}: this is {found.words}, but {what} needs {_any_of(names)}")
    return found


def _any_of(names: Collection[str]) -> str:
    *others, last = (FORMATS[name].words for name in names)
    return f"{', '.join(others)} or {last}" if others else last


def _is_keras(head: bytes) -> bool:
    return head.startswith(b"PK\3\4") and head[30:].startswith(_KERAS_MEMBERS)


def _is_onnx(head: bytes) -> bool:
    """Whether a file begins with the field for ONNX's version; all programs write this field first."""
    return head.startswith(b"\x08")


def _is_litert(head: bytes) -> bool:
    return head[4:8] == b"TFL3"


def _is_xml(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<?xml", b"<net"))


def _read_onnx(path: str | Path) -> ModelMetadata | None:
    """Reads the metadata without the onnx package, because inference doesn't need that package."""
    try:
        with open(path, "rb") as file:
            props = [io.BytesIO(value) for _, value in _fields(file, [_METADATA_PROPS])]
        entries = [dict(_fields(prop, [_KEY, _VALUE])) for prop in props]
    except ValueError as error:
        raise ModelFileError(f"{path}: not a whole ONNX file ({error})") from None
    ours = [entry.get(_VALUE, b"") for entry in entries if entry.get(_KEY) == ONNX_KEY.encode()]
    return ModelMetadata.from_json(ours[0], path) if ours else None


def _fields(file: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of the wanted fields of a protobuf message; other fields are skipped.

    Raises ValueError if the message is damaged.
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    while file.tell() < end:
        number, kind = divmod(_varint(file), 8)
        if kind == 0:
            _varint(file)
            continue
        if kind not in (*_FIXED_SIZES, 2):
            raise ValueError(f"a field of unknown wire type before byte {file.tell()}")
        size = _varint(file) if kind == 2 else _FIXED_SIZES[kind]
        if size > end - file.tell():
            raise ValueError("it ends too early")
        if number in wanted and size > MOST_BYTES:
            raise ValueError(f"its metadata have {size:,} bytes, more than {MOST_BYTES:,}")
        if number in wanted:
            yield number, file.read(size)
        else:
            file.seek(size, io.SEEK_CUR)


def _varint(file: BinaryIO) -> int:
    """Read a number: 7 bits per byte, the lowest bits first; the highest bit of a byte says that another one follows.

    Raises ValueError if the file ends inside the number.
    """
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
        if shift > _LONGEST:
            raise ValueError("a number in it is too long")
    raise ValueError("it ends too early")


def _read_openvino(path: str | Path) -> ModelMetadata | None:
    try:
        entry = ElementTree.parse(path).getroot().find(_RT_INFO)
    except ElementTree.ParseError as error:
        raise ModelFileError(f"{path}: OpenVINO can't read it; is the file complete? ({error})") from None
    return None if entry is None else ModelMetadata.from_json(entry.get("value", ""), path)


def _read_litert(path: str | Path) -> ModelMetadata | None:
    try:
        text = member_of(path, KERAS_MEMBER, MOST_BYTES)
    except (zipfile.BadZipFile, KeyError):
        return None
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return ModelMetadata.from_json(text, path)


def _read_saved_model(path: str | Path) -> ModelMetadata | None:
    file = Path(path) / SAVED_MODEL_METADATA
    if not file.is_file():
        return None
    with open(file, "rb") as opened:
        return ModelMetadata.from_json(opened.read(MOST_BYTES), file)


FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        Format("keras", ".keras", "a .keras file", _is_keras, read_keras_metadata, ("keras",)),
        Format("onnx", ".onnx", "an .onnx file", _is_onnx, _read_onnx, ("onnxruntime", "openvino")),
        Format("openvino", ".xml", "an .xml file of OpenVINO", _is_xml, _read_openvino, ("openvino",)),
        Format("litert", ".tflite", "a .tflite file", _is_litert, _read_litert, ("litert",)),
        Format("saved_model", "", "a SavedModel folder", lambda _: False, _read_saved_model, ("tensorflow",)),
    )
}
