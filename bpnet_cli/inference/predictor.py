"""The predictor: from a photo to its people. Inference, evaluation and the validation in training all use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.backends import Backend
from bpnet_cli.inference.onnx_layout import MOST_PIXELS
from bpnet_cli.pose.averaging import Maps, average_maps, resample_maps, unflip_maps
from bpnet_cli.pose.decode import decode
from bpnet_cli.pose.geometry import compose_affine, invert_affine, letterbox, network_input_size
from bpnet_cli.pose.options import DecodeOptions
from bpnet_cli.pose.person import Person


@dataclass(frozen=True)
class InputSize:
    """The size that photos are scaled to, see `geometry.network_input_size`.

    height, width: pixels; width None: follows the photo. max_aspect_ratio: largest width / height where width is None.
    """

    height: int = 368
    width: int | None = None
    max_aspect_ratio: float = 4.0


_DEFAULT_SIZE = InputSize()
_DEFAULT_OPTIONS = DecodeOptions()


@dataclass(frozen=True)
class Predictor:
    """A network with its decoder.

    backend: runs the network. size: the network's input size. options: thresholds of the decoder.
    min_person_score: `predict` leaves out people with a lower score.
    scales: factors of the input size; the maps of all are averaged on the grid of the first.
    flip: also average the maps of the mirrored input. Each further scale costs another run of the network, and flip
        doubles the number of runs.
    min_drawn_score: see `shown`. min_track_score: in videos, tracks begin with people of at least this score.
    """

    backend: Backend
    size: InputSize = _DEFAULT_SIZE
    options: DecodeOptions = _DEFAULT_OPTIONS
    min_person_score: float = 0.0
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    min_drawn_score: float = 0.0
    min_track_score: float = 0.0

    def predict(self, image: NDArray[np.uint8]) -> list[Person]:
        """People in a (H, W, 3) uint8 RGB photo, the highest score first; keypoints in the photo's pixels.

        Raises BpnetError for another type or shape of image.
        """
        return self.strong(self.everyone(image))

    def strong(self, persons: Sequence[Person]) -> list[Person]:
        """The people with a score of at least `min_person_score`."""
        return [person for person in persons if person.score >= self.min_person_score]

    def shown(self, persons: Sequence[Person]) -> list[Person]:
        """The people as pictures show them: without keypoints whose score is below `min_drawn_score`.

        Such a weak guess doesn't lower AP, but in a picture it often draws a limb where there is nobody.
        """
        return [person.without_weak(self.min_drawn_score) for person in persons]

    def everyone(self, image: NDArray[np.uint8]) -> list[Person]:
        """The same as `predict`, with the people below `min_person_score`."""
        heatmaps, pafs, matrix = self.maps(image)
        height, width = image.shape[:2]
        # A keypoint at the photo's edge may be found in the padding.
        return [person.clipped(width, height) for person in self.decode(heatmaps, pafs, matrix)]

    def everyone_in(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        """The same as `everyone` for some photos; those with inputs of one size run through the network at once.

        With `scales` or `flip`, they run one after the other.
        """
        if len(images) == 1 or self.flip or len(self.scales) > 1:
            return [self.everyone(image) for image in images]
        prepared = [self.prepare(image, self.scales[0]) for image in images]
        people: list[list[Person]] = [[] for _ in images]
        for shape in dict.fromkeys(canvas.shape for canvas, _ in prepared):
            places = [place for place, (canvas, _) in enumerate(prepared) if canvas.shape == shape]
            maps = self.backend.maps(np.stack([prepared[place][0] for place in places]))
            for place, heatmaps, pafs in zip(places, *maps, strict=True):
                height, width = images[place].shape[:2]
                found = self.decode(heatmaps, pafs, prepared[place][1])
                people[place] = [person.clipped(width, height) for person in found]
        return people

    def maps(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
        """Heatmaps (h, w, K + 1) and pafs (h, w, 2L) of a photo, averaged as `scales` and `flip` say, and a matrix.

        The maps are on the grid of the first scale. The matrix is that of `prepare` for this scale.
        """
        canvas, base = self.prepare(image, self.scales[0])
        variants = self._variants(canvas)
        rows, columns = variants[0][0].shape[:2]
        stride = self.backend.metadata.stride
        for scale in self.scales[1:]:
            canvas, matrix = self.prepare(image, scale)
            from_base = compose_affine(matrix, invert_affine(base))
            for maps in self._variants(canvas):
                heatmaps, pafs = (resample_maps(m, rows, columns, from_base, stride) for m in maps)
                variants.append((heatmaps, pafs))
        return *(variants[0] if len(variants) == 1 else average_maps(variants)), base

    def _variants(self, canvas: NDArray[np.uint8]) -> list[Maps]:
        """Maps of an input; with `flip` also those of the mirrored input, mirrored back. canvas: (H, W, 3) uint8."""
        heatmaps, pafs = self.backend.maps(canvas[None])
        variants = [(heatmaps[0], pafs[0])]
        if self.flip:
            heatmaps, pafs = self.backend.maps(np.ascontiguousarray(canvas[None, :, ::-1]))
            variants.append(unflip_maps(heatmaps[0], pafs[0], self.backend.metadata.skeleton))
        return variants

    def prepare(self, image: NDArray[np.uint8], scale: float = 1.0) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The network input (H, W, 3) uint8 for a photo, and the 2 x 3 matrix from photo pixels to input pixels.

        scale: factor of the input size. Raises BpnetError for another type or shape of image, and for an input of more
        than `MOST_PIXELS`.
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise BpnetError(f"predict: needs a uint8 RGB array of shape (height, width, 3), got {got}")
        if 0 in image.shape:
            raise BpnetError(f"predict: the image is empty, shape {image.shape}")
        multiple = self.backend.metadata.input_multiple
        wanted_height = max(1, round(self.size.height * scale))
        wanted_width = max(1, round(self.size.width * scale)) if self.size.width else None
        height, width = network_input_size(
            image.shape[0], image.shape[1], wanted_height, wanted_width, multiple, self.size.max_aspect_ratio
        )
        if height * width > MOST_PIXELS:
            raise BpnetError(
                f"an input of {height} x {width} pixels is larger than {MOST_PIXELS:,} pixels; make"
                " inference.input_height, max_aspect_ratio or scales smaller"
            )
        content = (wanted_height, wanted_width or width)
        return letterbox(image, height, width, content)

    def decode(
        self, heatmaps: NDArray[np.float32], pafs: NDArray[np.float32], matrix: NDArray[np.float64]
    ) -> list[Person]:
        """All people in the maps of one photo, weak ones too; keypoints in photo pixels. matrix: see `prepare`."""
        metadata = self.backend.metadata
        persons = decode(heatmaps, pafs, metadata.skeleton, metadata.stride, self.options)
        inverse = invert_affine(matrix)
        return [person.moved(inverse) for person in persons]
