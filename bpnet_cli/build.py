"""From the spec to the library: the only module that turns spec sections into plain arguments.

`pose`, `data` and `models` don't know the spec. The workflows in higher layers call these functions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bpnet_cli import __version__
from bpnet_cli.box import box_or_path
from bpnet_cli.errors import SpecError, did_you_mean, hinting, naming
from bpnet_cli.log import say
from bpnet_cli.models.metadata import ModelMetadata, read_keras_metadata
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.sides import likely_partner, without_partner
from bpnet_cli.spec.dataset import RecordSource, Source
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.spec.network import StageSpec
from bpnet_cli.spec.shipped import shipped_skeletons, skeleton_names
from bpnet_cli.spec.skeleton_file import SkeletonFile, keypoint_places, load_skeleton_file, skeleton_values
from bpnet_cli.strides import INPUT_MULTIPLES, STRIDE


def skeleton_of(spec: ExperimentSpec) -> Skeleton:
    """The skeleton of a spec, see `named_skeleton`. Raises SpecError."""
    return named_skeleton(spec.skeleton)


def named_skeleton(given: str | SkeletonFile) -> Skeleton:
    """A skeleton from the name of a shipped one, the path of a skeleton file, or its keys. Raises SpecError."""
    if given == BODY_18.name:
        return BODY_18
    with naming("skeleton"):
        file = _load_skeleton(given) if isinstance(given, str) else given
        return Skeleton.from_dict(skeleton_values(file))


def _load_skeleton(given: str) -> SkeletonFile:
    """The skeleton file with this path, or the shipped one with this name. Raises SpecError."""
    shipped = shipped_skeletons()
    if given not in shipped and not os.path.exists(given):
        names = skeleton_names()
        hint = did_you_mean(given, names)
        raise SpecError(
            f"{given}: there is no such file (paths are relative to the working directory) and no shipped skeleton of"
            f" this name{hint} ({', '.join(names)})"
        )
    return load_skeleton_file(shipped.get(given, given))


def tell_sides(given: str | SkeletonFile, skeleton: Skeleton) -> None:
    """Print lines if mirrored photos may mix up left and right, because keypoints have no partner on the other side.

    given: the same skeleton in its written form. There, `flip_pairs: []` says that it has no sides.
    """
    places: list[str] = []
    if isinstance(given, str) and given != BODY_18.name:
        path = shipped_skeletons().get(given, given)
        given, places = load_skeleton_file(path), keypoint_places(path)
    alone = without_partner(skeleton.keypoints, skeleton.flip_pairs)
    if (isinstance(given, SkeletonFile) and given.flip_pairs == ()) or (skeleton.flip_pairs and not alone):
        return
    for i, name in enumerate(alone):
        partner = likely_partner(name, alone)
        if partner in alone[:i]:
            continue  # told with the partner's own line
        place = f"{places[skeleton.keypoints.index(name)]}: " if places else ""
        hint = f"; is it meant to be the partner of {partner!r}?" if partner else ""
        say(f"{place}keypoint {name!r} has no partner on the other side{hint}")
    found = f"{len(alone)} keypoint(s) have no partner" if alone else "no left/right pairs are found"
    say(
        f"skeleton {skeleton.name}: {found}, so mirrored crops (augmentation.flip_probability) teach the wrong side;"
        " in the skeleton file, write `flip_pairs: [[left name, right name], ...]`, or `flip_pairs: []` without sides"
    )


def tell_gaps(skeleton: Skeleton) -> None:
    """Print a line for each group of keypoints that no limb joins to the others."""
    whole, *parts = skeleton.groups
    for part in parts:
        say(
            f"skeleton {skeleton.name}: no limb joins {', '.join(part)} to {', '.join(whole[:3])}, so they are found as"
            " people of their own"
        )


def with_whole_skeleton(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec with the path of its skeleton file replaced by the content of the file. Raises SpecError."""
    if not isinstance(spec.skeleton, str) or spec.skeleton in skeleton_names():
        return spec
    with naming("skeleton"):
        return spec.model_copy(update={"skeleton": load_skeleton_file(spec.skeleton)})


def graph_file_of(spec: ExperimentSpec) -> str | None:
    """Path of the `.keras` file whose graph the spec uses; None if the spec itself describes the graph."""
    if spec.model.graph == "spec":
        return None
    return box_or_path(spec.model.pretrained, keras=True)


def metadata_of(spec: ExperimentSpec, skeleton: Skeleton, graph_file: ModelMetadata | None = None) -> ModelMetadata:
    """The metadata of a model file of this spec. Raises ModelFileError if the spec's file has no usable graph.

    graph_file: metadata of the file whose graph the spec uses, if they are read already.
    """
    from bpnet_cli.models.backbones import BACKBONES

    if (path := graph_file_of(spec)) is not None:
        theirs = graph_file or read_graph_file(path)
        # The offset of the file's PAFs doesn't matter: training draws PAFs on the grid of the heatmaps.
        theirs = replace(theirs, skeleton=skeleton, version=__version__, paf_offset_px=0.0)
        return theirs.with_spec(spec.model_dump(mode="json"))
    backbone = BACKBONES[spec.model.backbone]
    return ModelMetadata(
        spec=spec.model_dump(mode="json"),
        skeleton=skeleton,
        stride=STRIDE,
        input_multiple=INPUT_MULTIPLES[spec.model.backbone],
        scale=backbone.scale,
        offset=backbone.offset,
        version=__version__,
    )


def read_graph_file(path: str) -> ModelMetadata:
    """The metadata of a file whose graph a spec uses. Raises ModelFileError."""
    metadata = read_pretrained_metadata(path)
    return metadata if metadata.has_own_graph else replace(metadata, graph="file")


def read_pretrained_metadata(path: str) -> ModelMetadata:
    """The metadata of the `.keras` file that `model.pretrained` names. Raises ModelFileError, which names the key."""
    with hinting("model.pretrained; paths are relative to the working directory"):
        return read_keras_metadata(path)


def network_of(spec: ExperimentSpec, skeleton: Skeleton) -> Any:
    """The spec's network with new weights; or, if the spec uses the graph of a file, the network and weights there.

    Raises SpecError for a size that doesn't fit, ModelFileError for a file that can't be loaded.
    """
    from bpnet_cli.models.bodyposenet import build_network
    from bpnet_cli.models.stages import Convolutions

    model = spec.model
    check_input_size(spec)
    if (path := graph_file_of(spec)) is not None:
        from bpnet_cli.models.model_file import load_network

        return load_network(path)[0]
    return build_network(
        backbone=model.backbone,
        stages=model.stages,
        shared=model.branches == "shared",
        feature_channels=model.feature_channels,
        initial_stage=_stage_shape(model.initial_stage),
        refinement_stage=_stage_shape(model.refinement_stage),
        convolutions=Convolutions(model.convolution == "separable", model.batch_norm, model.initializer),
        heatmap_channels=skeleton.heatmap_channels,
        paf_channels=skeleton.paf_channels,
    )


def check_input_size(spec: ExperimentSpec) -> None:
    """Raise SpecError for an input size that the file's graph can't take. The spec itself checks backbones."""
    if (path := graph_file_of(spec)) is not None:
        check_multiple(spec, read_graph_file(path).input_multiple, path)


def check_multiple(spec: ExperimentSpec, multiple: int, path: str) -> None:
    """Raise SpecError if the input height or width is no multiple of `multiple`. path: of the graph, for messages."""
    for key in ("input_height", "input_width"):
        if getattr(spec.model, key) % multiple:
            raise SpecError(
                f"model.{key}: must be a multiple of {multiple} for {path} (got {getattr(spec.model, key)})"
            )


def decode_options_of(spec: ExperimentSpec) -> DecodeOptions:
    """The decoder's thresholds from the spec."""
    return DecodeOptions(**spec.inference.decode.model_dump())


def open_sources(sources: Sequence[Source], skeleton: Skeleton) -> list[Any]:
    """Checked labels and photos of all sources (`LabelSource`), as far as they fit the skeleton.

    Prints how they were read and what was left out. Raises DataError.
    """
    from bpnet_cli.data.labels import summarise
    from bpnet_cli.data.sources import open_sources as open_labels

    opened = []
    for source in sources:
        if isinstance(source, RecordSource):
            found = open_labels(source.records, choice=choice_of(source, skeleton))
        else:
            found = open_labels(source.annotations, source.images, choice_of(source, skeleton))
        for line in (line for one in found for line in one.notes):
            say(line)
        opened += found
    for line in summarise(problem for source in opened for problem in source.problems):
        say(line)
    return opened


def choice_of(source: Source, skeleton: Skeleton) -> Any:
    """What is wanted of the labels of a source (`data.choice.Choice`)."""
    from bpnet_cli.data.choice import choice_for

    if isinstance(source, RecordSource):
        return choice_for(skeleton)
    return choice_for(skeleton, source.categories or (), source.rename)


def coco_sets_of(spec: ExperimentSpec) -> dict[str, list[tuple[str, str, Any]]]:
    """Folder of photos, annotation file and `choice_of` each source, by "train" and "validation". Raises SpecError."""
    if not spec.dataset.train_sources:
        raise SpecError("dataset.train: needed for converting: {images: FOLDER, annotations: FILE}")
    skeleton = skeleton_of(spec)
    sets: dict[str, list[tuple[str, str, Any]]] = {}
    for name, sources in (("train", spec.dataset.train_sources), ("validation", spec.dataset.validation_sources)):
        for source in sources:
            if isinstance(source, RecordSource):
                raise SpecError(f"dataset.{name}: {source.records} are records already; give images and annotations")
            sets.setdefault(name, []).append((source.images, source.annotations, choice_of(source, skeleton)))
    return sets


def photos_of(sources: Sequence[Source], skeleton: Skeleton) -> list[Any]:
    """The photos (`data.photos.Photo`) of all sources, source after source. Raises DataError."""
    from bpnet_cli.data.photos import photos_of_source

    return [photo for source in open_sources(sources, skeleton) for photo in photos_of_source(source, skeleton)]


def training_loader_of(spec: ExperimentSpec, skeleton: Skeleton) -> Any:
    """The loader of training samples, exactly as `bpnet train` sees them.

    The input size isn't checked; `check_input_size` does this. Raises SpecError if the spec names no training data, and
    DataError for unusable data.
    """
    import numpy as np

    from bpnet_cli.data.augment import Augmentation
    from bpnet_cli.data.pipeline import make_loader
    from bpnet_cli.data.samples import list_samples
    from bpnet_cli.pose.targets import reach_px

    tell_gaps(skeleton)
    if spec.augmentation.flip_probability:
        tell_sides(spec.skeleton, skeleton)
    if not spec.dataset.train_sources:
        raise SpecError("dataset.train: needed for training: {images: FOLDER, annotations: FILE} or {records: GLOB}")
    with hinting("dataset.train; paths are relative to the working directory"):
        samples = list_samples(
            photos_of(spec.dataset.train_sources, skeleton),
            crop=spec.augmentation.crop,
            min_keypoints=spec.dataset.min_keypoints,
            min_area_px=spec.dataset.min_area_px,
            min_distance_ratio=spec.dataset.min_distance_ratio,
        )
    learnt = np.any([sample.photo.labelled for sample in samples], axis=0)
    if missing := [name for name, is_learnt in zip(skeleton.keypoints, learnt, strict=True) if not is_learnt]:
        say(
            f"labelled nowhere in dataset.train: {', '.join(missing)}; the network won't learn them (if they have"
            " other names there, map them with dataset.train.rename)"
        )
    return make_loader(
        samples,
        skeleton,
        Augmentation(**spec.augmentation.model_dump()),
        height=spec.model.input_height,
        width=spec.model.input_width,
        stride=STRIDE,
        seed=spec.training.seed,
        reach_px=reach_px(spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px),
    )


def _stage_shape(stage: StageSpec) -> Any:
    from bpnet_cli.models.stages import StageShape

    return StageShape(stage.kernel_sizes, stage.channels, stage.head_channels)
