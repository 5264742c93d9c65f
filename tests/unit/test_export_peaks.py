"""Peaks that an exported file finds itself are those of `find_peaks`, and give the people of `decode`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bpnet_cli import BODY_18, BpnetError, DecodeOptions, Person, decode, decode_peaks, render_targets
from bpnet_cli.build import metadata_of, network_of
from bpnet_cli.inference.backends import KerasBackend, OnnxBackend
from bpnet_cli.inference.openvino import openvino_core
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.peaks import find_peaks, sane
from bpnet_cli.spec.experiment import ExperimentSpec
from tests.unit.people import NOWHERE, crowd, hostile, people_at

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
USUAL = DecodeOptions()
FEW = DecodeOptions(peak_threshold=0.3, max_peaks=3)
SIZES = [(46, 82), (1, 1), (1, 9), (9, 2), (2, 2), (3, 4)]


def finder(options: DecodeOptions = USUAL, opset: int = 17, keypoints: int = 18) -> Any:
    """The graph's part that finds peaks, as a model of its own."""
    from bpnet_cli.export.peaks import finder_of

    return finder_of(keypoints, 8, options, opset, 8)


def in_graph(heatmaps: np.ndarray, options: DecodeOptions = USUAL, **kind: int) -> np.ndarray:
    """(K, P, 3) peaks of heatmaps (h, w, K + 1) by ONNX Runtime."""
    session = ort.InferenceSession(finder(options, **kind).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["peaks"], {"heatmaps": heatmaps[None].astype(np.float32)})[0][0]


def assert_same_peaks(rows: np.ndarray, heatmaps: np.ndarray, options: DecodeOptions = USUAL) -> None:
    """Peak by peak, in order; and nothing but zeros after them."""
    expected = find_peaks(sane(heatmaps), options.peak_threshold, options.max_peaks)
    wanted = np.zeros_like(rows)
    place = np.arange(len(expected.keypoint)) - np.repeat(np.cumsum(expected.counts) - expected.counts, expected.counts)
    values = [cell_to_pixel(expected.points.real, 8), cell_to_pixel(expected.points.imag, 8), expected.score]
    wanted[expected.keypoint, place] = np.column_stack(values)
    assert rows.shape == (heatmaps.shape[2] - 1, options.max_peaks, 3)
    np.testing.assert_allclose(rows[..., :2], wanted[..., :2], rtol=0, atol=0.05)
    np.testing.assert_allclose(rows[..., 2], wanted[..., 2], rtol=0, atol=1e-4)


def assert_same_people(found: list[Person], expected: list[Person]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, rtol=0, atol=0.05)
        assert one.score == pytest.approx(other.score, rel=1e-3)


@pytest.mark.parametrize("options", [USUAL, FEW], ids=["all", "few"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["zero", "one", "noise", "plateaus", "nan", "all nan", "infinite"])
def test_hostile_maps_have_the_same_peaks(kind: str, size: tuple[int, int], options: DecodeOptions) -> None:
    heatmaps, _ = hostile(kind, *size)
    assert_same_peaks(in_graph(heatmaps, options), heatmaps, options)


def test_peaks_at_the_border_and_between_cells() -> None:
    people = people_at((0, 60, 1), (300.3, 301.7, 1.1), (655, 120, 0.9), (200, 367, 1))
    heatmaps, pafs = render_targets(people, 368, 656)
    rows = in_graph(heatmaps)
    assert (rows[..., 2] > 0).sum() > 50
    assert_same_peaks(rows, heatmaps)
    assert_same_people(decode_peaks(rows, pafs), decode(heatmaps, pafs))


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_operator_sets(opset: int) -> None:
    heatmaps, _ = hostile("noise", 9, 12)
    assert_same_peaks(in_graph(heatmaps, opset=opset), heatmaps)


def test_other_skeletons_and_a_tiny_threshold() -> None:
    heatmaps = np.random.default_rng(3).random((7, 11, 4), np.float32) / 1000
    options = DecodeOptions(peak_threshold=1e-5, max_peaks=200)
    assert_same_peaks(in_graph(heatmaps, options, keypoints=3), heatmaps, options)


def test_real_maps_have_the_same_peaks_and_people(shared_data: Path) -> None:
    path = shared_data / "real_maps" / "dev.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    session = ort.InferenceSession(finder().SerializeToString(), providers=["CPUExecutionProvider"])
    found = 0
    with np.load(path) as maps:
        for name in maps.files:
            heatmaps, pafs = np.split(maps[name].astype(np.float32), [BODY_18.heatmap_channels], axis=2)
            (rows,) = session.run(["peaks"], {"heatmaps": heatmaps[None]})[0]
            assert_same_peaks(rows, heatmaps)
            people = decode_peaks(rows, pafs)
            assert_same_people(people, decode(heatmaps, pafs))
            found += len(people)
    assert found > 200


def test_a_finder_that_finds_other_peaks_is_refused() -> None:
    from bpnet_cli.export.peaks import check_finder

    right = finder()
    check_finder(right, 8, USUAL)
    for name, value in (("threshold", 0.5), ("floor", 0.5), ("half", 0.4)):
        wrong = onnx.ModelProto.FromString(right.SerializeToString())
        (tensor,) = (tensor for tensor in wrong.graph.initializer if tensor.name == name)
        tensor.float_data[0] = value
        with pytest.raises(BpnetError, match="nothing written: ONNX Runtime and bpnet find different peaks"):
            check_finder(wrong, 8, USUAL)


def test_unused_weak_and_broken_rows_are_left_out() -> None:
    heatmaps, pafs = render_targets(crowd(3), 368, 656)
    rows = in_graph(heatmaps)
    broken = np.concatenate([np.full_like(rows, np.nan), rows, np.full_like(rows, np.inf)], axis=1)
    broken[:, 0] = [4, 4, np.nan]
    options = DecodeOptions(max_peaks=500)
    assert_same_people(decode_peaks(broken, pafs, options=options), decode(heatmaps, pafs))
    faint = 0.2 * heatmaps
    strict = DecodeOptions(peak_threshold=0.15, person_threshold=0)
    assert_same_people(decode_peaks(in_graph(faint), pafs, options=strict), decode(faint, pafs, options=strict))
    one = DecodeOptions(max_peaks=1)
    assert_same_people(decode_peaks(rows, pafs, options=one), decode(heatmaps, pafs, options=one))
    assert decode_peaks(0 * rows, pafs) == []
    assert decode_peaks(rows[:, :0], pafs) == []


def moved(x: float, y: float) -> np.ndarray:
    rows = np.zeros((18, 4, 3))
    rows[3, 0] = x, y, 0.9
    return rows


@pytest.mark.parametrize(
    ("peaks", "pafs", "message"),
    [
        (np.zeros((17, 4, 3)), (46, 82, 38), r"peaks must have shape \(18, rows, 3\) .*body_18, got \(17, 4, 3\)"),
        (np.zeros((1, 18, 4, 3)), (46, 82, 38), r"got \(1, 18, 4, 3\)"),
        (np.zeros((18, 4, 2)), (46, 82, 38), r"got \(18, 4, 2\)"),
        (np.zeros((18, 4, 3)), (46, 82, 36), r"decode_peaks: pafs must have shape \(height, width, 38\)"),
        (moved(656, 3), (46, 82, 38), r"outside of the 368 x 656 input pixels"),
        (moved(3, 368), (46, 82, 38), r"outside of the 368 x 656 input pixels"),
        (moved(3, -1), (46, 82, 38), r"outside of the 368 x 656 input pixels"),
    ],
)
def test_wrong_peaks_are_told(peaks: np.ndarray, pafs: tuple[int, ...], message: str) -> None:
    with pytest.raises(BpnetError, match=message):
        decode_peaks(peaks, np.zeros(pafs))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, keras_loaded: None) -> Path:
    """A tiny network with maps of everyday size, exported with its peaks."""
    pytest.importorskip("tf2onnx")
    import keras

    from bpnet_cli.export.onnx import to_onnx
    from bpnet_cli.export.peaks import add_peaks

    # In one of a hundred random maps, two groupings are equally good but for rounding.
    keras.utils.set_random_seed(0)
    stage = {"kernel_sizes": [3], "channels": 8, "head_channels": 8}
    model = {"backbone": "tiny", "stages": 1, "feature_channels": 8, "initial_stage": stage}
    spec = ExperimentSpec.model_validate_json(json.dumps({"model": model}))
    network, metadata = network_of(spec, BODY_18), metadata_of(spec, BODY_18)
    for maps, name in zip(KerasBackend(network, metadata).maps(photos()), ("heatmap_out", "paf_out"), strict=True):
        kernel = network.get_layer(name).kernel
        kernel.assign(kernel / np.abs(maps).max())
    converted = to_onnx(network, metadata, 17)
    add_peaks(converted, metadata, NOWHERE)
    path = tmp_path_factory.mktemp("peaks") / "m.onnx"
    path.write_bytes(converted.SerializeToString())
    return path


def photos(size: tuple[int, int] = (96, 160)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(96, 160), (64, 64), (8, 8)])
def test_a_network_with_its_peaks_gives_the_people_of_its_maps(exported: Path, size: tuple[int, int]) -> None:
    session = ort.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    heatmaps, pafs, peaks = session.run(["heatmaps", "pafs", "peaks"], {"image": photos(size)})
    assert peaks.dtype == np.float32
    assert peaks.shape == (2, 18, 128, 3)
    backend = OnnxBackend(exported)
    for maps, same in zip(backend.maps(photos(size)), (heatmaps, pafs), strict=True):
        np.testing.assert_array_equal(maps, same)
    found = [decode_peaks(*one, options=NOWHERE) for one in zip(peaks, pafs, strict=True)]
    assert size == (8, 8) or all(len(people) > 3 for people in found)
    for one, *maps in zip(found, heatmaps, pafs, strict=True):
        assert_same_people(one, decode(*maps, options=NOWHERE))


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="cv2.dnn takes no free sizes before OpenCV 5")
def test_opencv_finds_the_same_peaks(exported: Path) -> None:
    network = cv2.dnn.readNetFromONNX(str(exported))
    for size in ((96, 160), (64, 64)):
        network.setInput(photos(size)[:1], "image")
        heatmaps, _, peaks = network.forward(["heatmaps", "pafs", "peaks"])
        assert_same_peaks(peaks[0], heatmaps[0])


def test_openvino_finds_the_same_peaks(exported: Path) -> None:
    pytest.importorskip("openvino")
    network = openvino_core().compile_model(str(exported), "CPU")
    for size in ((96, 160), (64, 64)):
        answers = network([photos(size)])
        for heatmaps, peaks in zip(answers["heatmaps"], answers["peaks"], strict=True):
            assert_same_peaks(peaks, heatmaps)


def test_opencv_finds_them_at_a_fixed_size(tmp_path: Path) -> None:
    """OpenCV 4 takes the graph at a fixed size only, OpenCV 5 at any size."""
    model = finder(FEW)
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 23, 31), strict=False):
        dimension.dim_value = size
    onnx.save(model, tmp_path / "m.onnx")
    heatmaps = np.random.default_rng(4).random((23, 31, 19), np.float32)
    network = cv2.dnn.readNetFromONNX(str(tmp_path / "m.onnx"))
    network.setInput(heatmaps[None], "heatmaps")
    assert_same_peaks(network.forward("peaks")[0], heatmaps, FEW)
