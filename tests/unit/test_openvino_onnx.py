"""ONNX files give in OpenVINO the maps of ONNX Runtime: every layout, size and batch, from any thread."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BpnetError, DecodeOptions, load_predictor
from bpnet_cli.box import box_keras, box_onnx
from bpnet_cli.data.synthetic import generate
from bpnet_cli.errors import ModelFileError
from bpnet_cli.export.peaks import add_peaks
from bpnet_cli.inference.backends import Backend, OnnxBackend, load_backend
from bpnet_cli.inference.openvino import OpenVinoNetwork
from bpnet_cli.inference.photo_files import read_photo
from tests.unit.test_onnx_layout import write_network
from tests.unit.test_runtimes import export_network

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("openvino")
SHAPES = ((1, 96, 160, 3), (2, 64, 64, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, keras_loaded: None) -> Path:
    return export_network(tmp_path_factory.mktemp("openvino") / "m.onnx", "tiny")


def photos(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def assert_same_maps(expected: Backend, backend: Backend, images: np.ndarray, tolerance: float = 1e-4) -> None:
    for wanted, got in zip(expected.maps(images), backend.maps(images), strict=True):
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_are_those_of_onnx_runtime(exported: Path, shape: tuple[int, ...]) -> None:
    expected, backend = OnnxBackend(exported), load_backend(exported, threads=1, engine="openvino")
    assert backend.metadata == expected.metadata
    for _ in range(4):  # the first ones by the network for any shape, then by one of its own
        assert_same_maps(expected, backend, photos(shape))


def test_a_row_of_one_shape_has_a_network_of_its_own(exported: Path) -> None:
    network = OpenVinoNetwork(exported)
    one, other = SHAPES
    for shape in (one, one, other, other, one, other):
        assert network.run(photos(shape))[0].shape[0] == shape[0]
    assert network._one_shape.cache_info().currsize == 0
    for _ in range(4):
        network.run(photos(one))
    assert network._one_shape.cache_info().currsize == 1
    assert network._one_shape(one).input(0).partial_shape.is_static


def test_threads_do_not_disturb_each_other(exported: Path) -> None:
    expected, backend = OnnxBackend(exported), OnnxBackend(exported, threads=1, engine="openvino")
    with ThreadPoolExecutor(2) as pool:
        for shape in (*SHAPES, SHAPES[0]):
            # Rows of three begin and end while the other thread runs something else.
            images = [photos(shape), photos(SHAPES[0])[:, ::-1]] * 6
            for answer, own in zip(pool.map(backend.maps, images), images, strict=True):
                for got, wanted in zip(answer, expected.maps(own), strict=True):
                    np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("repeat", [1, 4])
def test_nvidias_files(tmp_path: Path, first: bool, repeat: int) -> None:
    path = write_network(tmp_path / "m.onnx", first=first, repeat=repeat)
    backend = OnnxBackend(path, engine="openvino")
    assert (backend.layout, backend.metadata) == (OnnxBackend(path).layout, OnnxBackend(path).metadata)
    assert_same_maps(OnnxBackend(path), backend, photos(SHAPES[0]))


@pytest.mark.parametrize("first", [False, True])
def test_a_fixed_size_and_batch(tmp_path: Path, first: bool) -> None:
    path = write_network(tmp_path / "m.onnx", first=first, size=(2, 64, 96))
    backend = OnnxBackend(path, engine="openvino")
    assert (backend.fixed_size, backend.layout.batch) == ((64, 96), 2)
    for _ in range(4):
        assert_same_maps(OnnxBackend(path), backend, photos((3, 64, 96, 3)))
    assert backend._network._one_shape.cache_info().currsize == 0  # it has only one shape
    with pytest.raises(BpnetError, match="takes inputs of 64 x 96 only, got 64 x 64"):
        backend.maps(photos((1, 64, 64, 3)))


def test_peaks_that_nobody_reads_are_not_computed(exported: Path, tmp_path: Path) -> None:
    model, path = onnx.load(str(exported)), tmp_path / "peaks.onnx"
    add_peaks(model, OnnxBackend(exported).metadata, DecodeOptions(max_peaks=7))
    onnx.save(model, str(path))
    backend = OnnxBackend(path, engine="openvino")
    assert backend.layout.peaks == 7
    assert len(backend._network._any_shape.outputs) == 2
    assert_same_maps(OnnxBackend(exported), backend, photos(SHAPES[0]))


def test_the_int8_model_in_the_box_is_close(tmp_path: Path) -> None:
    """Engines round INT8 differently: up to 0.1 measured here (0.2 on COCO photos), as far as each is from float32."""
    generate(tmp_path, 3, people=(1, 3), height=128, width=128, seed=5)
    expected, backend = OnnxBackend(box_onnx()), load_predictor(engine="openvino").backend
    for path in sorted(tmp_path.rglob("*.jpg")):
        photo = read_photo(path)[None]
        assert_same_maps(expected, backend, photo, tolerance=0.2)
        for wanted, got in zip(expected.maps(photo), backend.maps(photo), strict=True):
            assert np.abs(wanted - got).mean() < 0.005


def test_what_it_can_not_run(tmp_path: Path) -> None:
    path = write_network(tmp_path / "m.onnx", paf=20)
    with pytest.raises(
        ModelFileError, match=r"bpnet did not export it, .* \(got input_1:0 float32 \[None, None, None, 3"
    ):
        load_backend(path, engine="openvino")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        ModelFileError, match=r"m\.onnx: OpenVINO can't read it; is the file complete\? \(Unable to read"
    ):
        load_backend(path, engine="openvino")
    with pytest.raises(
        BpnetError, match=r"box\.keras: engine openvino needs an \.onnx file; to make one: bpnet export -m "
    ):
        load_backend(box_keras(), engine="openvino")
    with pytest.raises(BpnetError, match=r"engine: must be onnxruntime or openvino \(got 'tensorrt'\)"):
        load_predictor(box_onnx(), engine="tensorrt")


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BpnetError, match=r"needs OpenVINO, .* pip install 'bpnet-cli\[openvino\]'"):
        load_predictor(engine="openvino")
