"""Model files that a stranger made to do harm: one message, little memory, no other exception."""

from __future__ import annotations

import json
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bpnet_cli.box import box_keras, box_onnx
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.backends import load_backend
from bpnet_cli.models.formats import format_of
from bpnet_cli.models.metadata import KERAS_MEMBER, ONNX_KEY
from bpnet_cli.untrusted import json_of, member_of

DEEP = "[" * 100_000 + "]" * 100_000


def keras_file(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The model in the box with other members."""
    with zipfile.ZipFile(box_keras()) as box, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in box.namelist():
            target.writestr(name, change(name, box.read(name)))
    return path


def onnx_file(path: Path, change: Callable[[str], str]) -> Path:
    model = onnx.load(box_onnx())
    for entry in model.metadata_props:
        if entry.key == ONNX_KEY:
            entry.value = change(entry.value)
    onnx.save(model, path)
    return path


def refused(path: Path) -> str:
    """The message for the file; reading its metadata must not take much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError) as error:
        format_of(path).metadata(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert len(text) < len(str(path)) + 400
    return text


BAD_METADATA = {
    "stride: must be a whole number from 1 to 64 (got 0)": {"stride": 0},
    "stride: must be a whole number from 1 to 64 (got 8.5)": {"stride": 8.5},
    "stride: must be a whole number from 1 to 64 (got True)": {"stride": True},
    "input_multiple: must be a whole number from 1 to 1024 (got 0)": {"input_multiple": 0},
    "input_multiple: must be a whole number from 1 to 1024 (got 1000000)": {"input_multiple": 1_000_000},
    "spec: must be a mapping (got list)": {"spec": []},
    "could not convert string to float": {"normalization": {"scale": "large", "offset": [0, 0, 0]}},
    "not enough values to unpack": {"normalization": {"scale": 1, "offset": [0, 0]}},
    "'list' object has no attribute": {"skeleton": [1]},
}


@pytest.mark.parametrize(("text", "values"), list(BAD_METADATA.items()))
def test_metadata_that_cannot_be_true(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    def change(old: str | bytes) -> str:
        return json.dumps(json.loads(old) | values)

    for path in (
        keras_file(tmp_path / "m.keras", lambda name, data: change(data).encode() if name == KERAS_MEMBER else data),
        onnx_file(tmp_path / "m.onnx", change),
    ):
        if "no attribute" not in text:
            assert text in refused(path)
        else:
            refused(path)


@pytest.mark.parametrize("text", [DEEP, '{"format": ' + "9" * 5000 + "}", "", "[]", "null", "\ud800"])
def test_metadata_that_no_parser_likes(tmp_path: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    refused(keras_file(tmp_path / "m.keras", lambda name, old: data if name == KERAS_MEMBER else old))
    if "\ud800" not in text:
        refused(onnx_file(tmp_path / "m.onnx", lambda _: text))


def test_metadata_that_grow(tmp_path: Path) -> None:
    """5 GB of spaces are 5 MB in the zip; here it is 300 MB."""
    path = keras_file(tmp_path / "m.keras", lambda name, data: b" " * (300 << 20) if name == KERAS_MEMBER else data)
    assert path.stat().st_size < 8 << 20
    assert "bpnet.json has 314,572,800 bytes when unpacked, more than 4,194,304" in refused(path)
    # The size in the directory of the zip is a lie.
    data = path.read_bytes()
    lie = tmp_path / "lie.keras"
    lie.write_bytes(data.replace((300 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    refused(lie)
    huge = onnx_file(tmp_path / "m.onnx", lambda text: text + " " * (9 << 20))
    assert "its metadata have 9,4" in refused(huge)


@pytest.mark.parametrize(("place", "value", "text"), [(8, 1, "encrypted"), (10, 97, "compression")])
def test_members_that_cannot_be_unpacked(tmp_path: Path, place: int, value: int, text: str) -> None:
    """Flags and method in the zip's directory, and in front of the member."""
    path = tmp_path / "m.keras"
    shutil.copy(box_keras(), path)
    data = bytearray(path.read_bytes())
    name = KERAS_MEMBER.encode()
    directory = data.rindex(name) - 46
    local = data.index(name) - 30
    data[directory + place] = value
    data[local + place - 2] = value
    path.write_bytes(data)
    assert text in refused(path)


@pytest.mark.usefixtures("keras_loaded")
@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b'"filters": 64', b'"filters": 1000000000', "a layer has filters 1000000000, more than 65536"),
        (b'"class_name": "Functional"', b'"class_name": "Lambda"', "Keras can't load it"),
        (b'"config"', b'"configuration"', "Keras can't load it"),
        (b"{", b"[", "not a whole .keras file"),
    ],
)
def test_graphs_that_do_harm(tmp_path: Path, old: bytes, new: bytes, text: str) -> None:
    from bpnet_cli.models.model_file import load_network

    with zipfile.ZipFile(box_keras()) as box:
        assert old in box.read("config.json")
    path = keras_file(
        tmp_path / "m.keras", lambda name, data: data.replace(old, new) if name == "config.json" else data
    )
    with pytest.raises(ModelFileError, match=text) as error:
        load_network(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.usefixtures("keras_loaded")
def test_a_graph_that_is_nested_without_end(tmp_path: Path) -> None:
    from bpnet_cli.models.model_file import load_network

    path = keras_file(tmp_path / "m.keras", lambda name, data: DEEP.encode() if name == "config.json" else data)
    with pytest.raises(ModelFileError, match="nested too deeply"):
        load_network(path)


@pytest.mark.usefixtures("keras_loaded")
@pytest.mark.parametrize("ending", [".keras", ".onnx"])
def test_a_stride_that_the_network_does_not_have(tmp_path: Path, ending: str) -> None:
    """People would be at half of their places."""

    def change(text: str | bytes) -> str:
        return json.dumps(json.loads(text) | {"stride": 4})

    if ending == ".keras":
        path = keras_file(
            tmp_path / "m.keras", lambda name, data: change(data).encode() if name == KERAS_MEMBER else data
        )
    else:
        path = onnx_file(tmp_path / "m.onnx", change)
    backend = load_backend(path)
    with pytest.raises(
        ModelFileError, match="an input of 64 x 96 pixels have 8 x 12 cells, which is not the stride of 4"
    ):
        backend.maps(np.zeros((1, 64, 96, 3), np.uint8))


def test_small_parts(tmp_path: Path) -> None:
    assert json_of(b'{"a": [1]}') == {"a": [1]}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"12345")
    assert member_of(tmp_path / "a.zip", "a", 5) == b"12345"
    with pytest.raises(ValueError, match="a has 5 bytes when unpacked, more than 4"):
        member_of(tmp_path / "a.zip", "a", 4)
    with pytest.raises(KeyError):
        member_of(tmp_path / "a.zip", "b", 4)
