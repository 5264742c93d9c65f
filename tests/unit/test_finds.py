"""What fuzzing found (`make fuzz`): each was another error than one for the user. One test for each way to break."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bpnet_cli.box import box_onnx
from bpnet_cli.data.records import from_example
from bpnet_cli.data.sources import open_source
from bpnet_cli.errors import BpnetError, DataError, ModelFileError
from bpnet_cli.inference.merge import merge_parts
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.labelling.workflow import import_labels
from bpnet_cli.untrusted import arrays_of, json_of, member_of, typed
from tests.conftest import coco_person, write_coco
from tests.unit import other_tools


def npz(path: Path, members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(array: np.ndarray, **header: Any) -> bytes:
    """An array as numpy writes it, with entries of its header replaced."""
    file = io.BytesIO()
    values = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    np.lib.format.write_array_header_1_0(file, values)
    return file.getvalue() + array.tobytes()


def broken_header(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


ONES = np.ones((2, 3), np.float32)
BAD_ARRAYS = [
    ("is not an array", broken_header(b"{'descr': '<f4', 'shape': (2, 3")),  # tokenize.TokenError
    ("is not an array", broken_header(b"\0" * 64)),  # SyntaxError
    ("is not an array", broken_header(b"(" * 500)),  # RecursionError, MemoryError
    ("is not an array", b""),  # EOFError
    ("needs another number", npy(ONES, shape=(10**14, 3))),  # MemoryError
    ("needs another number", npy(ONES, shape=(2, 2))),
    ("is an array of object", npy(ONES, descr="|O")),
    ("is not text", npy(np.array("a" * 6))[:-4] + b"\xff\xff\xff\x7f"),  # printing such text raises SystemError
]


@pytest.mark.parametrize(("reason", "data"), BAD_ARRAYS)
def test_arrays_that_are_none(tmp_path: Path, reason: str, data: bytes) -> None:
    path = npz(tmp_path / "a.npz", {"ok.npy": npy(ONES), "bad.npy": data})
    with pytest.raises(ValueError, match=f"bad.npy.*{reason}"):
        arrays_of(path)


def test_archives_that_are_bombs_or_damaged(tmp_path: Path) -> None:
    bomb = npz(tmp_path / "bomb.npz", {"a.npy": bytes(200 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="far more than an archive of weights"):
        arrays_of(bomb)
    data = bytearray(npz(tmp_path / "a.npz", {"a.npy": npy(ONES)}).read_bytes())
    entry = data.index(b"PK\1\2")
    # The checksum, flag bit 5, packing 99, the signature.
    for place, byte in ((data.index(b"NUMPY") + 40, 0xFF), (entry + 8, 0x20), (entry + 10, 99), (0, 0)):
        (tmp_path / "b.npz").write_bytes(data[:place] + bytes([byte]) + data[place + 1 :])
        with pytest.raises(ValueError, match="a.npy|magic number"):
            arrays_of(tmp_path / "b.npz")


def test_arrays_are_those_that_numpy_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a/b": rng.random((3, 4)).astype(np.float16),
        "columns": np.asfortranarray(rng.random((3, 4))),
        "one": np.array(7),
        "none": np.zeros((0, 5)),
        "text": np.array("a\u00e9"),
        "big": rng.integers(0, 9, 5).astype(">i4"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = arrays_of(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_a_json_text_of_nothing_but_lists() -> None:
    with pytest.raises(ValueError, match="20,000,001 lists and objects, more than 20,000,000"):
        json_of("[" + "[]," * 20_000_000 + "0]")


@pytest.mark.parametrize(
    "change", [lambda data: data[:60] + b"\xff\xff" + data[62:], lambda data: b"PK\1\1" + data[4:]]
)
def test_a_member_with_another_checksum_or_no_head(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = npz(tmp_path / "m.keras", {"config.json": b"{}" * 50})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match="config.json can't be unpacked"):
        member_of(path, "config.json", 1000)


def test_keypoints_in_lists_and_not_in_lists(tmp_path: Path) -> None:
    mixed = [[12, 22, 2], 3, 4, [5, 6, 7, 8]]
    path = write_coco(tmp_path, [coco_person(1), coco_person(2, keypoints=mixed)])
    with pytest.raises(DataError, match="annotation 2"):
        open_source(tmp_path / "images", path)


@pytest.mark.parametrize("counts", [[100, 30, 11930], [12001], [40, -30, 11930], [40, "30", 11930], [40, 1.5]])
def test_run_lengths_that_do_not_fit_the_photo(tmp_path: Path, counts: list[Any]) -> None:
    crowd = coco_person(2, iscrowd=1, keypoints=[0] * 51, segmentation={"counts": counts, "size": [100, 120]})
    path = write_coco(tmp_path, [coco_person(1), crowd])
    with pytest.raises(DataError, match="annotation 2.*: segmentation can't be decoded .its (run lengths|counts)"):
        source = open_source(tmp_path / "images", path)
        source.ignore(next(iter(source.files)))


def test_a_photo_whose_name_is_longer_than_names_can_be(tmp_path: Path) -> None:
    folder = other_tools.labelme(tmp_path)
    file = sorted(folder.rglob("a.json"))[0]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"imagePath": "x" * 5000}))
    imported = import_labels(folder, tmp_path / "out")
    assert any("not found in" in reason for _, reason in imported.problems)


def test_a_heic_photo_that_is_cut_off(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "p.heic"
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pillow_heif.from_bytes("RGB", (64, 48), image.tobytes()).save(str(path))
    data = path.read_bytes()
    for length in range(40, len(data), len(data) // 50):
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            read_photo(path)


def test_a_png_with_a_part_of_gigabytes_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV took 4 GB of memory for a file of 12 KB."""
    data = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    place = data.index(b"IDAT") - 4
    (tmp_path / "p.png").write_bytes(data[:place] + b"\xff\x00\x00\x00" + data[place + 4 :])
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(DataError, match=r"p\.png: can't be decoded as an image"):
        read_photo(tmp_path / "p.png")


def test_records_that_are_none(keras_loaded: None) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="parsing message"):
        from_example(b"\x0a\xff\xff")


HEAD = {"run": "r", "photos": 1, "people": 0, "failed": []}
PLAN = {
    "run": "r",
    "parts": 1,
    "photos": 1,
    "videos": 0,
    "formats": ["json", "coco", "csv"],
    "model": {},
    "skeleton": {},
}


@pytest.mark.parametrize(
    ("plan", "head", "name", "data"),
    [
        ({"parts": [1]}, {}, "", b""),
        ({"parts": 10**12}, {}, "", b""),
        ({"formats": None}, {}, "", b""),
        ({}, {"photos": None}, "", b""),
        ({}, {"people": []}, "", b""),
        ({}, {"failed": [[1]]}, "", b""),
        ({}, {"failed": [{"file": "a"}]}, "", b""),
        ({}, {}, "detections-00000-of-00001.jsonl", b"\xff\n"),
        ({}, {}, "detections-00000-of-00001.jsonl", b"[\n"),
        ({}, {}, "detections-00000-of-00001.jsonl", b""),
        ({}, {}, "detections-00000-of-00001.jsonl", b"{}"),
        ({}, {}, "detections-00000-of-00001.jsonl", b"{}\n{}\n"),
        ({}, {}, "detections-00000-of-00001.jsonl", None),
        ({}, {}, "coco_results-00000-of-00001.json", b"\xff"),
        ({}, {}, "coco_results-00000-of-00001.json", b"[1"),
        ({}, {}, "detections-00000-of-00001.csv", b"\xff"),
    ],
)
def test_parts_that_are_damaged(
    tmp_path: Path, plan: dict[str, Any], head: dict[str, Any], name: str, data: bytes | None
) -> None:
    (tmp_path / "parts.json").write_text(json.dumps(PLAN | plan))
    lines = tmp_path / "detections-00000-of-00001.jsonl"
    (tmp_path / "coco_results-00000-of-00001.json").write_text("[]")
    (tmp_path / "detections-00000-of-00001.csv").write_text("a\r\n")
    lines.write_bytes(json.dumps(HEAD | head).encode() + b"\n" + ((data or b"") if name == lines.name else b"{}\n"))
    if data is None:
        lines.write_bytes(json.dumps(HEAD).encode())
    elif name and name != lines.name:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BpnetError, match="is not a part of this run|is not a file that bpnet infer wrote"):
        merge_parts(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_the_first_fault_of_an_object_is_named() -> None:
    from bpnet_cli.data.labels import Problem
    from bpnet_cli.data.records import ShardHeader

    numbers = {"set": "s", "shard": 0, "shards": 1, "size": 2, "photos": 3, "people": 4}
    for change, fault in (
        ({"set": []}, r"set must be str \(got list\)"),
        ({"shard": True}, r"shard must be int \(got bool\)"),
        ({"problems": [["a"]]}, r"problems must be Problem \(got list\)"),
        ({"notes": [[1]]}, r"notes must be str \(got int\)"),
    ):
        with pytest.raises(ValueError, match=fault):
            typed(ShardHeader, json.dumps(numbers | change))
    with pytest.raises(ValueError, match="set is missing"):
        typed(ShardHeader, b'{"shard": 1}')
    # Names of files that are not UTF-8 have lone surrogates.
    header = ShardHeader(**numbers, problems=[Problem("reason", "a\udce9.jpg")], notes=[["n"], []])
    assert typed(ShardHeader, header.to_json()) == header


def test_an_onnx_file_whose_outputs_are_gone_or_whose_input_is_huge(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from bpnet_cli.inference.backends import load_backend

    def refused(change: Callable[[Any], None]) -> str:
        model = onnx.load(str(box_onnx()))
        change(model.graph)
        onnx.save(model, str(tmp_path / "m.onnx"))
        with pytest.raises(ModelFileError) as error:
            load_backend(tmp_path / "m.onnx")
        return str(error.value)

    def huge(graph: Any) -> None:
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 10**9

    def no_outputs(graph: Any) -> None:
        del graph.output[:]

    assert "m.onnx: has bpnet's metadata, but not the one image and the two outputs" in refused(no_outputs)
    assert "more than 67,108,864 pixels" in refused(huge)


def test_an_operation_that_keras_refuses(tmp_path: Path, keras_loaded: None) -> None:
    onnx = pytest.importorskip("onnx")
    from bpnet_cli.importing.workflow import ImportRequest, import_model
    from tests.unit.pytorch_style import pose_network

    model = pose_network()
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    (strides,) = [each for each in convolution.attribute if each.name == "strides"] or [convolution.attribute.add()]
    strides.CopyFrom(onnx.helper.make_attribute("strides", [0, 2]))
    onnx.save(model, str(tmp_path / "m.onnx"))
    request = ImportRequest(str(tmp_path / "m.onnx"), str(tmp_path / "o.keras"), colour="rgb", mean=[0.0], scale=[1.0])
    with pytest.raises(ModelFileError, match=r"operator convolution of node .* can't be imported"):
        import_model(request)
    assert not (tmp_path / "o.keras").exists()


def test_an_input_that_would_fill_the_memory() -> None:
    from bpnet_cli.inference.load import load_predictor

    predictor = load_predictor(None, ["inference.input_height=8192", "inference.max_aspect_ratio=1000"])
    with pytest.raises(BpnetError, match=r"an input of 8192 x \d+ pixels is larger than 67,108,864 pixels"):
        predictor.prepare(np.zeros((2, 400, 3), np.uint8))


def test_a_photo_of_a_size_that_no_number_has(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [coco_person()])
    labels = json.loads(path.read_text())
    labels["images"][0]["width"] = 10**400
    path.write_text(json.dumps(labels))
    with pytest.raises(DataError, match="width must be a whole number"):
        open_source(tmp_path / "images", path)


def test_an_encoding_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text('<?xml version="1.0" encoding="ut-8"?><annotations/>')
    with pytest.raises(DataError, match="not XML, or cut off: unknown encoding"):
        import_labels(tmp_path / "annotations.xml", tmp_path / "out", format="cvat")


def test_a_keras_file_of_a_single_layer(tmp_path: Path, keras_loaded: None) -> None:
    import keras

    from bpnet_cli.box import box_keras
    from bpnet_cli.models.model_file import load_network

    layer = keras.saving.serialize_keras_object(keras.layers.InputLayer(shape=(8, 8, 3)))
    with zipfile.ZipFile(box_keras()) as box, zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name in box.namelist():
            archive.writestr(name, json.dumps(layer) if name == "config.json" else box.read(name))
    with pytest.raises(ModelFileError, match="holds a InputLayer, and no network|Keras can't load it"):
        load_network(tmp_path / "m.keras")


def test_an_operator_with_several_bounds_where_one_can_be(tmp_path: Path, keras_loaded: None) -> None:
    onnx = pytest.importorskip("onnx")
    from bpnet_cli.importing.workflow import ImportRequest, import_model
    from tests.unit.pytorch_style import pose_network

    model = pose_network()
    rectifier = next(node for node in model.graph.node if node.op_type == "Relu")
    rectifier.op_type = "Clip"
    rectifier.input.append("bounds")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "bounds"))
    onnx.save(model, str(tmp_path / "m.onnx"))
    request = ImportRequest(str(tmp_path / "m.onnx"), str(tmp_path / "o.keras"), colour="rgb", mean=[0.0], scale=[1.0])
    with pytest.raises(ModelFileError, match=r"(?i)clip.*its bounds are not single numbers"):
        import_model(request)
    assert not (tmp_path / "o.keras").exists()
