"""What reads strangers' files, and how to change a file for it. Only errors for the user may come out."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from bpnet_cli.errors import BpnetError
from bpnet_cli.log import shown
from tests.fuzz.changes import archives, as_json, bytes_of, maps, trees, xml_of
from tests.fuzz.seeds import fake_state
from tests.unit.test_records import masked_crc32c

REPOSITORY = Path(__file__).parents[2]
# A message may name each fault of a file.
MOST_TEXT = 100_000
# A file's new content by its name, relative to the folder of the target.
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Target:
    """changed: from the folder of seeds, a strategy of the files to write over those of `base`. base: a folder of the
    seeds that is copied first, or "". read: reads the folder; BpnetError is the only error that may come out.
    """

    changed: Callable[[Path], st.SearchStrategy[Any]]
    read: Callable[[Path], object]
    base: str = ""

    def run(self, seeds: Path, folder: Path, files: Files) -> bool:
        """Whether the files were read. folder: a new one."""
        if self.base:
            shutil.copytree(seeds / self.base, folder, dirs_exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        try:
            self.read(folder)
        except BpnetError as error:
            text = shown(str(error))
            assert not [each for each in text if unicodedata.category(each) == "Cc" and each not in "\n\t"], text
            assert len(text) < MOST_TEXT, text[:1000]
            return False
        return True


def only(name: str, content: st.SearchStrategy[bytes]) -> st.SearchStrategy[Files]:
    return content.map(lambda data: {name: data})


def _one_of(folder: Path, names: str, change: Callable[[bytes], st.SearchStrategy[bytes]]) -> st.SearchStrategy[Files]:
    """One file of a folder changed; the names are relative to it. names: a glob."""
    paths = sorted(path for path in folder.glob(names) if path.is_file())
    return st.sampled_from(paths).flatmap(lambda path: only(str(path.relative_to(folder)), change(path.read_bytes())))


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


# Labels


def _coco(seeds: Path) -> st.SearchStrategy[Files]:
    text = (seeds / "labels/coco/labels.json").read_bytes()
    return only("labels.json", st.one_of(trees([json.loads(text)]).map(as_json), bytes_of([text])))


def _read_coco(folder: Path) -> None:
    from bpnet_cli.data.sources import open_sources

    for source in open_sources(folder / "labels.json", folder / "images"):
        for image_id in source.files:
            source.ignore(image_id)


def _of_text(data: bytes) -> st.SearchStrategy[bytes]:
    """Changes that fit the kind of text."""
    if data.startswith(b"<"):
        return xml_of([data])
    with suppress(ValueError):
        return st.one_of(trees([json.loads(data)]).map(as_json), bytes_of([data]))
    return bytes_of([data])


def _labels_of(
    tool: str, names: str
) -> tuple[Callable[[Path], st.SearchStrategy[Files]], Callable[[Path], object], str]:
    def read(folder: Path) -> None:
        from bpnet_cli.labelling.workflow import import_labels

        files = [path for path in folder.iterdir() if path.suffix in (".xml", ".json")]
        import_labels(files[0] if tool in ("cvat", "label_studio") else folder, folder / "out")

    return lambda seeds: _one_of(seeds / "labels" / tool, names, _of_text), read, f"labels/{tool}"


def _rows(data: bytes) -> list[bytes]:
    rows = []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        rows.append(data[12 : 12 + length])
        data = data[16 + length :]
    return rows


def _framed(rows: list[bytes]) -> bytes:
    def one(row: bytes) -> bytes:
        length = struct.pack("<Q", len(row))
        return length + struct.pack("<I", masked_crc32c(length)) + row + struct.pack("<I", masked_crc32c(row))

    return b"".join(map(one, rows))


@st.composite
def _indexes(draw: Any, data: bytes) -> bytes:
    """An index with right checksums and one row changed: the header as JSON, another one as features or bytes."""
    from bpnet_cli.data.records import from_example, to_example

    first, *rest = _rows(data)
    kind = draw(st.sampled_from(["header", "features", "row", "file"]))
    if kind == "file":
        return draw(bytes_of([data]))
    if kind == "header":
        return _framed([as_json(draw(trees([json.loads(first)]))), *rest])
    if kind == "row":
        return _framed([first, draw(bytes_of(rest)), *rest[1:]])
    features = from_example(rest[0])
    name = draw(st.sampled_from(sorted(features)))
    values = features[name]
    place = draw(st.integers(0, len(values)))
    new = draw(
        st.sampled_from([[], values[:1], values[:2] * 2, [0], [-1], [2**62], [1e300], [float("nan")], [b"\xff"]])
    )
    features[name] = values[:place] + new + values[place + draw(st.integers(0, 1)) :]
    kinds = {type(value) for value in features[name]}
    if len(kinds) > 1:
        features[name] = new
    return _framed([first, to_example(features), *rest[1:]])


def _shards(seeds: Path) -> st.SearchStrategy[Files]:
    folder = seeds / "labels/shards"
    (index,), (shard,) = folder.glob("*.index"), folder.glob("*.tfrecord")
    return st.one_of(only(index.name, _indexes(index.read_bytes())), only(shard.name, bytes_of([shard.read_bytes()])))


def _read_shards(folder: Path) -> None:
    from bpnet_cli.data.records import open_records
    from bpnet_cli.errors import DataError

    for source in open_records(str(folder / "*.tfrecord")):
        for image_id, file in source.files.items():
            source.ignore(image_id)
            with suppress(DataError):
                file.rgb()


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
    return _one_of(seeds / "parts", "*-of-*", _of_lines) | _one_of(seeds / "parts", "parts.json", _of_text)


@st.composite
def _of_lines(draw: Any, data: bytes) -> bytes:
    """A file of JSON lines with a line changed."""
    lines = data.splitlines()
    place = draw(st.integers(0, max(len(lines) - 1, 0)))
    return b"\n".join([*lines[:place], draw(_of_text(lines[place] if lines else b"")), *lines[place + 1 :]])


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
    "coco": Target(_coco, _read_coco, "labels/coco"),
    "cvat": Target(*_labels_of("cvat", "*.xml")),
    "label-studio": Target(*_labels_of("label_studio", "*.json")),
    "labelme": Target(*_labels_of("labelme", "labels/*.json")),
    "yolo": Target(*_labels_of("yolo", "**/*.[ty][xa][tm]*")),
    "deeplabcut": Target(*_labels_of("deeplabcut", "**/*.[cy][sa][vm]*")),
    "shards": Target(_shards, _read_shards, "labels/shards"),
    "photo": Target(_photos, _read_photo),
    "video": Target(_videos, _read_video),
    "metadata": Target(lambda seeds: st.one_of(_metadata(seeds), _whole_files(seeds)), _read_metadata),
    "network": Target(_networks, _run_network),
    "import": Target(_originals, _import),
    "parts": Target(_parts, _merge, "parts"),
    "checkpoint": Target(_checkpoints, _restore),
    "decoder": Target(_maps, _decode),
}


def quiet() -> None:
    """The readers' own warnings are no finds."""
    logging.disable(logging.CRITICAL)
