"""What reads strangers' files, and how to change a file for it. Only errors for the user may come out."""

from __future__ import annotations

import json
import logging
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from tests.fuzz.changes import archives, as_json, bytes_of, maps, trees, xml_of
from tests.fuzz.label_targets import LABEL_TARGETS
from tests.fuzz.seeds import fake_state
from tests.fuzz.target import Files, Target, of_text, one_of, only

REPOSITORY = Path(__file__).parents[2]


# Specs and skeletons


def _yaml_of(seeds: list[Path]) -> st.SearchStrategy[bytes]:
    texts = [path.read_bytes() for path in seeds]
    return st.one_of(trees([yaml.safe_load(text) for text in texts]).map(as_json), bytes_of(texts))


def _specs(_: Path) -> st.SearchStrategy[Files]:
    return only("spec.yaml", _yaml_of(sorted((REPOSITORY / "specs").glob("*.yaml"))))


def _taos(_: Path) -> st.SearchStrategy[Files]:
    return only("spec.yaml", _yaml_of(sorted((REPOSITORY / "tests" / "unit" / "tao").glob("*.yaml"))))


def _skeletons(_: Path) -> st.SearchStrategy[Files]:
    return only("spec.yaml", _yaml_of(sorted((REPOSITORY / "specs" / "skeletons").glob("*.yaml"))))


def _read_spec(folder: Path) -> None:
    from bpnet_cli.build import skeleton_of
    from bpnet_cli.spec.experiment import ExperimentSpec
    from bpnet_cli.spec.loader import load_to_check

    checked, _ = load_to_check(folder / "spec.yaml")
    if isinstance(checked, ExperimentSpec):
        skeleton_of(checked)


def _read_skeleton(folder: Path) -> None:
    from bpnet_cli.build import named_skeleton

    named_skeleton(str(folder / "spec.yaml"))


# Photos and videos


def _photos(seeds: Path) -> st.SearchStrategy[Files]:
    paths = sorted((seeds / "photos").iterdir())
    return st.sampled_from(paths).flatmap(lambda path: only(f"photo{path.suffix}", bytes_of([path.read_bytes()])))


def _read_photo(folder: Path) -> None:
    from bpnet_cli.inference.photo_files import read_photo

    (path,) = folder.iterdir()
    read_photo(path)


def _videos(seeds: Path) -> st.SearchStrategy[Files]:
    paths = sorted((seeds / "videos").iterdir())
    return st.sampled_from(paths).flatmap(lambda path: only(path.name, bytes_of([path.read_bytes()])))


def _read_video(folder: Path) -> None:
    from bpnet_cli.data.video import VideoReader

    (path,) = folder.iterdir()
    with VideoReader(str(path)) as video:
        for _ in islice(video.frames(), 30):
            pass


# Networks and their metadata


def _metadata(seeds: Path) -> st.SearchStrategy[Files]:
    """Wrong metadata in sound files."""
    import onnx

    from bpnet_cli.models.metadata import KERAS_MEMBER, ONNX_KEY

    archive = (seeds / "models/m.keras").read_bytes()
    model = onnx.load(str(seeds / "models/m.onnx"))
    (entry,) = [each for each in model.metadata_props if each.key == ONNX_KEY]
    values = json.loads(entry.value)

    def with_metadata(data: bytes) -> bytes:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        changed.metadata_props[0].value = data.decode(errors="ignore")
        return bytes(changed.SerializeToString())

    text = st.one_of(trees([values]).map(as_json), bytes_of([entry.value.encode()]))
    assert KERAS_MEMBER.encode() in archive
    return only("m.onnx", text.map(with_metadata))


def _whole_files(
    seeds: Path, bytewise_too: tuple[str, ...] = ("m.onnx", "m.tflite", "m.keras")
) -> st.SearchStrategy[Files]:
    folder = seeds / "models"
    bytewise = st.sampled_from(bytewise_too).flatmap(lambda name: only(name, bytes_of([(folder / name).read_bytes()])))
    archive = only("m.keras", archives((folder / "m.keras").read_bytes()))
    return st.one_of(bytewise, archive, only("m.xml", xml_of([(folder / "m.xml").read_bytes()])))


def _read_metadata(folder: Path) -> None:
    from bpnet_cli.inference.load import spec_of
    from bpnet_cli.models.formats import format_of

    (path,) = folder.iterdir()
    metadata = format_of(path).metadata(path)
    if metadata is not None:
        spec_of(metadata, path)


@st.composite
def _graphs(draw: Any, data: bytes) -> bytes:
    """An ONNX file with up to three nodes, constants or values changed."""
    import onnx

    model = onnx.load_from_string(data)
    graph = model.graph
    kinds = [*sorted({node.op_type for node in graph.node}), "Softmax", "Transpose", "Nonsense", ""]
    names = sorted({name for node in graph.node for name in [*node.input, *node.output]})
    for _ in range(draw(st.integers(1, 3))):
        node = graph.node[draw(st.integers(0, len(graph.node) - 1))]
        what = draw(st.sampled_from(["kind", "input", "output", "attribute", "gone", "dims", "constant", "value"]))
        if what == "kind":
            node.op_type = draw(st.sampled_from(kinds))
        elif what == "input" and node.input:
            node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from([*names, "", "nowhere"]))
        elif what == "output" and node.output:
            node.output[0] = draw(st.sampled_from([*names, ""]))
        elif what == "attribute" and node.attribute:
            attribute = node.attribute[draw(st.integers(0, len(node.attribute) - 1))]
            odd = draw(st.sampled_from([0, -1, 1, 2, 3, 1000, 2**31, 2**62]))
            if attribute.ints:
                attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = odd
            else:
                attribute.i = odd
        elif what == "gone":
            graph.node.remove(node)
        elif graph.initializer:
            constant = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
            if what == "dims" and constant.dims:
                constant.dims[draw(st.integers(0, len(constant.dims) - 1))] = draw(st.sampled_from([0, 1, 7, 2**40]))
            elif what == "constant":
                constant.raw_data = constant.raw_data[: draw(st.integers(0, 64))]
        if not graph.node:
            break
    if draw(st.integers(0, 9)) == 0:
        del (graph.output if draw(st.booleans()) else graph.input)[:]
    return bytes(model.SerializeToString())


def _networks(seeds: Path) -> st.SearchStrategy[Files]:
    folder = seeds / "models"
    graph = only("m.onnx", _graphs((folder / "m.onnx").read_bytes()))
    # LiteRT's own reader of flatbuffers ends the process on a damaged file.
    return st.one_of(graph, _whole_files(seeds, ("m.onnx", "m.keras"))).map(
        lambda files: {"m.bin": (folder / "m.bin").read_bytes()} | files
    )


def _run_network(folder: Path) -> None:
    from bpnet_cli.inference.load import load_predictor

    (path,) = [path for path in folder.iterdir() if path.suffix != ".bin"]
    predictor = load_predictor(path, ["inference.input_height=64", "inference.input_width=64"], threads=1)
    predictor.predict(np.zeros((64, 64, 3), np.uint8))


def _originals(seeds: Path) -> st.SearchStrategy[Files]:
    folder = seeds / "models"
    theirs = (folder / "theirs.onnx").read_bytes()
    ir, weights = (folder / "m.xml").read_bytes(), (folder / "m.bin").read_bytes()
    plain = ir.replace(b"bpnet", b"other")
    return st.one_of(
        only("m.onnx", _graphs(theirs)),
        only("m.onnx", bytes_of([theirs])),
        only("m.xml", xml_of([plain])).map(lambda files: files | {"m.bin": weights}),
        only("m.bin", bytes_of([weights])).map(lambda files: files | {"m.xml": plain}),
    )


def _import(folder: Path) -> None:
    from bpnet_cli.importing.workflow import ImportRequest, import_model

    (path,) = [path for path in folder.iterdir() if path.suffix != ".bin"]
    flags = {"colour": "bgr", "mean": [0.0], "scale": [1.0]} if path.suffix == ".onnx" else {}
    import_model(ImportRequest(str(path), str(folder / "out.keras"), **flags))


# Results and checkpoints


def _parts(seeds: Path) -> st.SearchStrategy[Files]:
    return one_of(seeds / "parts", "*-of-*", _of_lines) | one_of(seeds / "parts", "parts.json", of_text)


@st.composite
def _of_lines(draw: Any, data: bytes) -> bytes:
    """A file of JSON lines with a line changed."""
    lines = data.splitlines()
    place = draw(st.integers(0, max(len(lines) - 1, 0)))
    return b"\n".join([*lines[:place], draw(of_text(lines[place] if lines else b"")), *lines[place + 1 :]])


def _merge(folder: Path) -> None:
    from bpnet_cli.inference.merge import merge_parts

    merge_parts(folder)


def _checkpoints(seeds: Path) -> st.SearchStrategy[Files]:
    (path,) = (seeds / "checkpoints").iterdir()
    return only(path.name, st.one_of(archives(path.read_bytes()), bytes_of([path.read_bytes()])))


def _restore(folder: Path) -> None:
    from types import SimpleNamespace

    from bpnet_cli.models.weights import load_arrays
    from bpnet_cli.training.checkpoint import restore_newest

    state = fake_state()
    restore_newest(folder, state)
    (path,) = folder.iterdir()
    layer = SimpleNamespace(name="network_conv", weights=state.network.variables)
    load_arrays(SimpleNamespace(layers=[layer]), path)


# The decoder


def _maps(_: Path) -> st.SearchStrategy[Files]:
    pair = st.tuples(maps(19), maps(38), st.booleans())

    def files(pair: tuple[Any, Any, bool]) -> Files:
        heatmaps, pafs, fit = pair
        if fit:
            pafs = np.resize(pafs, (*heatmaps.shape[:2], 38))
        return {"heatmaps": json.dumps(heatmaps.tolist()).encode(), "pafs": json.dumps(pafs.tolist()).encode()}

    return pair.map(files)


def _decode(folder: Path) -> None:
    from bpnet_cli.pose.decode import DecodeOptions, decode

    heatmaps, pafs = (np.array(json.loads((folder / name).read_bytes()), np.float32) for name in ("heatmaps", "pafs"))
    for people in (decode(heatmaps, pafs), decode(heatmaps, pafs, options=DecodeOptions(0.01, person_threshold=0))):
        for person in people:
            assert np.isfinite(person.score)
            assert not np.isinf(person.keypoints).any()


TARGETS: dict[str, Target] = {
    "spec": Target(_specs, _read_spec),
    "tao": Target(_taos, _read_spec),
    "skeleton": Target(_skeletons, _read_skeleton),
    "photo": Target(_photos, _read_photo),
    "video": Target(_videos, _read_video),
    "metadata": Target(lambda seeds: st.one_of(_metadata(seeds), _whole_files(seeds)), _read_metadata),
    "network": Target(_networks, _run_network),
    "import": Target(_originals, _import),
    "parts": Target(_parts, _merge, "parts"),
    "checkpoint": Target(_checkpoints, _restore),
    "decoder": Target(_maps, _decode),
    **LABEL_TARGETS,
}


def quiet() -> None:
    """The readers' own warnings are no finds."""
    logging.disable(logging.CRITICAL)
