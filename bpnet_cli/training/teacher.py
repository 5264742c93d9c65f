"""Another network to learn from (distillation: Hinton et al., 2015; dense maps for unlabelled people too)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.pipeline import Teacher
from bpnet_cli.errors import SpecError, hinting
from bpnet_cli.inference.backends import load_backend
from bpnet_cli.inference.predictor import InputSize, Predictor
from bpnet_cli.plan import TeacherPlan
from bpnet_cli.pose.averaging import resample_maps
from bpnet_cli.pose.skeleton import Skeleton
from bpnet_cli.strides import STRIDE


def make_teacher(plan: TeacherPlan, skeleton: Skeleton) -> Teacher:
    """A function from an image (height, width, 3) uint8 RGB to the teacher's maps (rows, columns, K + 1 + 2L) float32.

    All workers of the pipeline call it at the same time, so each call uses one thread.
    Raises BpnetError for a file that can't be loaded, and for maps of another skeleton or stride.
    """
    with hinting("distillation.teacher; paths are relative to the working directory"):
        backend = load_backend(plan.path, threads=1)
    theirs, stride = backend.metadata.skeleton, backend.metadata.stride
    if (theirs.keypoints, theirs.limbs, stride) != (skeleton.keypoints, skeleton.limbs, STRIDE):
        raise SpecError(
            f"distillation.teacher: {plan.path} has maps of skeleton {theirs.name} at stride {stride}, but this network"
            f" has {skeleton.name} at stride {STRIDE}: keypoints, limbs and stride must be the same"
        )

    rows, columns = plan.height // STRIDE, plan.width // STRIDE
    predictor = Predictor(backend, InputSize(plan.height, plan.width), scales=plan.scales, flip=plan.flip)

    def teach(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        heatmaps, pafs, matrix = predictor.maps(image)
        if heatmaps.shape[:2] != (rows, columns):
            heatmaps, pafs = (resample_maps(maps, rows, columns, matrix, STRIDE) for maps in (heatmaps, pafs))
        return np.concatenate([heatmaps, pafs], axis=-1)

    return teach
