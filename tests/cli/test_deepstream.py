"""The folder for DeepStream: its configuration agrees with the model, read back from the files."""

from __future__ import annotations

import configparser
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import OnnxBackend
from bpnet_cli.inference.photo_files import read_photo
from bpnet_cli.models.metadata import read_keras_metadata
from tests.cli.conftest import Run

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def read(folder: Path) -> tuple[dict[str, str], object]:
    """The section `property` of nvinfer's configuration, and the model that it names."""
    parser = configparser.ConfigParser()
    parser.read_string((folder / "nvinfer.txt").read_text())
    assert parser.sections() == ["property"]
    values = dict(parser["property"])
    return values, onnx.load(folder / values["onnx-file"])


@pytest.mark.parametrize(
    ("words", "size", "mode", "engine"),
    [
        ((), "3;64;88", "0", "model.onnx_b1_gpu0_fp32.engine"),
        (("--height", 64, "--width", 72, "--batch", 2), "3;64;72", "0", "model.onnx_b2_gpu0_fp32.engine"),
        (("--precision", "fp16"), "3;64;88", "2", "model.onnx_b1_gpu0_fp16.engine"),
        (("--set", "export.tao_paf_upsampling=1"), "3;64;88", "0", "model.onnx_b1_gpu0_fp32.engine"),
    ],
    ids=["free", "fixed", "fp16", "one grid"],
)
def test_configuration_and_model_agree(
    model: Path, tmp_path: Path, bpnet: Run, words: tuple[object, ...], size: str, mode: str, engine: str
) -> None:
    folder = tmp_path / "new" / "pose"
    result = bpnet("export", "-m", model, "--deepstream", folder, *words)
    assert result.exit_code == 0, result.output
    assert f"trtexec --onnx={folder / 'model.onnx'}" in result.output
    assert sorted(path.name for path in folder.iterdir()) == ["README.txt", "labels.txt", "model.onnx", "nvinfer.txt"]
    values, network = read(folder)
    assert (values["infer-dims"], values["network-mode"], values["model-engine-file"]) == (size, mode, engine)
    assert values["output-blob-names"].split(";") == [output.name for output in network.graph.output]
    (image,) = network.graph.input
    axes = [dimension.dim_value for dimension in image.type.tensor_type.shape.dim]
    channels, height, width = (int(side) for side in size.split(";"))
    assert all(axis in (0, side) for axis, side in zip(axes, (2, height, width), strict=False))
    assert (axes[3], values["network-input-order"], values["model-color-format"]) == (channels, "1", "0")
    assert values["batch-size"] == str(axes[0] or 1)
    keypoints = (folder / values["labelfile-path"]).read_text().splitlines()
    assert tuple(keypoints) == read_keras_metadata(model).skeleton.keypoints


def test_nvinfers_numbers_are_the_models(model: Path, exported: Path, drawn: Path, tmp_path: Path, bpnet: Run) -> None:
    """nvinfer computes net-scale-factor * (pixel - offset); the maps are those of the uint8 file."""
    assert bpnet("export", "-m", model, "--deepstream", tmp_path / "pose").exit_code == 0
    values, _ = read(tmp_path / "pose")
    photo = read_photo(sorted((drawn / "images").glob("*.jpg"))[0])
    _, height, width = (int(side) for side in values["infer-dims"].split(";"))
    pixels = photo[None, :height, :width]
    offsets = np.array([float(word) for word in values["offsets"].split(";")], np.float32)
    fed = np.float32(values["net-scale-factor"]) * (pixels - offsets)
    session = ort.InferenceSession(str(tmp_path / "pose" / "model.onnx"), providers=["CPUExecutionProvider"])
    pafs, heatmaps = session.run(values["output-blob-names"].split(";"), {session.get_inputs()[0].name: fed})
    expected = OnnxBackend(exported).maps(pixels)
    np.testing.assert_allclose(heatmaps, expected[0], atol=1e-5)
    np.testing.assert_allclose(pafs, expected[1].repeat(4, axis=1).repeat(4, axis=2), atol=1e-5)


def test_notes_say_where_values_are(model: Path, tmp_path: Path, bpnet: Run) -> None:
    assert bpnet("export", "-m", model, "--deepstream", tmp_path / "pose").exit_code == 0
    notes = (tmp_path / "pose" / "README.txt").read_text()
    for part in (
        "heatmap_out/BiasAdd:0: 8 x 11 x 19",
        "conv2d_transpose_1/BiasAdd:0: 32 x 44 x 38",
        "pixel 8 * column + 3.5, 8 * row + 3.5",
        "repeated 4 x 4 times: read rows and columns 0, 4, 8, ...",
        "0, 1: neck -> right_hip",
        "TensorRT and DeepStream have not been run",
    ):
        assert part in notes


def test_folders_that_will_not_do(model: Path, photos: Path, tmp_path: Path, bpnet: Run) -> None:
    words = ("export", "-m", model, "--deepstream", tmp_path / "pose")
    (tmp_path / "pose").mkdir()
    assert bpnet(*words).exit_code == 0, "an empty folder is fine"
    before = (tmp_path / "pose" / "nvinfer.txt").read_text()
    refused = {
        words: "pose: exists already and is not empty; give --overwrite to replace the files",
        (*words[:-1], tmp_path / "pose" / "model.onnx"): "model.onnx: is a file, not a folder for results",
        (*words[:-1], tmp_path / "pose" / "model.onnx" / "below"): "below: can't be written: Not a directory",
        (*words, "--with-peaks"): "with_peaks and tao_layout can't be used together",
        (
            *words,
            "--precision",
            "int8",
            "--calibration-images",
            photos,
            "--overwrite",
        ): "TensorRT can't read int8 files",
    }
    for each, message in refused.items():
        result = bpnet(*each)
        assert result.exit_code == 1
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
    assert (tmp_path / "pose" / "nvinfer.txt").read_text() == before
    assert bpnet(*words, "--overwrite", "--batch", 2).exit_code == 0
    assert "batch-size=2" in (tmp_path / "pose" / "nvinfer.txt").read_text()
