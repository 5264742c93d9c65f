"""Networks of other tools through the real command, compared with the tools' own runtimes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bpnet_cli.inference.backends import load_backend
from bpnet_cli.models.metadata import read_keras_metadata
from bpnet_cli.pose.skeleton import BODY_18
from bpnet_cli.spec.network import ExportSpec, ModelSpec
from tests.cli.conftest import Run, write_spec
from tests.unit.pytorch_style import Writer, pose_network

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
PHOTO = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
# As ImageNet's networks have it: per channel, so nothing can be mixed up without a difference.
MEAN, SCALE = (103.53, 116.28, 123.675), (0.0174, 0.0175, 0.0171)
FLAGS = ("--color", "bgr", "--mean", ",".join(map(str, MEAN)), "--scale", ",".join(map(str, SCALE)))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "pytorch.onnx"
    onnx.save(pose_network(), str(path))
    return path


def test_a_file_of_pytorchs_form_gives_the_same_maps(
    theirs: Path, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    result = bpnet("import", theirs, "-o", tmp_path / "own.keras", *FLAGS)
    assert result.exit_code == 0, result.output
    assert "2 stages" in result.output
    values = ((PHOTO[..., ::-1] - np.array(MEAN)) * np.array(SCALE)).astype(np.float32).transpose(0, 3, 1, 2)
    session = ort.InferenceSession(str(theirs))
    expected = session.run(["heat2", "paf2"], {"input": values})
    for got, maps in zip(load_backend(tmp_path / "own.keras").maps(PHOTO), expected, strict=True):
        assert np.abs(got - maps.transpose(0, 2, 3, 1)).max() < 1e-4
    assert read_keras_metadata(tmp_path / "own.keras").graph == "imported"


def test_what_was_imported_trains_prunes_exports_and_describes_itself(
    theirs: Path, tmp_path: Path, drawn: Path, bpnet: Run, keras_loaded: None
) -> None:
    own = tmp_path / "own.keras"
    assert bpnet("import", theirs, "-o", own, *FLAGS).exit_code == 0
    described = json.loads(bpnet("info", "-m", own, "--json").output)
    assert (described["graph"], described["stages"]) == ("imported", 2)
    assert "backbone" not in described
    result = bpnet("export", "-m", own, "-o", tmp_path / "own.onnx")
    assert result.exit_code == 0, result.output
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "own.onnx")).graph.node}
    assert not kinds & {"SpaceToDepth", "DepthToSpace", "Shape"}, "a dilated convolution in pieces"
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, photo in enumerate(sorted((drawn / "images").glob("*.jpg"))):
        for copy in range(8):
            shutil.copy(photo, photos / f"{index}-{copy}.jpg")
    small = tmp_path / "small.keras"
    words = ("--set", "pruning.granularity=1", "--set", "pruning.min_channels=2", "--refit-images", photos)
    result = bpnet("prune", "-m", own, "-o", small, "--target-macs", 0.8, *words)
    assert result.exit_code == 0, result.output
    spec = tmp_path / "spec.yaml"
    text = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 2, batch_size: 4}").read_text()
    head, _, tail = text.partition("model:")
    spec.write_text(
        f"{head}model: {{graph: file, pretrained: {small}, input_height: 64, input_width: 64}}\n"
        + tail[tail.index("inference:") :]
    )
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert ", pruned" in result.output
    result = bpnet("train", "-e", spec, "-r", tmp_path / "again", "--set", "model.graph=spec")
    assert result.exit_code == 1
    assert "set model.graph: file" in result.output


@pytest.mark.parametrize("layout", [(), ("--tao-layout",)], ids=["ours", "tao"])
def test_our_own_files_come_back_in_the_graph_of_their_spec(
    layout: tuple[str, ...], trained: Path, tmp_path: Path, drawn: Path, bpnet: Run
) -> None:
    model, file, back = trained / "run" / "model.keras", tmp_path / "x.onnx", tmp_path / "back.keras"
    assert bpnet("export", "-m", model, "-o", file, *layout).exit_code == 0
    result = bpnet("import", file, "-o", back, "--images", drawn / "images")
    assert result.exit_code == 0, result.output
    expected, got = (load_backend(path).maps(PHOTO) for path in (model, back))
    assert max(np.abs(a - b).max() for a, b in zip(expected, got, strict=True)) < 1e-4
    metadata = read_keras_metadata(back)
    assert metadata.graph == "spec"
    assert metadata.spec["export"] == ExportSpec().model_dump(mode="json"), "the layout of the file it came from"
    spec = write_spec(tmp_path, drawn, "{epochs: 1, steps_per_epoch: 1, batch_size: 4}")
    result = bpnet("train", "-e", spec, "-r", tmp_path / "run", "--set", f"model.pretrained={back}")
    assert result.exit_code == 0, result.output
    assert "not filled whole: none" in result.output


def test_a_pruned_file_comes_back_with_its_own_graph(trained: Path, tmp_path: Path, bpnet: Run) -> None:
    model, file, back = trained / "run" / "model.keras", tmp_path / "x.onnx", tmp_path / "back.keras"
    small = ("--set", "pruning.min_channels=2", "--set", "pruning.granularity=1")
    assert bpnet("prune", "-m", model, "-o", tmp_path / "p.keras", "--target-macs", 0.6, *small).exit_code == 0
    assert bpnet("export", "-m", tmp_path / "p.keras", "-o", file, "--with-peaks").exit_code == 0
    result = bpnet("import", file, "-o", back)
    assert result.exit_code == 0, result.output
    expected, got = (load_backend(path).maps(PHOTO) for path in (tmp_path / "p.keras", back))
    assert max(np.abs(a - b).max() for a, b in zip(expected, got, strict=True)) < 1e-4


@pytest.mark.parametrize(
    ("write", "flags", "message"),
    [
        (lambda path: onnx.save(pose_network(), str(path)), (), "give --color rgb or bgr"),
        (lambda path: onnx.save(pose_network(extra="Softmax"), str(path)), FLAGS, "operator Softmax of node"),
        (lambda path: onnx.save(pose_network(heatmaps=26), str(path)), FLAGS, "heat2 (26 channels)"),
        (lambda path: onnx.save(classifier(), str(path)), FLAGS, "no outputs with the 19 heatmaps and 38 PAFs"),
        (lambda path: path.write_bytes(pose_network().SerializeToString()[:5000]), FLAGS, "not a whole ONNX file"),
        (lambda path: path.write_text("hello"), FLAGS, "not a whole ONNX file"),
        (lambda path: None, FLAGS, "no such model file"),
        (lambda path: onnx.save(pose_network(), str(path)), (*FLAGS, "--mean", "1,2"), "one number or three"),
        (lambda path: onnx.save(strided(), str(path)), FLAGS, "one cell for every 8 x 8 pixels"),
    ],
    ids=["silent", "operator", "channels", "classifier", "cut", "text", "missing", "two means", "stride"],
)
def test_what_cannot_be_imported(
    write: object, flags: tuple[str, ...], message: str, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    path, target = tmp_path / "bad.onnx", tmp_path / "own.keras"
    write(path)  # type: ignore[operator]
    result = bpnet("import", path, "-o", target, *flags)
    assert result.exit_code == 1
    assert message in result.output
    assert "bad.onnx" in result.output or "--mean" in result.output
    assert len([line for line in result.output.splitlines() if line.startswith("Error")]) == 1
    assert not list(tmp_path.glob("*.keras"))


def classifier() -> object:
    w = Writer()
    x = w.node("Relu", w.conv("input", 3, 8, 3, strides=[8, 8], pads=[1] * 4))
    w.node("GlobalAveragePool", x, output="scores")
    return w.model({"scores": 8})


def strided() -> object:
    w = Writer()
    x = w.node("Relu", w.conv("input", 3, 8, 3, strides=[4, 4], pads=[1] * 4))
    w.conv(x, 8, 19, 1, output="heat")
    w.conv(x, 8, 38, 1, output="paf")
    return w.model({"heat": 19, "paf": 38})


def test_an_existing_file_stays(theirs: Path, tmp_path: Path, bpnet: Run) -> None:
    target = tmp_path / "own.keras"
    target.write_text("mine")
    result = bpnet("import", theirs, "-o", target, *FLAGS)
    assert result.exit_code == 1
    assert target.read_text() == "mine"


def test_openvinos_network_gives_its_maps_and_a_cut_one_is_refused(
    shared_data: Path, tmp_path: Path, bpnet: Run, keras_loaded: None
) -> None:
    pytest.importorskip("openvino")
    source = shared_data / "teacher" / "human-pose-estimation-0001.xml"
    result = bpnet("import", source, "-o", tmp_path / "own.keras")
    assert result.exit_code == 0, result.output
    assert "4,099,058 parameters, 2 stages" in result.output
    pairs = zip(load_backend(source).maps(PHOTO), load_backend(tmp_path / "own.keras").maps(PHOTO), strict=True)
    # The file rounds to 256 levels inside.
    assert max(np.abs(a - b).mean() for a, b in pairs) < 0.01
    alone = tmp_path / "alone.xml"
    shutil.copy(source, alone)
    for content, message in ((None, "its weights are missing"), (b"cut", "OpenVINO can't")):
        if content:
            alone.with_suffix(".bin").write_bytes(content)
        result = bpnet("import", alone, "-o", tmp_path / "alone.keras")
        assert result.exit_code == 1
        assert message in result.output
        assert not (tmp_path / "alone.keras").exists()


def test_nvidias_names_tell_the_grid_also_where_photos_differ(tmp_path: Path, bpnet: Run, keras_loaded: None) -> None:
    model = pose_network()
    new = {"input": "input_1", "heat2": "heatmap_out/BiasAdd:0", "paf2": "paf_out/BiasAdd:0"}
    for value in (*model.graph.input, *model.graph.output):
        value.name = new.get(value.name, value.name)
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    del model.graph.output[:2]
    onnx.save(model, str(tmp_path / "theirs.onnx"))
    result = bpnet("import", tmp_path / "theirs.onnx", "-o", tmp_path / "own.keras", *FLAGS)
    assert result.exit_code == 0, result.output
    assert read_keras_metadata(tmp_path / "own.keras").paf_offset_px == -3.5


def test_nvidias_files_are_known_by_their_names(tmp_path: Path, bpnet: Run, keras_loaded: None) -> None:
    """A file without metadata, as TAO writes them, lands in the graph of the default spec."""
    from bpnet_cli.build import metadata_of, network_of
    from bpnet_cli.models.model_file import save_network
    from bpnet_cli.spec.experiment import ExperimentSpec

    spec = ExperimentSpec(name="tao")
    save_network(network_of(spec, BODY_18), metadata_of(spec, BODY_18), tmp_path / "tao.keras")
    assert bpnet("export", "-m", tmp_path / "tao.keras", "-o", tmp_path / "tao.onnx", "--tao-layout").exit_code == 0
    model = onnx.load(str(tmp_path / "tao.onnx"))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "tao.onnx"))
    result = bpnet("import", tmp_path / "tao.onnx", "-o", tmp_path / "back.keras")
    assert result.exit_code == 0, result.output
    assert "16,777,835 parameters, 3 stages, the graph of the spec" in result.output
    trained, file, got = (load_backend(tmp_path / n).maps(PHOTO) for n in ("tao.keras", "tao.onnx", "back.keras"))
    assert max(np.abs(a - b).max() for a, b in zip(file, got, strict=True)) < 1e-4
    # It keeps NVIDIA's grid of PAFs, which whoever runs it corrects, and trains on with one grid.
    assert np.abs(trained[0] - got[0]).max() < 1e-4
    assert read_keras_metadata(tmp_path / "back.keras").paf_offset_px == -3.5
    assert json.loads(bpnet("info", "-m", tmp_path / "back.keras", "--json").output)["paf_offset_px"] == -3.5
    assert bpnet("export", "-m", tmp_path / "back.keras", "-o", tmp_path / "again.onnx").exit_code == 0
    again = load_backend(tmp_path / "again.onnx")
    assert again.metadata.paf_offset_px == -3.5
    assert max(np.abs(a - b).max() for a, b in zip(file, again.maps(PHOTO), strict=True)) < 1e-4
    for graph in ("spec", "file"):
        model = ModelSpec(graph=graph, pretrained=str(tmp_path / "back.keras"))
        assert metadata_of(ExperimentSpec(model=model), BODY_18).paf_offset_px == 0
