"""Files of NVIDIA's trainer: PAFs drawn for the upper left pixel of each cell, heatmaps for its centre."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli import BODY_18, load_predictor
from bpnet_cli.box import box_keras
from bpnet_cli.inference.backends import OnnxBackend
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from tests.unit.people import assert_same_people, people_at

onnx = pytest.importorskip("onnx")
HEIGHT, WIDTH = 256, 320
ROWS, COLUMNS = HEIGHT // 8, WIDTH // 8
# Two people whose legs are close together, and small ones, whose limbs are hardly longer than the grids are apart.
PEOPLE = people_at((70, 110, 1.5), (125, 115, 1.5), (200, 60, 0.55), (245, 60, 0.55), (280, 190, 0.8))


def nvidias_heatmaps(people: np.ndarray) -> np.ndarray:
    """The formula of the facts, section 5.1: centres at 8j + 3.5, sigma 7 pixels."""
    ys, xs = np.mgrid[:ROWS, :COLUMNS] * 8 + 3.5
    maps = np.zeros((ROWS, COLUMNS, 19))
    for k in range(18):
        for x, y, _ in people[:, k]:
            maps[..., k] = np.maximum(maps[..., k], np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 7.0**2)))
    maps[..., 18] = 1 - maps[..., :18].max(axis=2)
    return maps.astype(np.float32)


def nvidias_pafs(people: np.ndarray) -> np.ndarray:
    """The formula of section 5.3: grid points (8j, 8i), a rectangle around the limb that overwrites what was there."""
    maps = np.zeros((ROWS, COLUMNS, 38))
    for limb, (a, b) in enumerate(BODY_18.limb_indices):
        for person in people:
            start, end = person[a, :2].astype(float), person[b, :2].astype(float)
            unit = (end - start) / np.hypot(*(end - start))
            left, top = np.maximum(np.round((np.minimum(start, end) - 8) / 8), 0).astype(int)
            right, bottom = np.round((np.maximum(start, end) + 8) / 8).astype(int)
            ys, xs = np.mgrid[:ROWS, :COLUMNS][:, top:bottom, left:right] * 8
            aside = (xs - start[0]) * unit[1] - (ys - start[1]) * unit[0]
            maps[top:bottom, left:right, 2 * limb : 2 * limb + 2] = (np.abs(aside) <= 8)[..., None] * unit
    return maps.astype(np.float32)


def write_maps(path: Path, heatmaps: np.ndarray, pafs: np.ndarray, repeat: int, names: tuple[str, str]) -> Path:
    """A file in NVIDIA's layout that gives these maps for every photo, PAFs repeated as its exporter does."""
    from onnx import TensorProto, helper, numpy_helper

    fine = pafs.repeat(repeat, axis=0).repeat(repeat, axis=1)
    nodes = [
        helper.make_node("ReduceMean", ["input_1:0"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "pafs"], [names[0]]),
        helper.make_node("Add", ["nothing", "heatmaps"], [names[1]]),
    ]
    shapes = ((names[0], fine.shape), (names[1], heatmaps.shape))
    graph = helper.make_graph(
        nodes,
        "maps",
        [helper.make_tensor_value_info("input_1:0", TensorProto.FLOAT, [1, HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape]) for name, shape in shapes],
        [
            numpy_helper.from_array(values, name)
            for name, values in (("pafs", fine[None]), ("heatmaps", heatmaps[None]), ("zero", np.zeros(1, np.float32)))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


NAMES = {
    1: ("paf_out/BiasAdd:0", "heatmap_out/BiasAdd:0"),
    4: ("conv2d_transpose_1/BiasAdd:0", "heatmap_out/BiasAdd:0"),
}
PHOTO = np.full((1, HEIGHT, WIDTH, 3), 127, np.uint8)


def lookup(pafs: np.ndarray, people: np.ndarray) -> np.ndarray:
    """(P, L): how far the PAFs along each limb, at points on the heatmaps' grid, point along it; 1 is perfect."""
    start, end = (people[:, BODY_18.limb_indices[:, k], :2].astype(float) for k in (0, 1))
    unit = (end - start) / np.hypot(*(end - start).T).T[..., None]
    total = np.zeros(unit.shape[:2])
    for share in np.linspace(0, 1, 11):
        x, y = np.moveaxis((start + share * (end - start) - 3.5) / 8, 2, 0)
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = np.abs(1 - dx - (x - column)) * np.abs(1 - dy - (y - row))
            for axis in (0, 1):
                values = pafs[row + dy, column + dx, 2 * np.arange(len(BODY_18.limbs)) + axis]
                total += weight * values * unit[..., axis] / 11
    return total


@pytest.mark.parametrize("repeat", NAMES)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_pafs_are_read_between_nvidias_points(tmp_path: Path, repeat: int, engine: str) -> None:
    """A field that grows by the pixel tells to which pixel a value belongs."""
    pytest.importorskip(engine)

    def field(ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        return np.stack([c + xs / 50 + (c % 3) * ys / 70 for c in range(38)], axis=2).astype(np.float32)

    heatmaps = nvidias_heatmaps(PEOPLE)
    path = write_maps(tmp_path / "t.onnx", heatmaps, field(*np.mgrid[:ROWS, :COLUMNS] * 8), repeat, NAMES[repeat])
    backend = OnnxBackend(path, engine=engine)
    assert backend.metadata.paf_offset_px == -3.5
    read, pafs = backend.maps(PHOTO)
    np.testing.assert_allclose(read[0], heatmaps, atol=1e-6)
    inside = slice(2, -2)
    expected = field(*np.mgrid[:ROWS, :COLUMNS] * 8 + 3.5)
    np.testing.assert_allclose(pafs[0, inside, inside], expected[inside, inside], atol=0.01)


def test_people_of_nvidias_maps_are_found_and_their_limbs_lie_upon_the_pafs(tmp_path: Path) -> None:
    heatmaps, pafs = nvidias_heatmaps(PEOPLE), nvidias_pafs(PEOPLE)
    path = write_maps(tmp_path / "tao.onnx", heatmaps, pafs, 4, NAMES[4])
    predictor = load_predictor(path)
    assert_same_people(predictor.predict(PHOTO[0]), PEOPLE, 1.5)
    read = predictor.backend.maps(PHOTO)[1][0]
    start, end = (PEOPLE[:, BODY_18.limb_indices[:, k], :2] for k in (0, 1))
    # The rectangle hides the offset of upright and level limbs, and along itself a limb has none to show.
    across = np.prod(end - start, axis=2) < -100
    assert across.sum() > 5
    before, after = (lookup(maps, PEOPLE)[across].mean() for maps in (pafs, read))
    assert before < 0.9
    assert after > before + 0.1


@pytest.mark.parametrize("names", [("vectors", "points"), NAMES[1]])
def test_only_nvidias_own_files_are_corrected(tmp_path: Path, names: tuple[str, str]) -> None:
    """Not files of the same form that others wrote, and not those of networks that were trained here."""
    heatmaps, pafs = nvidias_heatmaps(PEOPLE), nvidias_pafs(PEOPLE)
    path = write_maps(tmp_path / "m.onnx", heatmaps, pafs, 1, names)
    if names == NAMES[1]:
        model = onnx.load(str(path))
        onnx.helper.set_model_props(model, {"bpnet": replace(OnnxBackend(path).metadata, paf_offset_px=0.0).to_json()})
        onnx.save(model, str(path))
    backend = OnnxBackend(path)
    assert backend.metadata.paf_offset_px == 0
    np.testing.assert_array_equal(backend.maps(PHOTO)[1][0], pafs)


def test_files_from_before_have_one_grid() -> None:
    text = json.loads(read_keras_metadata(box_keras()).to_json())
    del text["paf_offset_px"]
    assert ModelMetadata.from_json(json.dumps(text), "old").paf_offset_px == 0
