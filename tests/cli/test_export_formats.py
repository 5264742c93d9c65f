"""LiteRT, OpenVINO and SavedModel through the real command: the same maps and people as from the .keras file."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import load_backend
from bpnet_cli.models.formats import format_of, size_of
from bpnet_cli.pose.peaks import find_peaks, read_peaks
from tests.cli.conftest import Run, Words, labelled, persons
from tests.cli.test_export import same_people

pytest.importorskip("onnx")
litert = pytest.importorskip("ai_edge_litert.interpreter")
openvino = pytest.importorskip("openvino")

NAMES = {"litert": "m.tflite", "openvino": "m.xml", "saved_model": "m"}
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)


def export(bpnet: Run, model: Path, out: Path, *words: object) -> str:
    result = bpnet("export", "-m", model, "-o", out, *words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_wherever_a_model_runs(
    model: Path, drawn: Path, tmp_path: Path, bpnet: Run, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / NAMES[name]
    said = export(bpnet, model, out, *(("--format", name) if name == "saved_model" else ()))
    assert float(said.partition("largest difference to Keras: ")[2].split()[0]) <= 1e-4
    assert format_of(out).name == name
    keras, other = load_backend(model), load_backend(out)
    for images in (IMAGE, IMAGE[:1, :, :64]):
        for a, b in zip(keras.maps(images), other.maps(images), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    wanted = persons(bpnet, model, drawn / "images", tmp_path / "keras")
    assert sum(map(len, wanted)) > 0
    assert same_people(persons(bpnet, out, drawn / "images", tmp_path / "other"), wanted)
    assert bpnet("evaluate", "-m", out, *labelled(drawn), "-r", tmp_path / "evaluation").exit_code == 0
    about, reference = (json.loads(bpnet("info", "-m", path, "--json").output) for path in (out, model))
    assert all(about[key] == reference[key] for key in ("name", "stride", "skeleton", "keypoints", "outputs"))
    assert about["file_bytes"] == size_of(out) > 10_000
    timed = bpnet("benchmark", "infer", "-m", out, "--size", "64x64", "--repeats", 2)
    assert timed.exit_code == 0, timed.output
    assert "XNNPACK" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["litert", "openvino"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_lower_precision(
    model: Path, photos: Path, drawn: Path, tmp_path: Path, bpnet: Run, name: str, precision: str
) -> None:
    exact, lower = tmp_path / "exact" / NAMES[name], tmp_path / NAMES[name]
    export(bpnet, model, exact)
    words = ("--precision", precision, "--calibration-images", photos, *labelled(drawn), "--max-ap-drop", 1)
    said = export(bpnet, model, lower, *words)
    runtime = {"litert": "LiteRT", "openvino": "OpenVINO"}[name]
    assert f"{runtime} here)" in said
    assert "on 12 photos" in said
    weights = [path.with_suffix(".bin") if name == "openvino" else path for path in (exact, lower)]
    assert weights[1].stat().st_size < 0.8 * weights[0].stat().st_size
    differences = [
        np.abs(a - b).max() for a, b in zip(*(load_backend(p).maps(IMAGE) for p in (exact, lower)), strict=True)
    ]
    assert 0 < max(differences) < 0.1
    assert json.loads(bpnet("info", "-m", lower, "--json").output)["precision"] == precision


def operators(path: Path) -> set[tuple[int, bool]]:
    """(built-in code, whether it is a custom operator) of a LiteRT file."""
    from tensorflow.lite.python import schema_py_generated as schema

    codes = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).operatorCodes
    return {(code.builtinCode, code.customCode is not None) for code in codes}


@pytest.mark.parametrize("size", [(), ("--height", 64, "--width", 96)])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_litert_files_stand_alone(
    model: Path, photos: Path, tmp_path: Path, bpnet: Run, size: Words, precision: str
) -> None:
    """What a phone needs: named tensors, no custom operators, the metadata in a zip, and peaks in float32."""
    out = tmp_path / "m.tflite"
    words = ("--precision", precision, *(("--calibration-images", photos) if precision == "int8" else ()))
    export(bpnet, model, out, "--with-peaks", "--set", "inference.decode.peak_threshold=0.001", *words, *size)
    assert not any(custom for _, custom in operators(out))
    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("bpnet.json"))
    assert (about["stride"], about["skeleton"]["name"]) == (8, "body_18")
    runner = litert.Interpreter(str(out)).get_signature_runner()
    assert list(runner.get_input_details()) == ["image"]
    details = runner.get_output_details()
    assert {name: np.dtype(each["dtype"]).name for name, each in details.items()} == dict.fromkeys(
        ("heatmaps", "pafs", "peaks"), "float32"
    )
    free = runner.get_input_details()["image"]["shape_signature"].tolist()
    assert free == ([-1, 64, 96, 3] if size else [-1, -1, -1, 3])
    for images in [IMAGE[:1]] if size else [IMAGE, IMAGE[:1, :24, :16], IMAGE[:1, :8, :8]]:
        maps = runner(image=images)
        for heatmaps, rows in zip(maps["heatmaps"], maps["peaks"], strict=True):
            wanted, got = find_peaks(heatmaps, 0.001, 128), read_peaks(rows, 8, 0.001, 128)
            np.testing.assert_array_equal(got.counts, wanted.counts)
            np.testing.assert_allclose(got.points, wanted.points, atol=0.006)
            np.testing.assert_allclose(got.score, wanted.score, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_openvino_files_have_peaks_too(model: Path, photos: Path, tmp_path: Path, bpnet: Run, precision: str) -> None:
    out = tmp_path / "m.xml"
    words = ("--precision", precision, *(("--calibration-images", photos) if precision == "int8" else ()))
    export(bpnet, model, out, "--with-peaks", "--set", "inference.decode.peak_threshold=0.001", *words)
    maps = openvino.Core().compile_model(str(out), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(IMAGE)
    for heatmaps, rows in zip(maps["heatmaps"], maps["peaks"], strict=True):
        wanted, got = find_peaks(heatmaps, 0.001, 128), read_peaks(rows, 8, 0.001, 128)
        np.testing.assert_array_equal(got.counts, wanted.counts)
        np.testing.assert_allclose(np.sort(got.score), np.sort(wanted.score), atol=1e-6)
    assert load_backend(out).maps(IMAGE)[0].shape == (2, 8, 12, 19)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "m.txt"), "m.txt: must end in .onnx, .xml or .tflite; for a SavedModel, give --format saved_model"),
        (("-o", "m.onnx", "--format", "litert"), "m.onnx: the output file must end in .tflite"),
        (("-o", "m", "--format", "saved_model", "--precision", "fp16"), "--format saved_model has no --precision fp16"),
        (("-o", "m", "--format", "saved_model", "--with-peaks"), "--format saved_model has no --with-peaks"),
        (("-o", "m.tflite", "--tao-layout"), "--format litert has no --tao-layout"),
        (("-o", "m.tflite", "--precision", "int8", "--set", "export.calibration=entropy"), "no export.calibration ent"),
        (("-o", "m.tflite", "--triton", "served"), "--triton needs --format onnx"),
    ],
)
def test_what_a_format_does_not_have(
    model: Path, photos: Path, tmp_path: Path, bpnet: Run, words: Words, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calibration = ("--calibration-images", photos) if "int8" in words else ()
    result = bpnet("export", "-m", model, *words, *calibration)
    assert result.exit_code == 1
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_targets_that_exist(model: Path, tmp_path: Path, bpnet: Run) -> None:
    """Nothing of somebody else's is replaced, and no weights lie beside a graph that they don't belong to."""
    (tmp_path / "m.bin").write_text("mine")
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.xml")
    assert result.exit_code == 1
    assert "m.bin: exists already; give --overwrite" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["m.bin"]
    export(bpnet, model, tmp_path / "m.xml", "--overwrite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml"]
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("mine")
    words = ("-m", model, "-o", folder, "--format", "saved_model")
    for flags, message in (((), "exists already"), (("--overwrite",), "photos: is a folder, but not a SavedModel")):
        result = bpnet("export", *words, *flags)
        assert result.exit_code == 1
        assert message in result.output
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]
    served = tmp_path / "served"
    for _ in range(2):
        export(bpnet, model, served, "--format", "saved_model", "--overwrite")
    assert load_backend(served).maps(IMAGE)[0].shape == (2, 8, 12, 19)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml", "photos", "served"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_told_at_once(
    model: Path, tmp_path: Path, bpnet: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("bpnet_cli.export.workflow.write", lambda *_: pytest.fail("worked before it was refused"))
    result = bpnet("export", "-m", model, "-o", tmp_path / "file" / NAMES[name], "--format", name)
    assert result.exit_code == 1
    assert "is a file, not a folder" in result.output or "can't be written: Not a directory" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_operator_that_litert_lacks(keras_loaded: None) -> None:
    import keras

    from bpnet_cli.errors import BpnetError
    from bpnet_cli.export.litert import to_litert

    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 512)(image)
    maps = {name: keras.layers.Conv2D(2, 1)(keras.ops.erfinv(x)) for name in ("heatmaps", "pafs")}
    with pytest.raises(BpnetError, match=r"nothing written: TensorFlow can't convert this network to LiteRT: .*Erfinv"):
        to_litert(keras.Model(image, maps), (1, 32, 32), "fp32")


def test_damaged_and_foreign_files(model: Path, tmp_path: Path, bpnet: Run) -> None:
    whole = tmp_path / "m.tflite"
    export(bpnet, model, whole)
    data = whole.read_bytes()
    bare, cut, renamed = (tmp_path / name for name in ("bare.tflite", "cut.tflite", "m.onnx"))
    end = data.rindex(b"PK\3\4")
    bare.write_bytes(data[:end])
    cut.write_bytes(data[: end // 2])
    renamed.write_bytes(data)
    for path, message in (
        (bare, "bare.tflite: has no 'bpnet' metadata"),
        (cut, "cut.tflite: "),
        (renamed, "by its content, this is a .tflite file; rename it to m.tflite"),
    ):
        result = bpnet("info", "-m", path)
        assert result.exit_code == 1
        assert message in result.output
    broken = tmp_path / "served"
    export(bpnet, model, broken, "--format", "saved_model")
    (broken / "saved_model.pb").write_bytes(b"\x08\x01broken")
    result = bpnet("info", "-m", broken)
    assert result.exit_code == 1
    assert "served: TensorFlow can't load it; is the folder complete?" in result.output


def test_without_litert(model: Path, tmp_path: Path, bpnet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    result = bpnet("export", "-m", model, "-o", tmp_path / "m.tflite")
    assert result.exit_code == 1
    assert "needs LiteRT, which is not installed: pip install 'bpnet-cli[litert]'" in result.output
    assert list(tmp_path.iterdir()) == []
