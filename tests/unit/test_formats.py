"""Model files are known by what is in them, and every table of formats has the same keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.box import box_keras, box_onnx
from bpnet_cli.errors import ModelFileError
from bpnet_cli.inference.backends import LOADERS, OnnxBackend, load_backend
from bpnet_cli.inference.info import DESCRIBERS
from bpnet_cli.models.formats import FORMATS, check_format, format_of
from tests.unit.test_house import loaded_after

BOXES = {"keras": Path(box_keras()), "onnx": Path(box_onnx())}
PHOTO = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)


@pytest.fixture
def ours_in_openvino(tmp_path: Path) -> Path:
    """The box as OpenVINO converts and saves it: the metadata go with it."""
    openvino = pytest.importorskip("openvino")
    openvino.save_model(openvino.convert_model(box_onnx()), str(tmp_path / "box.xml"), compress_to_fp16=False)
    return tmp_path / "box.xml"


def test_the_tables_fit_together() -> None:
    from bpnet_cli.export.writers import WRITERS
    from bpnet_cli.importing.workflow import READERS

    assert LOADERS.keys() == DESCRIBERS.keys() == FORMATS.keys()
    assert WRITERS.keys() | READERS.keys() <= FORMATS.keys()
    assert [FORMATS[name].name for name in FORMATS] == list(FORMATS)


@pytest.mark.parametrize("name", BOXES)
def test_metadata_are_read_from_each(name: str) -> None:
    assert format_of(BOXES[name]).name == name
    metadata = format_of(BOXES[name]).metadata(BOXES[name])
    assert metadata is not None
    assert (metadata.spec["name"], metadata.graph) == ("box", "pruned")


def test_onnx_says_what_the_library_reads(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(box_onnx())
    expected = {entry.key: entry.value for entry in model.metadata_props}["bpnet"]
    metadata = FORMATS["onnx"].metadata(box_onnx())
    assert metadata is not None
    assert metadata == type(metadata).from_json(expected, "box")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"other": "x"})
    onnx.save(model, str(tmp_path / "silent.onnx"))
    assert FORMATS["onnx"].metadata(tmp_path / "silent.onnx") is None
    for size in (1, 20, 5000):
        (tmp_path / "cut.onnx").write_bytes(Path(box_onnx()).read_bytes()[:size])
        with pytest.raises(ModelFileError, match=r"cut.onnx: not a whole ONNX file \(it ends too early\)"):
            FORMATS["onnx"].metadata(tmp_path / "cut.onnx")


def test_a_wrong_ending_is_told(tmp_path: Path) -> None:
    for name, other in (("keras", "onnx"), ("onnx", "keras"), ("onnx", "xml"), ("keras", "h5"), ("onnx", "")):
        path = tmp_path / f"mine.{other}".rstrip(".")
        shutil.copy(BOXES[name], path)
        right = f"by its content, this is {FORMATS[name].words}; rename it to mine.{name}"
        with pytest.raises(ModelFileError, match=f"{path}: {right}"):
            load_backend(path)
    (tmp_path / "net.onnx").write_text('<?xml version="1.0"?>\n<net name="x"></net>')
    with pytest.raises(ModelFileError, match="by its content, this is an .xml file of OpenVINO"):
        format_of(tmp_path / "net.onnx")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    with pytest.raises(
        ModelFileError, match="arrays.npz: must be a .keras file, an .onnx file, an .xml file of OpenVINO, a .tflite"
    ):
        format_of(tmp_path / "arrays.npz")
    (tmp_path / "model.tlt").write_bytes(b"encrypted")
    with pytest.raises(ModelFileError, match=r"a SavedModel folder; only TAO reads its own files: export .* to .onnx"):
        format_of(tmp_path / "model.tlt")


def test_who_needs_one_format_says_so() -> None:
    with pytest.raises(ModelFileError, match="box.onnx: this is an .onnx file, but prune needs a .keras file"):
        check_format(box_onnx(), ("keras",), "prune")


def test_an_xml_of_ours_is_told_from_the_foreign_one(ours_in_openvino: Path) -> None:
    backend, original = load_backend(ours_in_openvino), OnnxBackend(box_onnx(), engine="openvino")
    assert backend.metadata == original.metadata
    for a, b in zip(backend.maps(PHOTO), original.maps(PHOTO), strict=True):
        assert np.abs(a - b).mean() < 1e-3  # INT8 is rounded a little differently
    described = DESCRIBERS["openvino"](str(ours_in_openvino), ())
    assert (described["name"], described["precision"]) == ("box", "int8")
    text = ours_in_openvino.read_text()
    ours_in_openvino.write_text(text[: text.index("<rt_info>\n\t\t<")] + "</net>")
    with pytest.raises(ModelFileError, match="has no 'bpnet' metadata, so bpnet did not write it"):
        load_backend(ours_in_openvino)
    ours_in_openvino.write_text(text[:5000])
    with pytest.raises(ModelFileError, match="box.xml: OpenVINO can't read it"):
        load_backend(ours_in_openvino)


def test_an_xml_of_ours_is_not_imported_as_a_foreign_one(ours_in_openvino: Path, tmp_path: Path) -> None:
    from bpnet_cli.importing.workflow import ImportRequest, import_model

    with pytest.raises(ModelFileError, match=r"was written by bpnet; import the .onnx file"):
        import_model(ImportRequest(str(ours_in_openvino), str(tmp_path / "x.keras")))


def test_the_table_needs_neither_keras_nor_an_engine() -> None:
    code = "from bpnet_cli.models.formats import format_of; from bpnet_cli.box import *"
    code += "; [format_of(p()).metadata(p()) for p in (box_onnx, box_keras)]"
    assert not loaded_after(code) & {"keras", "tensorflow", "onnx", "onnxruntime", "openvino"}
