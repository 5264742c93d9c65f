"""`bpnet import`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet_cli import __version__
from bpnet_cli.build import metadata_of, named_skeleton, network_of
from bpnet_cli.engine import load_keras
from bpnet_cli.errors import BpnetError, ModelFileError
from bpnet_cli.files import check_output
from bpnet_cli.importing.graph import Graph
from bpnet_cli.importing.maps import StageMaps, find_maps
from bpnet_cli.inference.compare import map_errors
from bpnet_cli.inference.load import spec_of
from bpnet_cli.inference.onnx_layout import TAO_OFFSET, TAO_PAF_OFFSET_PX, TAO_SCALE, is_nvidias
from bpnet_cli.inference.photos import photos_of_folder
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.log import say
from bpnet_cli.models.formats import FORMATS, check_format
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.strides import STRIDE

# Allowed differences from the original: of any map value if it computes in float32, and on average if it is rounded.
_TOLERANCE, _MEAN_TOLERANCE = 1e-3, 0.02
_SEED = 0
_MOST_PHOTOS = 32


@dataclass(frozen=True)
class ImportRequest:
    """The arguments of the command.

    skeleton: name or file of the skeleton with the file's order of channels; None: the file's own, or body_18.
    colour: "rgb" or "bgr". mean, scale: the network reads (pixel - mean) * scale; one number, or one per channel in the
    file's order. None: not given. images: folder of photos to compare the networks on.
    """

    model: str
    output: str
    overwrite: bool = False
    skeleton: str | None = None
    colour: str | None = None
    mean: Sequence[float] | None = None
    scale: Sequence[float] | None = None
    images: str | None = None


@dataclass(frozen=True, eq=False)
class _Source:
    """The imported file. metadata: for files from bpnet and from NVIDIA; None for all others."""

    graph: Graph
    metadata: ModelMetadata | None
    skeleton: Skeleton


def import_model(request: ImportRequest) -> str:
    """Write a trained network of another format as a `.keras` file for further training; returns lines about it.

    The original and the result run on the same photos. Raises BpnetError, and writes nothing, if the file can't be
    imported or if the maps differ.
    """
    target = check_output(request.output, FORMATS["keras"].suffix, request.overwrite)
    source = _read(request)
    photos = photos_of_folder(request.images, "comparison", 1, _MOST_PHOTOS) if request.images else []
    maps = find_maps(source.graph, source.skeleton)
    load_keras()
    from bpnet_cli.models.model_file import save_network

    network, metadata, whose = _build(request, source, maps, photos)
    original = _original(source, maps, metadata)
    lines = _compare(network, metadata, original, photos, source.graph.rounded, request.model)
    save_network(network, metadata, target)
    stages = len(network.outputs) // 2
    head = f"{target}: {network.count_params():,} parameters, {stages} stage{'s' if stages > 1 else ''}, {whose}"
    hint = f"to train it further: bpnet train -e SPEC -r DIR --set model.pretrained={target}"
    if metadata.has_own_graph:
        hint += " --set model.graph=file"
    return "\n".join([head, *lines, hint])


def _read(request: ImportRequest) -> _Source:
    """The file's graph, with the form of its photos from the request. Raises BpnetError if something is missing."""
    found = check_format(request.model, READERS, "import")
    return READERS[found.name](request, found.metadata(request.model))


def _read_openvino(request: ImportRequest, metadata: ModelMetadata | None) -> _Source:
    from bpnet_cli.importing.openvino_ir import read_openvino_ir

    if metadata is not None:
        raise ModelFileError(f"{request.model}: was written by bpnet; import the .onnx file that it was made from")
    skeleton = named_skeleton(request.skeleton) if request.skeleton else BODY_18
    # Open Model Zoo's networks take raw BGR pixels, because mean and scale are in the graph.
    return _Source(_with_photo(read_openvino_ir(request.model), request, "bgr"), None, skeleton)


def _read_onnx(request: ImportRequest, metadata: ModelMetadata | None) -> _Source:
    load_keras()
    from bpnet_cli.importing.onnx_file import read_onnx

    said = (request.colour, request.mean, request.scale)
    graph = read_onnx(request.model)
    if metadata is not None:
        # The export section is about the file, not about the network, so it is not kept.
        metadata = metadata.with_spec({**metadata.spec, "export": {}})
        _refuse_flags(request, "bpnet exported this file, so its metadata has these values")
        return _Source(_ours(graph), metadata, metadata.skeleton)
    if is_nvidias(graph.image.name, graph.outputs) and not any(said):
        _refuse_flags(request, "this is NVIDIA's BodyPoseNet, so these values are known")
        return _Source(_ours(graph), _nvidias(request), BODY_18)
    skeleton = named_skeleton(request.skeleton) if request.skeleton else BODY_18
    if request.colour is None or (_normalises_outside(graph) and request.mean is None and request.scale is None):
        raise BpnetError(
            f"{request.model}: the file doesn't say which photos the network needs: give --color rgb or bgr, and --mean"
            " and --scale if it was trained on (pixel - mean) * scale; nothing was written"
        )
    return _Source(_with_photo(graph, request, "rgb"), None, skeleton)


# By format: (request, the file's metadata) -> what was read.
READERS: dict[str, Callable[[ImportRequest, ModelMetadata | None], _Source]] = {
    "onnx": _read_onnx,
    "openvino": _read_openvino,
}


def _refuse_flags(request: ImportRequest, why: str) -> None:
    if request.skeleton or request.colour or request.mean or request.scale:
        raise BpnetError(f"{request.model}: --skeleton, --color, --mean and --scale have no effect: {why}")


def _with_photo(graph: Graph, request: ImportRequest, colour: str) -> Graph:
    mean, scale = (_three(values, default) for values, default in ((request.mean, 0.0), (request.scale, 1.0)))
    offset = (-mean[0] * scale[0], -mean[1] * scale[1], -mean[2] * scale[2])
    bgr = (request.colour or colour) == "bgr"
    return replace(graph, image=replace(graph.image, scale=scale, offset=offset, bgr=bgr))


def _three(values: Sequence[float] | None, default: float) -> tuple[float, float, float]:
    given = tuple(values or (default,))
    if len(given) not in (1, 3):
        raise BpnetError(f"--mean, --scale: give one number or three, as in 123.7,116.3,103.5 (got {len(given)})")
    return given * 3 if len(given) == 1 else given  # type: ignore[return-value] # the length was checked


def _normalises_outside(graph: Graph) -> bool:
    """Whether the graph has no normalisation: the float photo goes directly into a convolution."""
    readers = [node for node in graph.nodes if graph.image.name in node.inputs]
    return all(node.kind in ("convolution", "pad") for node in readers) and graph.image.dtype != "uint8"


def _ours(graph: Graph) -> Graph:
    """The graph of a file from bpnet or NVIDIA, with its photo: uint8 pixels, or NVIDIA's (pixel - 128) / 256."""
    if graph.image.dtype == "uint8":
        return graph
    return replace(graph, image=replace(graph.image, scale=(TAO_SCALE,) * 3, offset=(TAO_OFFSET,) * 3))


def _nvidias(request: ImportRequest) -> ModelMetadata:
    spec = ExperimentSpec(name=Path(request.model).stem)
    return replace(metadata_of(spec, BODY_18), paf_offset_px=TAO_PAF_OFFSET_PX)


def _paf_offset(graph: Graph) -> float:
    """`paf_offset_px` of a file without metadata. NVIDIA's tensor names show that NVIDIA's trainer made the network."""
    return TAO_PAF_OFFSET_PX if is_nvidias(graph.image.name, graph.outputs) else 0.0


def _build(
    request: ImportRequest, source: _Source, maps: StageMaps, photos: Sequence[NDArray[np.uint8]]
) -> tuple[Any, ModelMetadata, str]:
    """The network, its metadata, and words about its graph, which is the spec's graph if the file fits it."""
    from bpnet_cli.importing.keras_graph import KerasGraph

    builder = KerasGraph(source.graph.needed(maps.tensors), maps.layer_names)
    network = builder.build(maps.tensors)
    metadata = source.metadata
    if metadata is not None and not metadata.has_own_graph:
        landed = _in_the_specs_graph(request, network, metadata, photos)
        if landed is not None:
            resolved = spec_of(metadata, request.model).model_dump(mode="json")
            return landed, metadata.with_spec(resolved), f"the graph of the spec inside ({metadata.spec['name']})"
    stride, multiple = _grid(network, request.model)
    spec = metadata.spec if metadata else ExperimentSpec(name=Path(request.model).stem).model_dump(mode="json")
    size = {key: spec["model"][key] for key in ("input_height", "input_width")}
    spec = {**spec, "model": {"graph": "file", "pretrained": request.output, **size}}
    whole = ExperimentSpec.model_validate_json(json.dumps(spec)).model_dump(mode="json")
    normalization = builder.normalization
    made = ModelMetadata(
        whole, source.skeleton, stride, multiple, normalization.scale, normalization.offset, __version__, "imported"
    )
    made = replace(made, paf_offset_px=metadata.paf_offset_px if metadata else _paf_offset(source.graph))
    return network, made, "a graph of its own"


def _in_the_specs_graph(
    request: ImportRequest, imported: Any, metadata: ModelMetadata, photos: Sequence[NDArray[np.uint8]]
) -> Any | None:
    """The spec's network with the file's weights; None, with a printed line, if the file has a different graph."""
    from bpnet_cli.importing.spec_graph import batch_norms, fit_batch_norm, land

    spec = spec_of(metadata, request.model)
    network = network_of(spec, metadata.skeleton)
    if not land(network, imported):
        say(f"{request.model}: the graph differs from that of a spec with {spec.model.backbone}; it is kept as it is")
        return None
    if batch_norms(network):
        if not photos:
            say("batch norm's statistics come from drawn photos; give --images DIR with your photos for better ones")
        fit_batch_norm(network, _inputs(network, metadata, photos or _drawn_photos()))
    return network


def _grid(network: Any, path: str) -> tuple[int, int]:
    """(stride of the maps, number of pixels that the input's height and width must be multiples of).

    Raises ModelFileError if the stride is not that of bpnet.
    """
    import keras

    size = 256
    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    try:
        fixed = keras.models.clone_model(network, input_tensors=image)
    except ValueError as error:
        raise ModelFileError(f"{path}: can't take {size} x {size} pixels ({error}); nothing was written") from None
    rows = {tuple(tensor.shape[1:3]) for tensor in fixed.outputs}
    if rows != {(size // STRIDE, size // STRIDE)}:
        raise ModelFileError(
            f"{path}: has maps of {' and '.join(f'{h} x {w}' for h, w in sorted(rows))} cells for a photo of {size} x"
            f" {size}; bpnet needs one cell for every {STRIDE} x {STRIDE} pixels; nothing was written"
        )
    smallest = min(layer.output.shape[1] for layer in fixed.layers if len(layer.output.shape) == 4)
    return STRIDE, size // smallest


def _inputs(network: Any, metadata: ModelMetadata, photos: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    from bpnet_cli.inference.backends import KerasBackend

    predictor = Predictor(KerasBackend(network, metadata))
    return [predictor.prepare(photo)[0][None] for photo in photos]


def _drawn_photos() -> list[NDArray[np.uint8]]:
    from bpnet_cli.data.figure import sample_figure
    from bpnet_cli.data.scene import paint_scene

    rngs = [np.random.default_rng([_SEED, i]) for i in range(8)]
    return [paint_scene(rng, [sample_figure(rng) for _ in range(3)], 320, 320)[0] for rng in rngs]


def _original(source: _Source, maps: StageMaps, metadata: ModelMetadata) -> Any:
    from bpnet_cli.importing.original import Original

    return Original(source.graph.path, source.graph.image, maps.heatmap_output, maps.paf_output, metadata)


def _compare(
    network: Any,
    metadata: ModelMetadata,
    original: Any,
    photos: Sequence[NDArray[np.uint8]],
    rounded: bool,
    path: str,
) -> list[str]:
    """Lines about the differences from the original's maps. Raises ModelFileError if they are too large."""
    from bpnet_cli.inference.backends import KerasBackend

    backend, image = KerasBackend(network, metadata), original.image
    height, width = image.size or (16 * metadata.input_multiple, 24 * metadata.input_multiple)
    noise: NDArray[np.uint8] = np.random.default_rng(_SEED).integers(
        0, 256, (image.batch or 1, height, width, 3), dtype=np.uint8
    )
    sets = {"seeded noise": [noise]}
    if photos and image.size is None and image.batch in (None, 1):
        sets[f"{len(photos)} photos"] = _inputs(network, metadata, photos)
    lines = []
    for name, inputs in sets.items():
        errors = np.array([map_errors(original, backend, each) for each in inputs])
        largest, mean = float(errors[:, 0].max()), float(errors[:, 1].mean())
        lines.append(f"difference to the original on {name}: largest {largest:.1e}, mean {mean:.1e}")
        if not (mean <= _MEAN_TOLERANCE if rounded else largest <= _TOLERANCE):
            raise ModelFileError(
                f"{path}: the imported network's maps differ from the original's (largest {largest:.2g}, mean"
                f" {mean:.2g} on {name}); this is a bug of the importer, please report it; nothing was written"
            )
    if rounded:
        lines.append("the original computes in lower precision; the imported network computes in float32")
    return lines
