"""The predictor: photo in, people out. Inference, evaluation and validation in training all use this one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.backends import Backend
from bpnet_cli.pose.decode import decode
from bpnet_cli.pose.geometry import apply_affine, invert_affine, letterbox, network_input_size
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.person import Person


@dataclass(frozen=True)
class InputSize:
    """What photos are scaled to; see `geometry.network_input_size`. Pixels, but for the ratio."""

    height: int = 368
    width: int | None = None
    max_aspect_ratio: float = 4.0


_DEFAULT_SIZE = InputSize()
_DEFAULT_OPTIONS = DecodeOptions()


@dataclass(frozen=True)
class Predictor:
    """A network with its decoder. People whose score is below `min_person_score` are left out."""

    backend: Backend
    size: InputSize = _DEFAULT_SIZE
    options: DecodeOptions = _DEFAULT_OPTIONS
    min_person_score: float = 0.0

    def predict(self, image: NDArray[np.uint8]) -> list[Person]:
        """People in a (H, W, 3) uint8 RGB photo, best first, keypoints in the photo's pixels."""
        canvas, matrix = self.prepare(image)
        heatmaps, pafs = self.backend.maps(canvas[None])
        return self.decode(heatmaps[0], pafs[0], matrix)

    def prepare(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The network input for a photo, and the 2 x 3 matrix from photo pixels to its pixels. Raises BpnetError."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise BpnetError(f"predict: needs a uint8 RGB array of shape (height, width, 3), got {got}")
        if 0 in image.shape:
            raise BpnetError(f"predict: the image is empty, shape {image.shape}")
        multiple = self.backend.metadata.input_multiple
        height, width = network_input_size(
            image.shape[0], image.shape[1], self.size.height, self.size.width, multiple, self.size.max_aspect_ratio
        )
        content = (self.size.height, self.size.width or width)
        return letterbox(image, height, width, content)

    def decode(
        self, heatmaps: NDArray[np.float32], pafs: NDArray[np.float32], matrix: NDArray[np.float64]
    ) -> list[Person]:
        """People of one photo's maps, in the photo's pixels; `matrix` as `prepare` gave it."""
        metadata = self.backend.metadata
        persons = decode(heatmaps, pafs, metadata.skeleton, metadata.stride, self.options)
        inverse = invert_affine(matrix)
        return [_move(person, inverse) for person in persons if person.score >= self.min_person_score]


def _move(person: Person, matrix: NDArray[np.float64]) -> Person:
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = apply_affine(matrix, person.keypoints[:, :2].astype(np.float64))
    return replace(person, keypoints=keypoints)
