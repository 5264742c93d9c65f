"""Another network to learn from (distillation: Hinton et al., 2015; dense maps for unlabelled people too)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.pipeline import Teacher
from bpnet_cli.errors import SpecError, hinting
from bpnet_cli.inference.backends import load_backend
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.strides import STRIDE


def make_teacher(spec: ExperimentSpec, skeleton: Skeleton) -> Teacher | None:
    """The function that gives the maps of a spec's teacher, None where it has none.

    It is called by every worker of the pipeline, each with an image of its own, so one call runs on one thread.
    Raises BpnetError for a file that can't be loaded, and for maps of another skeleton or stride.
    """
    path = spec.distillation.teacher
    if path is None:
        return None
    with hinting("distillation.teacher; paths are relative to the working directory"):
        backend = load_backend(path, threads=1)
    theirs, stride = backend.metadata.skeleton, backend.metadata.stride
    if (theirs.keypoints, theirs.limbs, stride) != (skeleton.keypoints, skeleton.limbs, STRIDE):
        raise SpecError(
            f"distillation.teacher: {path} has maps of skeleton {theirs.name} at stride {stride}, but this network has"
            f" {skeleton.name} at stride {STRIDE}: keypoints, limbs and stride must be the same"
        )

    size = InputSize(spec.model.input_height, spec.model.input_width)
    predictor = Predictor(backend, size, scales=spec.distillation.scales, flip=spec.distillation.flip)

    def teach(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        heatmaps, pafs, _ = predictor.maps(image)
        return np.concatenate([heatmaps, pafs], axis=-1)

    return teach
