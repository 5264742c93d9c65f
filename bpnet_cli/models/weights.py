"""Pretrained weights: from keras.applications (ImageNet), `.npz` arrays, a model file, or the model in the box."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.box import box_or_path
from bpnet_cli.errors import ModelFileError
from bpnet_cli.log import say
from bpnet_cli.models.backbones import BACKBONES
from bpnet_cli.models.formats import FORMATS
from bpnet_cli.models.model_file import load_network
from bpnet_cli.models.transfer import Transfer, Weights, heatmap_channels, paf_channels, same_maps, with_names
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.untrusted import arrays_of


def load_pretrained(
    network: Any, backbone: str, source: str, skeleton: Skeleton, renamed: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Copy pretrained weights into `network` by layer name; returns the names of the completely filled layers.

    source: "none"; "imagenet" for backbones that keras.applications has; "box" or "box-fast" for a model in the box; or
    the path of a `.npz` or `.keras` file.
    skeleton: the skeleton of `network`. If the source has another skeleton, the channels of its maps are matched by the
    names of keypoints and limbs. renamed: see `transfer.with_names`.
    Raises ModelFileError if the source is missing or if nothing in it fits, SpecError for names of keypoints that a
    skeleton doesn't have.
    """
    if source == "none":
        return []
    if source == "imagenet":
        return load_imagenet(network, backbone)
    source = box_or_path(source, keras=True)
    if source.endswith(".npz"):
        return load_arrays(network, source)
    if source.endswith(FORMATS["keras"].suffix):
        model, metadata = load_network(source)
        theirs = with_names(metadata.skeleton, renamed, skeleton)
        if same_maps(theirs, skeleton):
            return _copy_layers(model, network, source)
        return _transfer_layers(model, theirs, network, skeleton, source)
    raise ModelFileError(
        f"model.pretrained: must be none, imagenet, box, box-fast, or a path ending in .npz or .keras (got {source!r})"
    )


def layers_left_out(network: Any, filled: Collection[str]) -> list[str]:
    """Names of the layers that have weights, but that `load_pretrained` did not fill completely."""
    return [layer.name for layer in network.layers if layer.weights and layer.name not in filled]


def load_imagenet(network: Any, backbone: str) -> list[str]:
    """Copy ImageNet weights from keras.applications; Keras downloads them on first use. Returns the filled layers.

    Raises ModelFileError if Keras has no weights for this backbone, or if the download fails.
    """
    application = BACKBONES[backbone].keras_application
    if application is None:
        known = ", ".join(name for name, parts in BACKBONES.items() if parts.keras_application)
        raise ModelFileError(
            f"model.pretrained: Keras has no ImageNet weights for {backbone} (only for {known}); give a .npz or .keras"
            " file, or none"
        )
    try:
        # The size changes no weight, but Keras warns about any size other than 224 x 224.
        source = getattr(keras.applications, application)(
            weights="imagenet", include_top=False, input_shape=(224, 224, 3)
        )
    except Exception as error:  # noqa: BLE001 - keras.utils.get_file wraps every network failure in `Exception`
        raise ModelFileError(f"model.pretrained: imagenet: the download failed ({error})") from None
    return copy_application(source, network, bgr=BACKBONES[backbone].application_wants_bgr)


def copy_application(source: Any, network: Any, *, bgr: bool) -> list[str]:
    """Copy the weights of a keras.applications network by layer name; returns the names of the filled layers.

    bgr: whether `source` was trained on BGR photos. Then its first kernel is turned for RGB input, also in `source`.
    Raises ModelFileError if no layer fits.
    """
    if bgr:
        first = next(layer for layer in source.layers if isinstance(layer, keras.layers.Conv2D))
        kernel, *rest = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], *rest])
    return _copy_layers(source, network, "imagenet")


def load_arrays(network: Any, path: str | Path) -> list[str]:
    """Fill layers from a `.npz` file with arrays named `layer/variable`; returns the names of the filled layers.

    A "/" inside a layer's name in the file stands for "_". Kernels have the axes [height, width, in, out] (depthwise
    kernels [height, width, channels, 1]) and any float type. Arrays of layers that the network doesn't have, for
    example a classifier's head, are skipped.
    Raises ModelFileError if the file is missing or damaged, if a shape differs, or if no array fits.
    """
    if not Path(path).is_file():
        raise ModelFileError(f"{path}: no such weights file (model.pretrained)")
    layers = {layer.name: layer for layer in network.layers}
    try:
        arrays = arrays_of(path)
    except (ValueError, OSError) as error:
        raise ModelFileError(f"{path}: not a .npz file with plain arrays ({error})") from None
    filled = set()
    for name, array in arrays.items():
        prefix, _, variable_name = name.rpartition("/")
        layer_name = prefix.replace("/", "_")
        if layer_name in layers:
            _assign(layers[layer_name], variable_name, array, f"{path}: {name}")
            filled.add(layer_name)
    if not filled:
        raise ModelFileError(f"{path}: none of the {len(arrays)} arrays in this file belongs to a layer of the network")
    return sorted(filled)


def _assign(layer: Any, variable_name: str, array: NDArray[Any], where: str) -> None:
    variables = {variable.name: variable for variable in layer.weights}
    if variable_name == "depthwise_kernel" and variable_name not in variables:
        variable_name = "kernel"
    if variable_name not in variables:
        raise ModelFileError(f"{where}: layer {layer.name} has no {variable_name}, only {', '.join(variables)}")
    variable = variables[variable_name]
    if tuple(variable.shape) != array.shape:
        raise ModelFileError(f"{where}: has shape {array.shape}, but the layer needs {tuple(variable.shape)}")
    variable.assign(array.astype(np.float32))


def _copy_layers(source: Any, network: Any, origin: str) -> list[str]:
    """Copy the layers with the same names and shapes. Raises ModelFileError if there is no such layer."""
    theirs = _weights_of(source)

    def find(name: str, fresh: Weights) -> tuple[Weights, bool] | None:
        weights = theirs.get(name)
        return (weights, True) if weights and [w.shape for w in weights] == [w.shape for w in fresh] else None

    return _fill(network, find, origin)


def _transfer_layers(source: Any, theirs: Skeleton, network: Any, ours: Skeleton, origin: str) -> list[str]:
    """Copy layers from a network of another skeleton, see `Transfer`. Raises ModelFileError if no layer fits."""
    transfer = Transfer(_weights_of(source), theirs, ours)
    tell_taken_over(origin, theirs, ours)
    return _fill(network, transfer.weights, origin)


def tell_taken_over(origin: str, theirs: Skeleton, ours: Skeleton) -> None:
    """Print how many keypoints and limbs of skeleton `ours` are also in `theirs`. origin: the file of `theirs`."""
    found = (heatmap_channels(theirs, ours), paf_channels(theirs, ours))
    keypoints, limbs = (int((channels.index >= 0).sum()) for channels in found)
    say(
        f"{origin} has the skeleton {theirs.name}: matched by name, it has {keypoints - 1} of the"
        f" {len(ours.keypoints)} keypoints and {limbs // 2} of the {len(ours.limbs)} limbs of {ours.name}"
    )
    if keypoints - 1 < len(ours.keypoints):
        say(
            f"to match keypoints with different names, set model.pretrained_keypoints: {{YOURS: THEIRS}}; the keypoints"
            f" of {theirs.name} are {', '.join(theirs.keypoints)}"
        )


def _weights_of(network: Any) -> dict[str, Weights]:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


def _fill(network: Any, find: Callable[[str, Weights], tuple[Weights, bool] | None], origin: str) -> list[str]:
    """Fill the layers of a network; returns the names of the completely filled layers.

    find: (name and present weights of a layer) -> its new weights, and whether all of them come from the origin; None
    leaves the layer as it is. origin: for messages. Raises ModelFileError if no layer was filled completely.
    """
    filled = []
    for layer in network.layers:
        found = find(layer.name, layer.get_weights()) if layer.weights else None
        if found:
            layer.set_weights(found[0])
            filled += [layer.name] if found[1] else []
    if not filled:
        raise ModelFileError(f"model.pretrained: {origin}: no layer fits a layer of this network by name and shape")
    return filled
